//! The commits of a partition as they happen: for everything that follows them.
//!
//! Invariant: what is handed out follows from what was handed out before, by its hash, wherever it was read. A commit
//! that EVENTS no longer holds is made again from Postgres; a record that Postgres does not know, or that is not the
//! commit it says it is, ends it.

mod error;
mod rows;

use std::time::Duration;

use schemas::{Partition, Position};
use sqlx::PgPool;
use streams::{EventRecord, Follow, Log, Scanned};

pub use error::SourceError;

use self::error::Failed;
use self::rows::{Journal, Rows};
use crate::link;

/// How long EVENTS may be quiet before Postgres is asked whether it lacks something.
const QUIET_MAX: Duration = Duration::from_secs(1);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

const OTHER_COMMIT: &str = "Postgres has another commit at its position, or none";

/// A place behind a commit; by default the one before all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    pub position: Position,
    /// Of the commit that ends there.
    pub hash: [u8; 32],
}

/// Reads a partition's commits, one after another.
pub struct Source {
    log: Log,
    journal: Journal,
    at: Link,
    reading: Reading,
}

/// Where the next commit is read.
enum Reading {
    /// On EVENTS behind `at`, once that is opened.
    Closed,
    Events(Box<Follow>),
    /// In Postgres, which has commits that EVENTS lacks; then on EVENTS again.
    Rows(Rows),
    /// Nowhere.
    Ended(SourceError),
}

impl Source {
    /// Goes on behind `after`; nothing is read yet.
    pub fn new(log: Log, database: PgPool, partition: Partition, after: Link) -> Self {
        Self {
            log,
            journal: Journal {
                database,
                partition,
            },
            at: after,
            reading: Reading::Closed,
        }
    }

    /// Behind the last commit that was handed out.
    pub fn at(&self) -> Link {
        self.at
    }

    /// The next commit; waits for it, across lost connections too. Nothing is lost when this is dropped before it is
    /// ready.
    ///
    /// # Errors
    /// When there is none that can follow; asked again, it says so again.
    pub async fn next(&mut self) -> Result<EventRecord, SourceError> {
        let mut pause = PAUSE_MIN;
        loop {
            match self.step().await {
                Ok(Some(record)) => {
                    self.at = Link {
                        position: record.position,
                        hash: record.hash,
                    };
                    return Ok(record);
                }
                Ok(None) => {}
                Err(Failed::Ended(error)) => {
                    self.reading = Reading::Ended(error.clone());
                    return Err(error);
                }
                Err(Failed::Away { doing, source }) => {
                    let error = source.as_ref();
                    tracing::warn!(doing, error, "commits cannot be read; trying again");
                    self.reading = Reading::Closed;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Looks once; `None` when it is to look again.
    async fn step(&mut self) -> Result<Option<EventRecord>, Failed> {
        match &mut self.reading {
            Reading::Closed => {
                self.reading = Reading::Events(Box::new(self.follow().await?));
                Ok(None)
            }
            Reading::Events(follow) => match follow.next(QUIET_MAX).await {
                Ok(Some(scanned)) => self.on_events(&scanned).await,
                Ok(None) => self.on_quiet().await,
                Err(error) => Err(self.log_failed(error)),
            },
            Reading::Rows(rows) => {
                let record = rows.next(&self.journal, self.at).await?;
                if record.is_none() {
                    self.reading = Reading::Closed;
                }
                Ok(record)
            }
            Reading::Ended(error) => Err(error.clone().into()),
        }
    }

    async fn follow(&self) -> Result<Follow, Failed> {
        self.log
            .follow_events(self.journal.partition, self.at.position)
            .await
            .map_err(|error| self.log_failed(error))
    }

    /// The next record on EVENTS.
    async fn on_events(&mut self, scanned: &Scanned) -> Result<Option<EventRecord>, Failed> {
        let Some(record) = self.read(scanned)? else {
            tracing::warn!(partition = %self.journal.partition, sequence = scanned.sequence, "passing over a record of EVENTS that no processor published");
            return Ok(None);
        };
        let is_new = record.position > self.at.position;
        if is_new && record.previous_hash == self.at.hash {
            return Ok(Some(record));
        }
        // Whatever becomes of this look: the next one finds what is behind `at`.
        self.reading = Reading::Closed;
        if is_new {
            self.before(scanned.sequence, &record).await?;
        } else {
            self.again(scanned.sequence, &record).await?;
        }
        Ok(None)
    }

    /// Nothing comes on EVENTS; perhaps it was emptied.
    async fn on_quiet(&mut self) -> Result<Option<EventRecord>, Failed> {
        let published = self.journal.published().await?;
        if published > self.at.position {
            let commits = self.journal.commits(self.at.position).await?;
            if let Some(rows) = Rows::up_to(published, commits) {
                self.reading = Reading::Rows(rows);
            }
        }
        Ok(None)
    }

    /// A record whose bytes are those that its headers name; `None` for one that does not claim to be a commit.
    fn read(&self, scanned: &Scanned) -> Result<Option<EventRecord>, SourceError> {
        let Some(record) = scanned.event_record(self.journal.partition) else {
            return Ok(None);
        };
        if link(&record.previous_hash, &record.body) != record.hash {
            return Err(self.forged(
                scanned.sequence,
                "its bytes do not have the hash that its headers say",
            ));
        }
        Ok(Some(record))
    }

    /// Goes on with the commits that EVENTS no longer holds before a record.
    async fn before(&mut self, sequence: u64, record: &EventRecord) -> Result<(), Failed> {
        let commits = self.journal.commits(self.at.position).await?;
        let Some(next) = commits.front().copied() else {
            return Err(self.forged(sequence, "Postgres has no such commit").into());
        };
        let up_to = Position::from_number(record.position.number() - 1);
        if let Some(rows) = Rows::up_to(up_to, commits) {
            self.reading = Reading::Rows(rows);
            return Ok(());
        }
        if next.position == record.position && next.hash == record.hash {
            return Err(self.other_history(record.position).into());
        }
        Err(self.forged(sequence, OTHER_COMMIT).into())
    }

    /// Passes over a record that was published again after EVENTS was emptied, while Postgres served it.
    async fn again(&self, sequence: u64, record: &EventRecord) -> Result<(), Failed> {
        if self.journal.hash_at(record.position).await? != Some(record.hash) {
            return Err(self.forged(sequence, OTHER_COMMIT).into());
        }
        if record.position == self.at.position && record.hash != self.at.hash {
            return Err(self.other_history(record.position).into());
        }
        Ok(())
    }

    fn log_failed(&self, error: streams::Error) -> Failed {
        let (partition, after) = (self.journal.partition, self.at.position);
        let doing = format!("following EVENTS of partition {partition} behind {after}");
        Failed::log(doing, error)
    }

    fn other_history(&self, position: Position) -> SourceError {
        SourceError::other_history(self.journal.partition, position, self.at)
    }

    fn forged(&self, sequence: u64, why: &'static str) -> SourceError {
        SourceError::Forged {
            partition: self.journal.partition,
            sequence,
            why,
        }
    }
}
