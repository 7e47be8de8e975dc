//! The loop: read → load → decide → commit → publish.
//!
//! Invariant: one batch is one transaction is one commit. After any error but a conflict or a poisonous
//! command the loop ends, and what happened is read from Postgres at the next takeover.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

use journal::Ledgers;
use ledger::{Batch, Decision, Reads, Rows};
use schemas::{Order, Position, Timestamp};
use streams::{ReadError, Record, Reply};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::commit::{Commit, DeadLetter, Slot, build};
use crate::decode::{Decoded, Limits, decode, shorten};
use crate::publish::{Unpublished, position, publish_all};
use crate::seam::{Advance, Feed, Lease, Log, Store, Transaction};
use crate::takeover::Session;
use crate::work::Work;
use crate::{Config, Error, metrics, poison};

/// Works the partition until `released`, then publishes what is left and gives it back.
pub(crate) async fn process<S: Store, L: Log>(
    store: &S,
    log: &L,
    config: &Config,
    session: Session,
    released: &CancellationToken,
) -> Result<(), Error> {
    let (commits, unpublished) = mpsc::channel(config.unpublished_commits_max);
    let published = AtomicI64::new(session.published.number());
    let lease = session.row.lease;
    let event_after = session.event_after;
    let applier = Applier::new(store, log, config, session, commits, &published).await?;
    tokio::try_join!(
        applier.run(released),
        publish_all(log, unpublished, event_after, &published)
    )?;
    store.release(lease, position(&published)).await
}

struct Applier<'a, S: Store, L: Log> {
    store: &'a S,
    log: &'a L,
    config: &'a Config,
    commits: mpsc::Sender<Unpublished>,
    published: &'a AtomicI64,
    lease: Lease,
    limits: Limits,
    ledgers: Ledgers,
    applied: Position,
    previous_hash: [u8; 32],
    feed: L::Feed,
    /// How many consumers this epoch has had.
    feeds: u32,
    /// Read, but too much for the last batch.
    waiting: Option<Decoded>,
}

impl<'a, S: Store, L: Log> Applier<'a, S, L> {
    async fn new(
        store: &'a S,
        log: &'a L,
        config: &'a Config,
        session: Session,
        commits: mpsc::Sender<Unpublished>,
        published: &'a AtomicI64,
    ) -> Result<Self, Error> {
        let row = session.row;
        let limits = Limits {
            partition: row.lease.partition,
            partitions: log.partitions(),
            generation: row.generation,
            commands_max: config.record_commands_max,
            payload_bytes_max: log.payload_bytes_max(),
        };
        let feed = log
            .read(
                row.lease.partition,
                &consumer(row.lease, 1),
                row.applied.sequence(),
            )
            .await?;
        Ok(Self {
            store,
            log,
            config,
            commits,
            published,
            lease: row.lease,
            limits,
            ledgers: store.ledgers().await?,
            applied: row.applied,
            previous_hash: session.previous_hash,
            feed,
            feeds: 1,
            waiting: None,
        })
    }

    async fn run(mut self, released: &CancellationToken) -> Result<(), Error> {
        loop {
            let first = if let Some(decoded) = self.waiting.take() {
                decoded
            } else {
                tokio::select! {
                    biased;
                    () = released.cancelled() => return Ok(()),
                    record = self.feed.next() => match self.placed(record).await? {
                        Some(record) => self.decode(&record).await?,
                        None => continue,
                    },
                    () = tokio::time::sleep(self.config.renewal) => {
                        self.idle().await?;
                        continue;
                    }
                }
            };
            let mut work = Work::new(first);
            self.gather(&mut work).await?;
            let turn = self.turn(&work).await?;
            self.gather(&mut work).await?;
            let commit = self.apply(&mut work).await?;
            drop(turn);
            self.after_commit(work, commit).await?;
        }
    }

    /// Waits until this partition may commit, and keeps the lease meanwhile. The wait makes batches fuller; one that
    /// is full already gains nothing by it and goes at once.
    async fn turn(&self, work: &Work) -> Result<Option<OwnedSemaphorePermit>, Error> {
        if self.waiting.is_some() || work.slots.len() >= self.config.batch_commands_max / 2 {
            return Ok(None);
        }
        loop {
            let turns = Arc::clone(&self.config.commits_in_flight);
            tokio::select! {
                turn = turns.acquire_owned() => {
                    return turn.map(Some).map_err(|closed| Error::unavailable("waiting for a turn", closed));
                }
                () = tokio::time::sleep(self.config.renewal) => {
                    self.store.renew(self.lease, position(self.published)).await?;
                }
            }
        }
    }

    /// Keeps the lease, and looks whether a record was taken from us that no later one has shown to be missing.
    async fn idle(&mut self) -> Result<(), Error> {
        self.store
            .renew(self.lease, position(self.published))
            .await?;
        let next = self
            .log
            .next_after(self.lease.partition, self.applied.sequence())
            .await?;
        metrics::waiting(self.lease.partition, next.map(|(_, stored_at)| stored_at));
        if next.is_some() {
            self.reopen(self.applied).await?;
        }
        Ok(())
    }

    /// A record in its place; `None` after the feed was opened again.
    async fn placed(&mut self, record: Result<Record, ReadError>) -> Result<Option<Record>, Error> {
        match record {
            Ok(record) => Ok(Some(record)),
            Err(ReadError::Stolen(consumer)) => {
                metrics::stolen(self.lease.partition);
                tracing::warn!(partition = %self.lease.partition, consumer, "somebody else took records from our consumer; reading them again");
                self.reopen(self.applied).await?;
                Ok(None)
            }
            Err(error @ ReadError::Lost { .. }) => Err(Error::LostPlace(error)),
        }
    }

    /// Reads on behind `after` with a consumer of its own.
    async fn reopen(&mut self, after: Position) -> Result<(), Error> {
        self.waiting = None;
        self.feeds += 1;
        let name = consumer(self.lease, self.feeds);
        self.feed = self
            .log
            .read(self.lease.partition, &name, after.sequence())
            .await?;
        Ok(())
    }

    /// A ledger may be newer than our list of them.
    async fn decode(&mut self, record: &Record) -> Result<Decoded, Error> {
        metrics::lag(self.lease.partition, record.pending, record.stored_at);
        let decoded = decode(record, &self.limits, &self.ledgers);
        if !decoded.unknown_ledger {
            return Ok(decoded);
        }
        self.ledgers = self.store.ledgers().await?;
        Ok(decode(record, &self.limits, &self.ledgers))
    }

    /// Adds whole records that are here already, up to the limits of a batch.
    async fn gather(&mut self, work: &mut Work) -> Result<(), Error> {
        while self.waiting.is_none() {
            match self.feed.try_next() {
                Ok(Some(record)) => {
                    let decoded = self.decode(&record).await?;
                    let fits = work.slots.len() + decoded.lines.len()
                        <= self.config.batch_commands_max
                        && work.event_bytes_max + decoded.event_bytes_max
                            <= self.limits.event_bytes_max();
                    if work.slots.is_empty() || fits {
                        work.add(decoded);
                    } else {
                        self.waiting = Some(decoded);
                    }
                }
                Ok(None) => break,
                // What was read so far is in its place; the error comes again at the next read.
                Err(ReadError::Stolen(_)) => {
                    metrics::stolen(self.lease.partition);
                    self.reopen(work.next).await?;
                    break;
                }
                Err(error) => return Err(Error::LostPlace(error)),
            }
        }
        Ok(())
    }

    async fn apply(&mut self, work: &mut Work) -> Result<Commit, Error> {
        let started = Instant::now();
        let mut conflicts = 0;
        let mut commit = loop {
            match self
                .attempt(work, &work.batch, &work.slots, Attempt::Commit)
                .await
            {
                Ok(commit) => break commit,
                Err(Error::Conflict(cause)) if conflicts < self.config.conflicts_max => {
                    conflicts += 1;
                    metrics::conflict();
                    tracing::debug!(partition = %self.lease.partition, %cause, "deciding the batch again");
                }
                Err(Error::Poison(why)) => self.bury(work, &why).await?,
                Err(error) => return Err(error),
            }
        };
        commit.record.committed_at = Some(metrics::now());
        metrics::committed(
            &commit,
            work.records,
            started.elapsed(),
            work.first_accepted,
        );
        self.applied = work.next;
        self.previous_hash = commit.record.hash;
        Ok(commit)
    }

    /// One try of a transaction.
    async fn attempt(
        &self,
        work: &Work,
        batch: &Batch,
        slots: &[Slot],
        end: Attempt,
    ) -> Result<Commit, Error> {
        let advance = Advance {
            previous: self.applied,
            next: work.next,
            next_at: work.next_at,
            published: position(self.published),
        };
        let reads = ledger::reads(batch);
        let mut transaction = self.store.begin(self.lease, advance).await?;
        let (rows, now) = transaction.load(&reads).await?;
        let decision = decide(&reads, rows, batch, now)?;
        let span = (work.first, work.next);
        let commit = build(
            self.lease,
            span,
            self.previous_hash,
            (batch, slots),
            decision,
            now,
        );
        transaction.write(&commit).await?;
        if end == Attempt::Commit {
            if let Some(failpoint) = &self.config.failpoint {
                failpoint.pass().await;
            }
            transaction.commit().await?;
        }
        Ok(commit)
    }

    /// Finds the command that spoils the batch and makes it a dead letter.
    async fn bury(&self, work: &mut Work, why: &str) -> Result<(), Error> {
        let place = poison::find(&work.batch, &work.slots, async |batch, slots| {
            match self.attempt(work, &batch, &slots, Attempt::Trial).await {
                Ok(_) => Ok(false),
                Err(Error::Poison(_)) => Ok(true),
                Err(error) => Err(error),
            }
        })
        .await?;
        let Slot::Command {
            body,
            headers,
            recorded_at,
        } = work.slots[place].clone()
        else {
            unreachable!("a dead letter was tried as a command");
        };
        let number = work.slots[..place]
            .iter()
            .filter(|slot| matches!(slot, Slot::Command { .. }))
            .count();
        let item = work.batch.items.remove(number);
        tracing::error!(at = %item.at, why, "a command that cannot be committed becomes a dead letter");
        metrics::poison(self.lease.partition);
        work.slots[place] = Slot::Dead(DeadLetter {
            at: item.at,
            whole: false,
            recorded_at,
            transfer_id: match &item.order {
                Order::Transfer(order) => Some(order.id(&item.ledger_name)),
                Order::Account(..) => None,
            },
            ledger: Some((item.ledger, item.ledger_name)),
            actor: item.actor,
            headers,
            reason: "cannot_be_committed".to_owned(),
            detail: shorten(why),
            body,
        });
        Ok(())
    }

    /// Everything here is a courtesy or is made good at the next takeover.
    async fn after_commit(&mut self, work: Work, commit: Commit) -> Result<(), Error> {
        for waiting in work.replies {
            let reply = Reply {
                record: waiting.record,
                position: waiting.position.number(),
                events: commit.event_lines(&waiting.lines),
            };
            if let Err(error) = self.log.reply(&waiting.to, reply).await {
                tracing::debug!(error = %error.chain(), "a waiting client will read the row instead");
            }
        }
        if let Err(error) = self.feed.acknowledge().await {
            tracing::debug!(error = %error.chain(), "lag tools will see these records as unread");
        }
        let dead = commit.dead.iter().map(DeadLetter::to_record).collect();
        let mut unpublished = Some(Unpublished {
            record: commit.record,
            dead,
        });
        while unpublished.is_some() {
            tokio::select! {
                permit = self.commits.reserve() => {
                    let permit = permit.map_err(|closed| Error::unavailable("publishing commits", closed))?;
                    permit.send(unpublished.take().expect("the loop ends once it is sent"));
                }
                () = tokio::time::sleep(self.config.renewal) => {
                    self.store.renew(self.lease, position(self.published)).await?;
                }
            }
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Commit,
    /// Everything but the COMMIT.
    Trial,
}

/// The pure core may panic only on a bug; then one command pays, not the partition.
fn decide(reads: &Reads, rows: Rows, batch: &Batch, now: Timestamp) -> Result<Decision, Error> {
    catch_unwind(AssertUnwindSafe(|| ledger::apply(reads, rows, batch, now))).map_err(|panic| {
        let why = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Error::Poison(format!("deciding it panicked: {why}"))
    })
}

/// Consumers of one partition never share a name.
fn consumer(lease: Lease, number: u32) -> String {
    format!("process-{}-{}-{number}", lease.partition, lease.epoch)
}
