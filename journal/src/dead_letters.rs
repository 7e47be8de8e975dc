//! Rows of `dead_letters`.
//!
//! Invariant: the bytes that could not be decided are kept as they came.

use bytes::Bytes;
use schemas::{Actor, LedgerName, LinePosition, Position, Timestamp, TransferId};
use sqlx::postgres::PgRow;
use sqlx::{PgExecutor, Row};
use streams::DeadLetterRecord;

use crate::columns::{line, partition_number, timestamp};

/// A command that can never be decided, with its bytes and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub at: LinePosition,
    /// The record as a whole, not one line of it.
    pub whole: bool,
    pub recorded_at: Timestamp,
    /// Number and name, when the line names a ledger that exists.
    pub ledger: Option<(i32, LedgerName)>,
    pub transfer_id: Option<TransferId>,
    /// Who asked.
    pub actor: Actor,
    pub reason: String,
    pub detail: String,
    pub body: Bytes,
    /// Of its record, with the first dead letter of that; empty with the others and where there are none.
    pub headers: Bytes,
}

/// Most bytes of a record's header block that are kept.
pub const HEADERS_KEPT_MAX: usize = 8 * 1024;

/// The first dead letters after a place, in the order of the log.
///
/// # Errors
/// When Postgres does not answer or a row cannot be read.
pub async fn dead_letters_after(
    database: impl PgExecutor<'_>,
    after: LinePosition,
    limit: usize,
) -> Result<Vec<DeadLetterRecord>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT position, line, whole, recorded_at, reason, detail, body
           FROM dead_letters
          WHERE partition = $1 AND (position, line) > ($2, $3)
          ORDER BY position, line
          LIMIT $4",
    )
    .bind(partition_number(after.partition))
    .bind(after.position.number())
    .bind(i32::try_from(after.line).unwrap_or(i32::MAX))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(database)
    .await?;
    let letter = |row: &PgRow| {
        Ok(DeadLetterRecord {
            at: LinePosition {
                partition: after.partition,
                position: Position::from_number(row.try_get("position")?),
                line: line(row.try_get("line")?)?,
            },
            whole: row.try_get("whole")?,
            recorded_at: timestamp(row, "recorded_at")?,
            reason: row.try_get("reason")?,
            detail: row.try_get("detail")?,
            body: Bytes::from(row.try_get::<Vec<u8>, _>("body")?),
        })
    };
    rows.iter().map(letter).collect()
}
