//! What an operator does to partitions.
//!
//! Invariant: a deliberate re-creation of the stream is recorded with its reason, and fences whoever held the
//! partition.

use journal::{columns, partition_number};
use schemas::{Partition, Position, Timestamp};
use sqlx::{PgPool, Row};

use crate::Error;

/// A partition as `sluice partitions` shows it.
#[derive(Debug, Clone)]
pub struct Shown {
    pub partition: Partition,
    /// `None` while nobody holds it.
    pub owner: Option<String>,
    pub epoch: i64,
    pub applied: Position,
    pub applied_at: Timestamp,
    pub published: Position,
    /// Why its owner does not go on.
    pub stopped: Option<String>,
}

/// Every partition.
///
/// # Errors
/// When Postgres does not answer.
pub async fn partitions(database: &PgPool) -> Result<Vec<Shown>, Error> {
    let rows = sqlx::query(
        "SELECT partition,
                CASE WHEN lease_until > clock_timestamp() THEN owner END AS owner,
                epoch, applied, applied_at, published, stopped
           FROM partitions
          ORDER BY partition",
    )
    .fetch_all(database)
    .await;
    let shown = |row: &sqlx::postgres::PgRow| {
        Ok(Shown {
            partition: columns::partition(row.try_get("partition")?)?,
            owner: row.try_get("owner")?,
            epoch: row.try_get("epoch")?,
            applied: Position::from_number(row.try_get("applied")?),
            applied_at: Timestamp::from_nanoseconds(row.try_get("applied_at")?),
            published: Position::from_number(row.try_get("published")?),
            stopped: row.try_get("stopped")?,
        })
    };
    rows.and_then(|rows| rows.iter().map(shown).collect())
        .map_err(|error| Error::unavailable("reading the partitions", error))
}

/// Goes on with the stream as it is now, after a deliberate re-creation or restore: with the first record that
/// is younger than the last one applied, under a new generation of positions. Gives the position before it.
///
/// # Errors
/// `Stopped` when the partition is unknown or its stream is the one that it knows.
pub async fn adopt_stream(
    database: &PgPool,
    log: &streams::Log,
    partition: Partition,
    why: &str,
) -> Result<Position, Error> {
    let failed = |error| Error::unavailable("adopting the stream", error);
    let number = partition_number(partition);
    let mut transaction = database.begin().await.map_err(failed)?;
    let row = sqlx::query(
        "SELECT generation, stream_created, applied, applied_at
           FROM partitions
          WHERE partition = $1
            FOR UPDATE",
    )
    .bind(number)
    .fetch_optional(&mut *transaction)
    .await
    .map_err(failed)?
    .ok_or_else(|| Error::Stopped(format!("there is no partition {partition}")))?;
    let generation: i16 = row.try_get("generation").map_err(failed)?;
    let old_created: Option<i64> = row.try_get("stream_created").map_err(failed)?;
    let old_applied = Position::from_number(row.try_get("applied").map_err(failed)?);
    let applied_at = Timestamp::from_nanoseconds(row.try_get("applied_at").map_err(failed)?);
    let created = log.identity().await?.created;
    let known = old_created == Some(created.nanoseconds());
    let sequence = old_applied.sequence();
    if known && (sequence == 0 || log.stored_at(partition, sequence).await? == Some(applied_at)) {
        return Err(Error::Stopped(format!(
            "partition {partition} knows this stream already; there is nothing to adopt"
        )));
    }
    let (last, last_at) = last_not_after(log, partition, applied_at).await?;
    let generation = generation.checked_add(1).ok_or_else(|| {
        Error::Stopped("the stream was adopted too often for positions to be told apart".to_owned())
    })?;
    let applied = Position::new(columns::generation(generation).map_err(failed)?, last);
    sqlx::query(
        "UPDATE partitions
            SET generation = $2, stream_created = $3, applied = $4, applied_at = $5,
                epoch = epoch + 1, owner = NULL, lease_until = '-infinity', stopped = NULL, stopped_at = NULL
          WHERE partition = $1",
    )
    .bind(number)
    .bind(generation)
    .bind(created.nanoseconds())
    .bind(applied.number())
    .bind(last_at.nanoseconds())
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    sqlx::query(
        "INSERT INTO adoptions (partition, why, generation, old_stream_created, new_stream_created, old_applied, new_applied)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(number)
    .bind(why)
    .bind(generation)
    .bind(old_created)
    .bind(created.nanoseconds())
    .bind(old_applied.number())
    .bind(applied.number())
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(applied)
}

/// The last record that is not younger than `at`; sequence 0 when there is none.
async fn last_not_after(
    log: &streams::Log,
    partition: Partition,
    at: Timestamp,
) -> Result<(u64, Timestamp), Error> {
    let mut last = (0, Timestamp::default());
    let mut scan = log.scan_commands(partition, 0).await?;
    while let Some(record) = scan.next().await? {
        if record.stored_at > at {
            break;
        }
        last = (record.sequence, record.stored_at);
    }
    Ok(last)
}
