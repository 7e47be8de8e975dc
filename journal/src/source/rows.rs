//! What Postgres has of one partition, and the commits that are made again from it.
//!
//! Invariant: an error says what was read and where; a damaged commit does not hide those before it.

use std::collections::VecDeque;

use schemas::{Partition, Position};
use sqlx::PgPool;
use streams::EventRecord;

use super::Link;
use super::error::{Failed, SourceError};
use crate::{
    CommitRow, Stretch, commit_at, commits_after, events_in, is_unreadable, partition_number,
    rebuild,
};

/// Commits read at once.
const COMMITS_PAGE: u32 = 256;

pub(super) struct Journal {
    pub(super) database: PgPool,
    pub(super) partition: Partition,
}

impl Journal {
    /// The next commits behind a position; none behind the last.
    pub(super) async fn commits(&self, after: Position) -> Result<VecDeque<CommitRow>, Failed> {
        let read = |limit| commits_after(&self.database, self.partition, after, limit);
        let commits = match read(COMMITS_PAGE).await {
            Err(error) if is_unreadable(&error) => read(1).await,
            commits => commits,
        };
        let reading = || {
            format!(
                "reading the commit behind {after} of partition {}",
                self.partition
            )
        };
        commits
            .map(VecDeque::from)
            .map_err(|error| Failed::postgres(reading(), error))
    }

    pub(super) async fn hash_at(&self, position: Position) -> Result<Option<[u8; 32]>, Failed> {
        let commit = commit_at(&self.database, self.partition, position).await;
        let reading = || format!("reading commit {position} of partition {}", self.partition);
        commit
            .map(|commit| commit.map(|commit| commit.hash))
            .map_err(|error| Failed::postgres(reading(), error))
    }

    /// A commit's record, made again.
    pub(super) async fn record(&self, commit: &CommitRow) -> Result<EventRecord, Failed> {
        let (partition, position) = (self.partition, commit.position);
        let stretch = Stretch::of(partition, commit);
        let events = events_in(&self.database, stretch, None).await;
        let reading = || format!("reading the rows of commit {position} of partition {partition}");
        let events = events.map_err(|error| Failed::postgres(reading(), error))?;
        rebuild(partition, commit, &events).map_err(|broken| SourceError::Broken(broken).into())
    }

    /// What a processor has seen on EVENTS.
    pub(super) async fn published(&self) -> Result<Position, Failed> {
        let published = sqlx::query_scalar("SELECT published FROM partitions WHERE partition = $1")
            .bind(partition_number(self.partition))
            .fetch_optional(&self.database)
            .await;
        let reading = || format!("reading what partition {} has published", self.partition);
        let published = published.map_err(|error| Failed::postgres(reading(), error))?;
        Ok(Position::from_number(published.unwrap_or_default()))
    }
}

/// Commits that EVENTS lacks.
pub(super) struct Rows {
    /// The next ones of them, perhaps others behind.
    commits: VecDeque<CommitRow>,
    up_to: Position,
}

impl Rows {
    /// The commits that end at `up_to` or before; `commits` are the next ones. `None` when there are none.
    pub(super) fn up_to(up_to: Position, commits: VecDeque<CommitRow>) -> Option<Self> {
        let next = commits.front()?;
        (next.position <= up_to).then_some(Self { commits, up_to })
    }

    /// The commit behind `at`; `None` when they are through.
    pub(super) async fn next(
        &mut self,
        journal: &Journal,
        at: Link,
    ) -> Result<Option<EventRecord>, Failed> {
        if self.commits.is_empty() {
            self.commits = journal.commits(at.position).await?;
        }
        let next = self.commits.front();
        let Some(commit) = next.filter(|commit| commit.position <= self.up_to) else {
            return Ok(None);
        };
        if commit.previous_hash != at.hash {
            let partition = journal.partition;
            return Err(SourceError::other_history(partition, commit.position, at).into());
        }
        let record = journal.record(commit).await?;
        self.commits.pop_front();
        Ok(Some(record))
    }
}
