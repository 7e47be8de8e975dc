//! Up to when the past is settled.
//!
//! Invariant: read before what it is about, as what is committed in between only adds to it. Behind a partition's
//! `certain_at` everything is committed, and no later commit of it decides before that time; where an owner is dead or
//! stopped the time stands still, and so do the answers.

use schemas::Timestamp;

use super::{Store, Unavailable};
use crate::problem::Problem;

/// The partitions' times are Postgres's, in whole microseconds.
const MICROSECOND: i64 = 1000;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Certain {
    /// The smallest `certain_at`.
    until: Timestamp,
    now: Timestamp,
}

impl Store {
    pub(crate) async fn certain(&self) -> Result<Certain, Unavailable> {
        const SQL: &str = "SELECT coalesce(min(certain_at), 0),
                    (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000
               FROM partitions";
        let query = sqlx::query_as::<_, (i64, i64)>(SQL).fetch_one(&self.pool);
        let (until, now) = self
            .read("reading up to when all is decided", query)
            .await?;
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
