//! Commits onto EVENTS, one at a time and in order.
//!
//! Invariant: a commit stands on EVENTS once. Whatever else stands there is passed over, named, and never waited for.

use std::sync::atomic::{AtomicI64, Ordering};

use schemas::Position;
use streams::{EventRecord, PublishError, Published};
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::config::FAILURES_SHOWN;
use crate::error::chain;
use crate::hold::{Processor, show_stopped};
use crate::seam::{Lease, Log, Store};
use crate::{Config, Error, metrics};

pub(crate) struct Publisher<'a, S, L> {
    store: &'a S,
    log: &'a L,
    config: &'a Config,
    lease: Lease,
}

impl<'a, S: Store, L: Log> Publisher<'a, S, L> {
    pub(crate) fn new(processor: &'a Processor<S, L>, lease: Lease) -> Self {
        Self {
            store: &processor.store,
            log: &processor.log,
            config: &processor.config,
            lease,
        }
    }

    /// Publishes what it receives until the sender is gone; `published` follows.
    pub(crate) async fn run(
        &mut self,
        mut commits: mpsc::Receiver<EventRecord>,
        mut after: u64,
        published: &AtomicI64,
    ) -> Result<(), Error> {
        while let Some(commit) = commits.recv().await {
            after = self.publish(&commit, after).await?;
            published.store(commit.position.number(), Ordering::Relaxed);
        }
        Ok(())
    }

    /// Publishes one commit behind the record with sequence `after` and gives the sequence to go on behind.
    ///
    /// # Errors
    /// `Fenced` when a newer commit stands there already.
    pub(crate) async fn publish(
        &mut self,
        record: &EventRecord,
        mut after: u64,
    ) -> Result<u64, Error> {
        let mut backoff = Backoff::new(self.config);
        let sequence = loop {
            let failed = match self.publish_once(record, after).await {
                Ok(sequence) => break sequence,
                Err(failed) => failed,
            };
            self.wait(record, &failed, &mut backoff).await;
            let last = match self.look().await {
                Ok(last) => last,
                Err(error) => {
                    self.wait(record, &error, &mut backoff).await;
                    continue;
                }
            };
            match last.commit.map(|commit| commit.hash) {
                Some(hash) if hash == record.hash => break last.sequence,
                Some(hash) if hash == record.previous_hash => after = last.sequence,
                None if record.previous_hash == [0; 32] => after = last.sequence,
                None => {
                    return Err(Error::unavailable(
                        "publishing a commit",
                        "EVENTS was emptied; it is filled again from Postgres",
                    ));
                }
                Some(_) => return Err(Error::Fenced),
            }
        };
        if backoff.failures() >= FAILURES_SHOWN {
            self.store.set_stopped(self.lease, None).await?;
            metrics::stopped(self.lease.partition, false);
            tracing::info!(partition = %self.lease.partition, "the partition goes on");
        }
        Ok(sequence)
    }

    /// What stands last on EVENTS; a record of somebody else's behind the last commit is named.
    pub(crate) async fn look(&self) -> Result<Published, Error> {
        let partition = self.lease.partition;
        let last = self.log.last_published(partition).await?;
        if let Some(sequence) = last.foreign() {
            metrics::publish_foreign(partition);
            tracing::warn!(%partition, sequence, "a record of EVENTS that no processor published is passed over");
        }
        Ok(last)
    }

    async fn publish_once(&self, record: &EventRecord, after: u64) -> Result<u64, PublishError> {
        let started = tokio::time::Instant::now();
        let sequence = self.log.publish(record, after).await?;
        metrics::published(started.elapsed());
        Ok(sequence)
    }

    /// After a failure; when it was not the first ones, an operator is shown why.
    async fn wait(
        &self,
        record: &EventRecord,
        failed: &(dyn std::error::Error + Send + Sync),
        backoff: &mut Backoff,
    ) {
        let error = chain(failed);
        let pause = backoff.next();
        metrics::publish_failed(self.lease.partition);
        tracing::warn!(partition = %self.lease.partition, position = %record.position, error, "the commit is not published yet");
        if backoff.failures() >= FAILURES_SHOWN {
            let why = format!("commit {} is not on EVENTS yet: {error}", record.position);
            show_stopped(self.store, self.lease, &why).await;
        }
        tokio::time::sleep(pause).await;
    }
}

pub(crate) fn position(published: &AtomicI64) -> Position {
    Position::from_number(published.load(Ordering::Relaxed))
}
