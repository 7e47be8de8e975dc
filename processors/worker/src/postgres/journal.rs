//! Commits and their outcomes, read back.
//!
//! Invariant: rows of the journal are only ever inserted, so that they can be read without a lock.

use schemas::{
    DeadLettered, Event, EventKind, LedgerName, LinePosition, Outcome, Partition, Position,
    Replayed, Timestamp,
};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};

use super::classify;
use super::partitions::number;
use super::rows::{TRANSFER_COLUMNS, parsed, transfer, unreadable};
use crate::Error;
use crate::seam::CommitRow;

type Reader = fn(&PgRow) -> Result<Outcome, sqlx::Error>;

const COMMIT_COLUMNS: &str = "position, first_position, encoder, commands, previous_hash, hash";

pub(crate) async fn commit_at(
    pool: &PgPool,
    partition: Partition,
    position: Position,
) -> Result<Option<CommitRow>, Error> {
    let sql =
        format!("SELECT {COMMIT_COLUMNS} FROM commits WHERE partition = $1 AND position = $2");
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(number(partition))
        .bind(position.number())
        .fetch_optional(pool)
        .await
        .and_then(|row| row.as_ref().map(commit).transpose())
        .map_err(|error| classify("reading a commit", error))
}

pub(crate) async fn last_commit(
    pool: &PgPool,
    partition: Partition,
) -> Result<Option<CommitRow>, Error> {
    let sql = format!(
        "SELECT {COMMIT_COLUMNS} FROM commits WHERE partition = $1 ORDER BY position DESC LIMIT 1"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(number(partition))
        .fetch_optional(pool)
        .await
        .and_then(|row| row.as_ref().map(commit).transpose())
        .map_err(|error| classify("reading the last commit", error))
}

/// The first `limit` commits after `position`, in order.
///
/// # Errors
/// When Postgres does not answer.
pub async fn commits_after(
    pool: &PgPool,
    partition: Partition,
    position: Position,
    limit: u32,
) -> Result<Vec<CommitRow>, Error> {
    let sql = format!(
        "SELECT {COMMIT_COLUMNS}
           FROM commits
          WHERE partition = $1 AND position > $2
          ORDER BY position
          LIMIT $3"
    );
    sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(number(partition))
        .bind(position.number())
        .bind(i64::from(limit))
        .fetch_all(pool)
        .await
        .and_then(|rows| rows.iter().map(commit).collect())
        .map_err(|error| classify("reading commits", error))
}

/// The outcomes of a commit in the order of the log.
///
/// # Errors
/// When Postgres does not answer or a row cannot be read.
pub async fn events_of(
    pool: &PgPool,
    partition: Partition,
    commit: &CommitRow,
) -> Result<Vec<Event>, Error> {
    let failed = |error| classify("reading the outcomes of a commit", error);
    let (first, last) = (commit.first_position.number(), commit.position.number());
    let transfers = format!(
        "SELECT l.name AS ledger_name, t.line AS at_line, t.position AS at_position, t.decided_at AS at_time, {TRANSFER_COLUMNS}
           FROM transfers t
           JOIN ledgers l ON l.number = t.ledger
          WHERE t.partition = $1 AND t.position >= $2 AND t.position <= $3"
    );
    // `at_…` are the outcome's own, `t.…` those of the transfer that it repeats.
    let outcomes = format!(
        "SELECT l.name AS ledger_name, o.line AS at_line, o.position AS at_position, o.decided_at AS at_time, o.kind, o.data,
                {TRANSFER_COLUMNS}
           FROM outcomes o
           JOIN ledgers l ON l.number = o.ledger
           LEFT JOIN transfers t ON t.id = o.transfer_id
          WHERE o.partition = $1 AND o.position >= $2 AND o.position <= $3"
    );
    let dead = "SELECT l.name AS ledger_name, d.line AS at_line, d.position AS at_position, d.decided_at AS at_time, d.reason, d.detail
           FROM dead_letters d
           LEFT JOIN ledgers l ON l.number = d.ledger
          WHERE d.partition = $1 AND d.position >= $2 AND d.position <= $3";
    let mut events = Vec::new();
    let readers: [(String, Reader); 3] = [
        (transfers, first_decision),
        (outcomes, other_outcome),
        (dead.to_owned(), dead_letter),
    ];
    for (sql, outcome) in readers {
        let rows = sqlx::query(sqlx::AssertSqlSafe(sql))
            .bind(number(partition))
            .bind(first)
            .bind(last)
            .fetch_all(pool)
            .await
            .map_err(failed)?;
        for row in &rows {
            events.push(event(partition, row, outcome(row).map_err(failed)?).map_err(failed)?);
        }
    }
    events.sort_by_key(|event| event.at);
    Ok(events)
}

fn commit(row: &PgRow) -> Result<CommitRow, sqlx::Error> {
    let hash = |column| -> Result<[u8; 32], sqlx::Error> {
        let bytes: &[u8] = row.try_get(column)?;
        bytes
            .try_into()
            .map_err(|_| unreadable(format!("{column} has {} bytes", bytes.len())))
    };
    let commands: i32 = row.try_get("commands")?;
    Ok(CommitRow {
        position: Position::from_number(row.try_get("position")?),
        first_position: Position::from_number(row.try_get("first_position")?),
        encoder: row.try_get("encoder")?,
        commands: u32::try_from(commands)
            .map_err(|_| unreadable(format!("{commands} commands")))?,
        previous_hash: hash("previous_hash")?,
        hash: hash("hash")?,
    })
}

fn event(partition: Partition, row: &PgRow, outcome: Outcome) -> Result<Event, sqlx::Error> {
    let ledger: Option<&str> = row.try_get("ledger_name")?;
    Ok(Event {
        at: place(
            partition,
            row.try_get("at_position")?,
            row.try_get("at_line")?,
        )?,
        ledger: ledger
            .map(|name| parsed(LedgerName::parse(name)))
            .transpose()?,
        decided_at: Timestamp::from_nanoseconds(row.try_get("at_time")?),
        outcome,
    })
}

fn place(partition: Partition, position: i64, line: i32) -> Result<LinePosition, sqlx::Error> {
    let line = u32::try_from(line).map_err(|_| unreadable(format!("line {line}")))?;
    Ok(LinePosition {
        partition,
        position: Position::from_number(position),
        line,
    })
}

fn first_decision(row: &PgRow) -> Result<Outcome, sqlx::Error> {
    let transfer = transfer(row)?;
    Ok(if transfer.reason.is_none() {
        Outcome::Posted(transfer)
    } else {
        Outcome::Refused(transfer)
    })
}

fn other_outcome(row: &PgRow) -> Result<Outcome, sqlx::Error> {
    let kind: &str = row.try_get("kind")?;
    if kind == EventKind::TransferReplayed.as_str() {
        return Ok(Outcome::Replayed(Replayed {
            transfer: transfer(row)?,
        }));
    }
    let kind = EventKind::ALL
        .iter()
        .find(|known| known.as_str() == kind)
        .ok_or_else(|| unreadable(format!("outcome {kind}")))?;
    let data: &str = row.try_get("data")?;
    kind.read(data)
        .map_err(|error| sqlx::Error::Decode(error.into()))
}

fn dead_letter(row: &PgRow) -> Result<Outcome, sqlx::Error> {
    Ok(Outcome::DeadLettered(DeadLettered {
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
    }))
}
