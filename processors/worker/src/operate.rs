//! What an operator does to partitions.
//!
//! Invariant: what is shown is what Postgres holds; a stream is adopted on purpose only, with its reason.

use journal::columns;
use schemas::{Partition, Position, Timestamp};
use sqlx::{PgPool, Row};

use crate::Error;

pub use crate::adopt::adopt_stream;

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
