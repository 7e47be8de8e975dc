//! Rows of `commits`.
//!
//! Invariant: rows of the journal are only ever inserted, so that they can be read without a lock.

use schemas::{Partition, Position};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgExecutor, Row};

use crate::Stretch;
use crate::columns::{hash, partition_number, unreadable};

macro_rules! select_commits {
    ($rest:literal) => {
        concat!(
            "SELECT position, first_position, encoder, commands, previous_hash, hash
               FROM commits ",
            $rest
        )
    };
}

/// A commit without its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitRow {
    pub first_position: Position,
    pub position: Position,
    /// Number of the encoder; a newer program may have written it.
    pub encoder: i16,
    pub commands: u32,
    pub previous_hash: [u8; 32],
    pub hash: [u8; 32],
}

impl FromRow<'_, PgRow> for CommitRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let commands: i32 = row.try_get("commands")?;
        Ok(Self {
            position: Position::from_number(row.try_get("position")?),
            first_position: Position::from_number(row.try_get("first_position")?),
            encoder: row.try_get("encoder")?,
            commands: u32::try_from(commands)
                .map_err(|_| unreadable(format!("{commands} commands")))?,
            previous_hash: hash(row, "previous_hash")?,
            hash: hash(row, "hash")?,
        })
    }
}

/// The commit that ends at `position`.
///
/// # Errors
/// When Postgres does not answer or the row cannot be read.
pub async fn commit_at(
    database: impl PgExecutor<'_>,
    partition: Partition,
    position: Position,
) -> Result<Option<CommitRow>, sqlx::Error> {
    const SQL: &str = select_commits!("WHERE partition = $1 AND position = $2");
    sqlx::query_as(SQL)
        .bind(partition_number(partition))
        .bind(position.number())
        .fetch_optional(database)
        .await
}

/// The last commit of a partition.
///
/// # Errors
/// As [`commit_at`].
pub async fn last_commit(
    database: impl PgExecutor<'_>,
    partition: Partition,
) -> Result<Option<CommitRow>, sqlx::Error> {
    const SQL: &str = select_commits!("WHERE partition = $1 ORDER BY position DESC LIMIT 1");
    sqlx::query_as(SQL)
        .bind(partition_number(partition))
        .fetch_optional(database)
        .await
}

/// The first `limit` commits after `position`, in order.
///
/// # Errors
/// As [`commit_at`].
pub async fn commits_after(
    database: impl PgExecutor<'_>,
    partition: Partition,
    position: Position,
    limit: u32,
) -> Result<Vec<CommitRow>, sqlx::Error> {
    const SQL: &str =
        select_commits!("WHERE partition = $1 AND position > $2 ORDER BY position LIMIT $3");
    sqlx::query_as(SQL)
        .bind(partition_number(partition))
        .bind(position.number())
        .bind(i64::from(limit))
        .fetch_all(database)
        .await
}

/// Where each commit that touches a stretch ends, and the number of its encoder, in order.
///
/// # Errors
/// When Postgres does not answer.
pub async fn encoders_in(
    database: impl PgExecutor<'_>,
    stretch: Stretch,
) -> Result<Vec<(Position, i16)>, sqlx::Error> {
    let rows: Vec<(i64, i16)> = sqlx::query_as(
        "SELECT position, encoder
           FROM commits
          WHERE partition = $1 AND position >= $2
            AND position <= (SELECT position
                               FROM commits
                              WHERE partition = $1 AND position >= $3
                              ORDER BY position
                              LIMIT 1)
          ORDER BY position",
    )
    .bind(partition_number(stretch.partition))
    .bind(stretch.after.position)
    .bind(stretch.last.position)
    .fetch_all(database)
    .await?;
    let position = |(position, encoder)| (Position::from_number(position), encoder);
    Ok(rows.into_iter().map(position).collect())
}

/// The newest encoder and the newest rules among the last commits of all partitions; zeros when there are none.
///
/// # Errors
/// When Postgres does not answer.
pub async fn newest_versions(database: impl PgExecutor<'_>) -> Result<(i16, i16), sqlx::Error> {
    sqlx::query_as(
        "SELECT coalesce(max(c.encoder), 0::smallint), coalesce(max(c.rules), 0::smallint)
           FROM partitions p
          CROSS JOIN LATERAL (
                SELECT encoder, rules
                  FROM commits
                 WHERE partition = p.partition
                 ORDER BY position DESC
                 LIMIT 1) c",
    )
    .fetch_one(database)
    .await
}
