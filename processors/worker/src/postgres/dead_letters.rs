//! Dead letters, as they are copied to DLQ.
//!
//! Invariant: rows are only ever inserted, below a position that moved with them.

use bytes::Bytes;
use schemas::{LinePosition, Position, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Row};
use streams::DeadLetterRecord;

use super::classify;
use super::partitions::number;
use crate::Error;

pub(super) async fn dead_letters_after(
    pool: &PgPool,
    after: LinePosition,
    limit: usize,
) -> Result<Vec<DeadLetterRecord>, Error> {
    let rows = sqlx::query(
        "SELECT position, line, whole, recorded_at, reason, detail, body
           FROM dead_letters
          WHERE partition = $1 AND (position, line) > ($2, $3)
          ORDER BY position, line
          LIMIT $4",
    )
    .bind(number(after.partition))
    .bind(after.position.number())
    .bind(i32::try_from(after.line).unwrap_or(i32::MAX))
    .bind(i64::try_from(limit).unwrap_or(i64::MAX))
    .fetch_all(pool)
    .await;
    let letter = |row: &PgRow| {
        let line: i32 = row.try_get("line")?;
        Ok(DeadLetterRecord {
            at: LinePosition {
                partition: after.partition,
                position: Position::from_number(row.try_get("position")?),
                line: u32::try_from(line).map_err(|error| sqlx::Error::Decode(error.into()))?,
            },
            whole: row.try_get("whole")?,
            recorded_at: Timestamp::from_nanoseconds(row.try_get("recorded_at")?),
            reason: row.try_get("reason")?,
            detail: row.try_get("detail")?,
            body: Bytes::from(row.try_get::<Vec<u8>, _>("body")?),
        })
    };
    rows.and_then(|rows| rows.iter().map(letter).collect())
        .map_err(|error| classify("reading dead letters", error))
}
