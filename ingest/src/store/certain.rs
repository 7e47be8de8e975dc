//! Up to when the past is settled.
//!
//! Invariant: read before what it is about, as what is committed in between only adds to it. Behind a partition's
//! `certain_at` everything is committed, and no later commit of it decides before that time; where an owner is dead or
//! stopped the time stands still, and so do the answers. Where a partition never had such a time, there is no answer.

use journal::partition_number;
use schemas::{Partition, Timestamp};

use super::Store;
use crate::problem::Problem;

/// The partitions' times are Postgres's, in whole microseconds.
const MICROSECOND: i64 = 1000;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Certain {
    /// The smallest `certain_at` of the log's partitions.
    until: Timestamp,
    now: Timestamp,
}

impl Store {
    /// Of a log with so many partitions; rows beyond them are of a log before it, and no longer move.
    ///
    /// # Errors
    /// When a partition has no time yet.
    pub(crate) async fn certain(&self, partitions: u16) -> Result<Certain, Problem> {
        const SQL: &str = "SELECT count(*), coalesce(min(certain_at), 0),
                    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000
               FROM partitions
              WHERE partition < $1 AND certain_at > 0";
        let query = sqlx::query_as::<_, (i64, i64, i64)>(SQL)
            .bind(partition_number(Partition(partitions)))
            .fetch_one(&self.pool);
        let (count, until, now) = self
            .read("reading up to when all is decided", query)
            .await?;
        if count < i64::from(partitions) {
            return Err(Problem::unavailable(
                "past_not_certain",
                format!(
                    "nobody knows yet up to when all is decided: {count} of {partitions} partitions say so; each does \
                     within seconds of a processor of this version taking it: `sluice partitions` shows who has them"
                ),
            ));
        }
        Ok(Certain {
            until: Timestamp::from_nanoseconds(until),
            now: Timestamp::from_nanoseconds(now),
        })
    }
}

impl Certain {
    /// The time that an answer about `asked` is true of, for ever.
    ///
    /// # Errors
    /// When it is still to come.
    pub(crate) fn as_of(&self, asked: Timestamp) -> Result<Timestamp, Problem> {
        if asked > self.now {
            return Err(Problem::bad_request(
                "time_in_future",
                format!("{asked} is later than now, {}", self.now),
            ));
        }
        let settled = self.until.nanoseconds().saturating_sub(MICROSECOND);
        Ok(asked.min(Timestamp::from_nanoseconds(settled)))
    }
}
