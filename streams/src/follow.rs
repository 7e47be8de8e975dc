//! The event records of a partition as they come.
//!
//! Invariant: a follower has no end. It is quiet only where the server was listened to and had nothing; a connection
//! that is lost is an error.

use std::time::Duration;

use schemas::{Partition, Position};

use crate::events::position_of;
use crate::fetch::Wanted;
use crate::records::{Records, unnamed};
use crate::streams::{EVENTS, event_subject};
use crate::{Error, Log, Scanned};

pub struct Follow {
    records: Records,
}

impl Log {
    /// Follows the event records of a partition behind a position.
    ///
    /// # Errors
    /// When the server does not answer or the stream is missing.
    pub async fn follow_events(
        &self,
        partition: Partition,
        after: Position,
    ) -> Result<Follow, Error> {
        let subject = event_subject(partition);
        let after = self.events_up_to(&subject, after).await?;
        let config = unnamed("following events");
        Ok(Follow {
            records: Records::new(self.clone(), EVENTS, subject, after, config),
        })
    }

    /// Sequence of the last event record that is not behind `position`, by bisection: the positions of a partition's
    /// records rise.
    async fn events_up_to(&self, subject: &str, position: Position) -> Result<u64, Error> {
        let last = self.fetch(EVENTS, &Wanted::last_of(subject)).await?;
        let (mut low, mut high) = (0, last.map_or(0, |last| last.sequence));
        while low < high {
            let middle = low + (high - low) / 2;
            let next = self.fetch(EVENTS, &Wanted::after(middle, subject)).await?;
            let found = next.filter(|next| {
                let at = next.headers.as_ref().ok().and_then(position_of);
                next.sequence <= high && at.is_some_and(|at| at <= position)
            });
            match found {
                Some(found) => low = found.sequence,
                None => high = middle,
            }
        }
        Ok(low)
    }
}

impl Follow {
    /// The next record; `None` when none came for this long. Nothing is lost when this is dropped before it is ready.
    ///
    /// # Errors
    /// When the connection is lost or the server is silent; asked again, it reads on at the same place.
    pub async fn next(&mut self, quiet: Duration) -> Result<Option<Scanned>, Error> {
        match self.records.next_within(quiet).await {
            Ok(taken) => Ok(taken.map(|taken| taken.record.into())),
            Err(interrupted) => Err(self.records.unavailable(interrupted)),
        }
    }
}
