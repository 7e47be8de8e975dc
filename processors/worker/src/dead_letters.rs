//! Dead letters onto DLQ, one at a time and in order.
//!
//! Invariant: the rows are the truth and the stream is their copy: copying never holds a commit up and never ends a
//! partition's session; while DLQ is full or away it waits, and goes on where it was.

use schemas::{LinePosition, Position};
use streams::{DeadLetterRecord, PublishError};
use tokio::sync::Notify;

use crate::backoff::Backoff;
use crate::config::{LAST_COPIES_MAX, LETTERS_MAX};
use crate::error::chain;
use crate::hold::Processor;
use crate::seam::{Lease, Log, Store};
use crate::{Error, metrics};

pub(crate) struct Copier<'a, S, L> {
    store: &'a S,
    log: &'a L,
    lease: Lease,
    backoff: Backoff,
    /// Known to be copied by the row.
    published: Position,
    /// Where DLQ stands; `None` when it has to be looked at.
    place: Option<Place>,
}

#[derive(Clone, Copy)]
struct Place {
    sequence: u64,
    at: LinePosition,
}

/// Why copying cannot go on now.
enum Failed {
    Store(Error),
    Log(PublishError),
}

impl<'a, S: Store, L: Log> Copier<'a, S, L> {
    pub(crate) fn new(processor: &'a Processor<S, L>, lease: Lease, published: Position) -> Self {
        Self {
            store: &processor.store,
            log: &processor.log,
            lease,
            backoff: Backoff::new(&processor.config),
            published,
            place: None,
        }
    }

    /// Copies what is there and what `more` announces, until this is dropped.
    pub(crate) async fn run(&mut self, more: &Notify) {
        loop {
            self.catch_up().await;
            more.notified().await;
        }
    }

    /// Copies what the last commits of this session left, for a moment.
    pub(crate) async fn finish(&mut self) {
        let caught_up = tokio::time::timeout(LAST_COPIES_MAX, self.catch_up()).await;
        if caught_up.is_err() {
            tracing::info!(partition = %self.lease.partition, "dead letters are left to be copied by the next owner");
        }
    }

    async fn catch_up(&mut self) {
        loop {
            match self.copy_some().await {
                Ok(copied) => {
                    self.backoff.reset();
                    if copied == 0 {
                        return;
                    }
                }
                // The session ends by itself.
                Err(Failed::Store(Error::Fenced)) => std::future::pending().await,
                Err(failed) => {
                    let error = match failed {
                        Failed::Store(error) => error.chain(),
                        Failed::Log(error) => chain(&error),
                    };
                    metrics::publish_failed(self.lease.partition);
                    tracing::warn!(partition = %self.lease.partition, error, "dead letters are not copied yet");
                    tokio::time::sleep(self.backoff.next()).await;
                }
            }
        }
    }

    /// Gives the number of dead letters that were to be copied.
    async fn copy_some(&mut self) -> Result<usize, Failed> {
        let mut letters = self.letters(self.place.map(|place| place.at)).await?;
        if letters.is_empty() {
            return Ok(0);
        }
        let mut place = if let Some(place) = self.place {
            place
        } else {
            let place = self.look().await?;
            letters = self.letters(Some(place.at)).await?;
            place
        };
        // Known again once everything went well.
        self.place = None;
        for letter in &letters {
            let copied = self.log.publish_dead_letter(letter, place.sequence).await;
            place = Place {
                sequence: copied.map_err(Failed::Log)?,
                at: letter.at,
            };
        }
        self.place = Some(place);
        self.advance(&letters, place).await?;
        Ok(letters.len())
    }

    async fn letters(&self, after: Option<LinePosition>) -> Result<Vec<DeadLetterRecord>, Failed> {
        let after = after.unwrap_or(LinePosition {
            partition: self.lease.partition,
            position: self.published,
            line: u32::MAX,
        });
        let letters = self.store.dead_letters_after(after, LETTERS_MAX).await;
        letters.map_err(Failed::Store)
    }

    /// Where DLQ stands, and never before what the row says.
    async fn look(&self) -> Result<Place, Failed> {
        let copied = self.log.dead_letters_copied(self.lease.partition).await;
        let copied = copied.map_err(Failed::Store)?;
        let known = LinePosition {
            partition: self.lease.partition,
            position: self.published,
            line: u32::MAX,
        };
        Ok(Place {
            sequence: copied.sequence,
            at: copied.at.map_or(known, |at| at.max(known)),
        })
    }

    /// Records the last position of which every dead letter is copied.
    async fn advance(&mut self, letters: &[DeadLetterRecord], place: Place) -> Result<(), Failed> {
        let mut complete = place.at.position;
        if letters.len() == LETTERS_MAX {
            let before = letters.iter().rev().map(|letter| letter.at.position);
            complete = before
                .filter(|position| *position < complete)
                .max()
                .unwrap_or(self.published);
        }
        if complete > self.published {
            let recorded = self.store.dead_letters_copied(self.lease, complete).await;
            recorded.map_err(Failed::Store)?;
            self.published = complete;
        }
        Ok(())
    }
}
