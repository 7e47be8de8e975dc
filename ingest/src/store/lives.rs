//! Which life of the log the positions of each partition are of.

use std::collections::BTreeMap;
use std::time::Duration;

use journal::columns;
use schemas::{Partition, Position, Timestamp};
use sqlx::PgPool;

use super::Store;
use crate::lives::Life;

/// How long an append after a reconnection waits to hear it anew; what was read before serves as well, mostly.
const SOON: Duration = Duration::from_millis(250);

impl Store {
    /// `None` when Postgres does not answer at once, which says nothing about whether it is there.
    pub(crate) async fn lives_soon(&self) -> Option<BTreeMap<Partition, Life>> {
        let read = tokio::time::timeout(SOON, lives(&self.pool)).await;
        read.ok()?.ok()
    }
}

pub(super) async fn lives(pool: &PgPool) -> sqlx::Result<BTreeMap<Partition, Life>> {
    let rows: Vec<(i16, i16, Option<i64>, i64, i64)> = sqlx::query_as(
        "SELECT partition, generation, stream_created, applied, applied_at FROM partitions",
    )
    .fetch_all(pool)
    .await?;
    let life = |(partition, generation, created, applied, applied_at)| {
        let life = Life {
            generation: columns::generation(generation)?,
            stream_created: Option::map(created, Timestamp::from_nanoseconds),
            applied: Position::from_number(applied),
            applied_at: Timestamp::from_nanoseconds(applied_at),
        };
        Ok((columns::partition(partition)?, life))
    };
    rows.into_iter().map(life).collect()
}
