//! A batch's transaction, with its round trips counted.
//!
//! Invariant: what a batch asks of Postgres it asks here, and how often is told once, when its transaction ends, however
//! it ends.

use journal::{AppendError, Appended, Entry, Posted};
use sqlx::PgConnection;
use sqlx::postgres::PgRow;

use super::session::{First, OpenTransaction, Sessions};
use crate::metrics;

/// Rolled back when dropped without `commit`.
pub(super) struct Counted {
    transaction: OpenTransaction,
    round_trips: RoundTrips,
}

struct RoundTrips(u64);

impl Drop for RoundTrips {
    fn drop(&mut self) {
        metrics::round_trips(self.0);
    }
}

impl Counted {
    /// As [`OpenTransaction::begin`].
    pub(super) async fn begin(
        sessions: &Sessions,
        first: First,
    ) -> Result<(Self, impl Iterator<Item = Vec<PgRow>> + use<>), sqlx::Error> {
        let round_trips = RoundTrips(1);
        let (transaction, answers) = OpenTransaction::begin(sessions, first).await?;
        let begun = Self {
            transaction,
            round_trips,
        };
        Ok((begun, answers.into_iter()))
    }

    /// The session, for one round trip.
    pub(super) fn ask(&mut self) -> &mut PgConnection {
        self.round_trips.0 += 1;
        &mut self.transaction
    }

    /// As [`journal::append`].
    pub(super) async fn append(
        &mut self,
        entry: Entry<'_>,
        posted: &[Posted<'_>],
    ) -> Result<Appended, AppendError> {
        let appended = journal::append(&mut self.transaction, entry, posted).await;
        // One that fails is as a rule the first.
        self.round_trips.0 += appended.as_ref().map_or(1, |appended| appended.statements);
        appended
    }

    /// An error leaves open whether it happened.
    pub(super) async fn commit(self) -> Result<(), sqlx::Error> {
        let Self {
            transaction,
            mut round_trips,
        } = self;
        round_trips.0 += 1;
        transaction.commit().await
    }
}
