//! The first thing that a batch does.
//!
//! Invariant: it moves the position, under our epoch and from where we believe it to be, or nothing happens at all.

use std::time::Duration;

use journal::partition_number;
use schemas::Timestamp;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::classify;
use super::memory::ServerStart;
use super::session::{First, Prepared};
use crate::Error;
use crate::seam::{Advance, Lease};

/// What moving the position answers.
pub(super) struct Moved {
    /// Nothing is decided before this time, whatever the clock says.
    pub(super) certain_at: Timestamp,
    pub(super) server: ServerStart,
}

impl Moved {
    /// From the rows of `MOVE_POSITION`.
    pub(super) fn read(rows: Option<Vec<PgRow>>) -> Result<Self, Error> {
        let rows = rows.unwrap_or_default();
        let row = rows.first().ok_or(Error::Fenced)?;
        Ok(Self {
            certain_at: Timestamp::from_nanoseconds(row.try_get(0).map_err(failed)?),
            server: row.try_get(1).map_err(failed)?,
        })
    }
}

pub(super) fn failed(error: sqlx::Error) -> Error {
    classify("moving the position", error)
}

/// Moves the position, and prolongs the lease.
pub(super) fn move_position(lease: Lease, advance: Advance, lasts: Duration) -> First {
    let numbers = [
        i64::from(partition_number(lease.partition)),
        lease.epoch,
        advance.previous.number(),
        advance.next.number(),
        advance.next_at.nanoseconds(),
        advance.published.number(),
        i64::try_from(lasts.as_millis()).expect("a lease is seconds long"),
    ];
    First::execute(MOVE_POSITION, &numbers)
}

/// It may wait for the row, so whatever comes after it is a statement of its own, with a later
/// snapshot.
pub(super) const MOVE_POSITION: Prepared = Prepared {
    name: "move_position",
    text: "
    UPDATE partitions
       SET applied = $4,
           applied_at = $5,
           published = greatest(published, $6),
           lease_until = clock_timestamp() + $7 * interval '1 millisecond',
           certain_at = greatest(certain_at, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000)
     WHERE partition = $1 AND epoch = $2 AND applied = $3
 RETURNING certain_at, (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint AS server",
};
