//! EVENTS against the commits.
//!
//! Invariant: independent of the outcome rows: a body that has the committed hash is the committed record, byte for
//! byte.

use journal::{CommitRow, commits_after, link};
use schemas::{Partition, Position};
use streams::Scanned;

use crate::Error;
use crate::chain::hex;
use crate::partition::Pass;
use crate::records::Records;
use crate::report::CheckResult;

pub(crate) struct Events<'a> {
    pass: Pass<'a>,
    partition: Partition,
    records: Records,
    /// Positions up to here have been passed.
    at: Position,
}

impl<'a> Events<'a> {
    pub(crate) async fn new(pass: Pass<'a>) -> Result<Self, Error> {
        let partition = pass.bounds.partition;
        let scan = pass.connections.log.scan_events(partition, 0).await?;
        Ok(Self {
            pass,
            partition,
            records: Records::new(scan, pass.config.log_wait).await?,
            at: Position::default(),
        })
    }

    pub(crate) async fn check(
        &mut self,
        commits: &[CommitRow],
        check: &mut CheckResult,
    ) -> Result<(), Error> {
        for commit in commits {
            self.find(commit, check).await?;
            self.at = commit.position;
        }
        Ok(())
    }

    /// What was published while this ran.
    pub(crate) async fn finish(mut self, check: &mut CheckResult) -> Result<(), Error> {
        while let Some(record) = self.records.take().await? {
            check.checked += 1;
            let commit = self.position(&record);
            let Some(position) = commit.filter(|position| *position > self.at) else {
                self.unexpected(&record, check);
                continue;
            };
            let before = Position::from_number(position.number() - 1);
            let database = &self.pass.connections.database;
            let known = commits_after(database, self.partition, before, 1)
                .await
                .map_err(Error::postgres("reading commits"))?;
            match known.first().filter(|commit| commit.position == position) {
                Some(commit) => self.compare(&record, commit, check),
                None => self.unexpected(&record, check),
            }
            self.at = position;
        }
        Ok(())
    }

    async fn find(&mut self, commit: &CommitRow, check: &mut CheckResult) -> Result<(), Error> {
        while let Some(record) = self.records.peek() {
            match self.position(record) {
                Some(position) if position > commit.position => break,
                Some(position) if position == commit.position => {
                    check.checked += 1;
                    self.compare(record, commit, check);
                    self.records.take().await?;
                    return Ok(());
                }
                _ => {
                    check.checked += 1;
                    self.unexpected(record, check);
                    self.records.take().await?;
                }
            }
        }
        // Not published yet, or never.
        let bounds = self.pass.bounds;
        let expected = commit.position <= bounds.published || self.records.peek().is_some();
        if expected && commit.position > bounds.trimmed.events {
            check.found(format!(
                "commit {} of partition {}: it is not on EVENTS where it belongs",
                commit.position, self.partition
            ));
        }
        Ok(())
    }

    fn compare(&self, record: &Scanned, commit: &CommitRow, check: &mut CheckResult) {
        let place = format!(
            "record {} of EVENTS, commit {} of partition {}",
            record.sequence, commit.position, self.partition
        );
        if record.hash() != Some(commit.hash) {
            check.found(format!(
                "{place}: its header says hash {}, expected {}",
                record.hash().map_or("none".to_owned(), |hash| hex(&hash)),
                hex(&commit.hash)
            ));
        }
        let hash = link(&commit.previous_hash, &record.body);
        if hash != commit.hash {
            check.found(format!(
                "{place}: its bytes have hash {}, expected {}",
                hex(&hash),
                hex(&commit.hash)
            ));
        }
    }

    fn unexpected(&self, record: &Scanned, check: &mut CheckResult) {
        let place = format!(
            "record {} of EVENTS, partition {}",
            record.sequence, self.partition
        );
        check.found(match self.position(record) {
            Some(position) => {
                format!("{place}: of commit {position}, which Postgres does not expect here")
            }
            None => format!("{place}: no processor published it"),
        });
    }

    /// The position of the commit that a record says it is; `None` of a record that no processor published.
    fn position(&self, record: &Scanned) -> Option<Position> {
        let commit = record.event_record(self.partition)?;
        Some(commit.position)
    }
}
