//! The commits of a partition as they happen: for everything that follows them.
//!
//! Invariant: what is handed out follows from what was handed out before, by its hash, wherever it was read. A commit
//! that EVENTS no longer holds is made again from Postgres; a record that Postgres does not know, or that is not the
//! commit it says it is, ends it.

use std::time::Duration;

use schemas::{Partition, Position};
use sqlx::PgPool;
use streams::{EventRecord, Log, Scan, Scanned};

use crate::{Broken, CommitRow, Stretch, commit_at, commits_after, events_in, link, rebuild};

/// How long EVENTS may be quiet before Postgres is asked whether it lacks something.
const QUIET_MAX: Duration = Duration::from_secs(1);
const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// A place behind a commit; by default the one before all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Link {
    pub position: Position,
    /// Of the commit that ends there.
    pub hash: [u8; 32],
}

#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A record is not what a processor published.
    #[error("record {sequence} of EVENTS, partition {partition}: {why}")]
    Forged {
        partition: Partition,
        sequence: u64,
        why: String,
    },
    /// The commits in Postgres do not go on from here.
    #[error(
        "commit {position} of partition {partition} does not follow the commit {after} that was read before"
    )]
    OtherHistory {
        partition: Partition,
        position: Position,
        after: Position,
    },
    #[error(transparent)]
    Broken(#[from] Broken),
}

/// Why the next commit is not here yet: tried again, or for ever.
enum Failed {
    Away(Box<dyn std::error::Error + Send + Sync>),
    Ended(SourceError),
}

impl From<SourceError> for Failed {
    fn from(error: SourceError) -> Self {
        Self::Ended(error)
    }
}

fn away(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Failed {
    Failed::Away(error.into())
}

/// Reads a partition's commits, one after another.
pub struct Source {
    log: Log,
    database: PgPool,
    partition: Partition,
    at: Link,
    /// EVENTS behind `at`; opened when it is needed.
    scan: Option<Scan>,
    /// A record that stands behind commits which EVENTS no longer holds.
    ahead: Option<Scanned>,
}

impl Source {
    /// Goes on behind `after`; nothing is read yet.
    pub fn new(log: Log, database: PgPool, partition: Partition, after: Link) -> Self {
        Self {
            log,
            database,
            partition,
            at: after,
            scan: None,
            ahead: None,
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
    /// When what is there cannot follow; asked again, it says so again.
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
                Ok(None) => pause = PAUSE_MIN,
                Err(Failed::Ended(error)) => return Err(error),
                Err(Failed::Away(error)) => {
                    tracing::warn!(partition = %self.partition, after = %self.at.position, %error, "commits cannot be read; trying again");
                    self.scan = None;
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
        }
    }

    /// Looks once; `None` when there was nothing new.
    async fn step(&mut self) -> Result<Option<EventRecord>, Failed> {
        if self.ahead.is_none() {
            self.ahead = self.on_events().await?;
        }
        let Some(scanned) = &self.ahead else {
            return self.unseen().await;
        };
        let record = self.read(scanned)?;
        if record.previous_hash == self.at.hash && record.position > self.at.position {
            self.ahead = None;
            return Ok(Some(record));
        }
        let sequence = scanned.sequence;
        if record.position > self.at.position {
            return self.before(sequence, &record).await.map(Some);
        }
        // Published again after EVENTS was emptied, while Postgres served it.
        let known = commit_at(&self.database, self.partition, record.position).await;
        let known = known.map_err(away)?.map(|commit| commit.hash);
        if known != Some(record.hash) {
            let why = "Postgres has another commit at its position, or none";
            return Err(self.forged(sequence, why).into());
        }
        if record.position == self.at.position && record.hash != self.at.hash {
            return Err(self.other_history(record.position).into());
        }
        self.ahead = None;
        Ok(None)
    }

    /// The next record on EVENTS; `None` when it stayed quiet.
    async fn on_events(&mut self) -> Result<Option<Scanned>, Failed> {
        if self.scan.is_none() {
            let follow = self.log.follow_events(self.partition, self.at.position);
            self.scan = Some(follow.await.map_err(away)?);
        }
        let scan = self.scan.as_mut().expect("it was opened");
        match tokio::time::timeout(QUIET_MAX, scan.next()).await {
            Ok(scanned) => scanned.map_err(away),
            Err(_) => Ok(None),
        }
    }

    /// A record whose bytes are those that its headers name.
    fn read(&self, scanned: &Scanned) -> Result<EventRecord, SourceError> {
        let Some(record) = scanned.event_record(self.partition) else {
            return Err(self.forged(scanned.sequence, "it lacks the headers of a commit"));
        };
        if link(&record.previous_hash, &record.body) != record.hash {
            return Err(self.forged(
                scanned.sequence,
                "its bytes do not have the hash that its headers say",
            ));
        }
        Ok(record)
    }

    /// The next commit, which EVENTS no longer holds before the record that it holds.
    async fn before(&self, sequence: u64, record: &EventRecord) -> Result<EventRecord, Failed> {
        let Some(commit) = self.next_commit().await? else {
            return Err(self.forged(sequence, "Postgres has no such commit").into());
        };
        if commit.position < record.position {
            return self.rebuilt(&commit).await;
        }
        if commit.position == record.position && commit.hash == record.hash {
            return Err(self.other_history(record.position).into());
        }
        let why = "Postgres has another commit at its position, or none";
        Err(self.forged(sequence, why).into())
    }

    /// The next commit that was published and is not on EVENTS.
    async fn unseen(&self) -> Result<Option<EventRecord>, Failed> {
        let at = self.at.position;
        let published = self.published().await?;
        if published <= at {
            return Ok(None);
        }
        match self.next_commit().await? {
            Some(commit) if commit.position <= published => self.rebuilt(&commit).await.map(Some),
            _ => Ok(None),
        }
    }

    async fn next_commit(&self) -> Result<Option<CommitRow>, Failed> {
        let next = commits_after(&self.database, self.partition, self.at.position, 1).await;
        Ok(next.map_err(away)?.into_iter().next())
    }

    async fn rebuilt(&self, commit: &CommitRow) -> Result<EventRecord, Failed> {
        if commit.previous_hash != self.at.hash {
            return Err(self.other_history(commit.position).into());
        }
        let stretch = Stretch::of(self.partition, commit);
        let events = events_in(&self.database, stretch, None)
            .await
            .map_err(away)?;
        rebuild(self.partition, commit, &events)
            .map_err(|broken| Failed::Ended(SourceError::Broken(broken)))
    }

    /// What a processor has seen on EVENTS.
    async fn published(&self) -> Result<Position, Failed> {
        let published = sqlx::query_scalar("SELECT published FROM partitions WHERE partition = $1")
            .bind(crate::partition_number(self.partition))
            .fetch_optional(&self.database)
            .await
            .map_err(away)?;
        Ok(Position::from_number(published.unwrap_or_default()))
    }

    fn other_history(&self, position: Position) -> SourceError {
        SourceError::OtherHistory {
            partition: self.partition,
            position,
            after: self.at.position,
        }
    }

    fn forged(&self, sequence: u64, why: &str) -> SourceError {
        SourceError::Forged {
            partition: self.partition,
            sequence,
            why: why.to_owned(),
        }
    }
}
