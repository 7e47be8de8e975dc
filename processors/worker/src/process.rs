//! The loop: read → load → decide → commit → publish.
//!
//! Invariant: a batch holds whole records, in their order. After any error that a batch does not get over the loop
//! ends, and what happened is read from Postgres at the next takeover.

use std::pin::pin;
use std::sync::atomic::AtomicI64;

use journal::Ledgers;
use schemas::Position;
use streams::{EventRecord, ReadError, Record, Reply};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::commit::Commit;
use crate::config::ACKNOWLEDGE_EVERY;
use crate::dead_letters::Copier;
use crate::decode::{Decoded, Limits, decode};
use crate::hold::Processor;
use crate::poison::Findings;
use crate::publish::{Publisher, position};
use crate::seam::{Feed, Lease, Log, Store};
use crate::takeover::Session;
use crate::times::within;
use crate::turns::Turn;
use crate::work::Work;
use crate::{Error, metrics};

/// Works the partition until `released`, then publishes what is left and gives it back.
pub(crate) async fn process<S: Store, L: Log>(
    processor: &Processor<S, L>,
    session: Session,
    findings: &mut Findings,
    released: &CancellationToken,
) -> Result<(), Error> {
    let (commits, unpublished) = mpsc::channel(processor.config.unpublished_commits_max);
    let published = AtomicI64::new(session.published.number());
    let lease = session.row.lease;
    let event_after = session.event_after;
    let buried = Notify::new();
    let mut copier = Copier::new(processor, lease, session.row.dlq_published);
    let mut outbox = Publisher::new(processor, lease);
    let applier = Applier::new(processor, session, findings, commits, &published, &buried).await?;
    tokio::select! {
        biased;
        ended = async {
            tokio::try_join!(
                applier.run(released),
                outbox.run(unpublished, event_after, &published)
            )
        } => ended.map(drop)?,
        () = copier.run(&buried) => unreachable!("copying goes on until it is dropped"),
    }
    copier.finish().await;
    let published = position(&published);
    processor.store.release(lease, published).await
}

pub(crate) struct Applier<'a, S: Store, L: Log> {
    pub(crate) processor: &'a Processor<S, L>,
    pub(crate) findings: &'a mut Findings,
    commits: mpsc::Sender<EventRecord>,
    pub(crate) published: &'a AtomicI64,
    /// There are more dead letters to copy.
    buried: &'a Notify,
    pub(crate) lease: Lease,
    limits: Limits,
    ledgers: Ledgers,
    pub(crate) applied: Position,
    pub(crate) previous_hash: [u8; 32],
    feed: L::Feed,
    /// How many consumers this epoch has had.
    feeds: u32,
    /// When the log was last told what is applied.
    acknowledged: Instant,
    /// What ended the last batch.
    carried: Option<Carried>,
}

impl<'a, S: Store, L: Log> Applier<'a, S, L> {
    async fn new(
        processor: &'a Processor<S, L>,
        session: Session,
        findings: &'a mut Findings,
        commits: mpsc::Sender<EventRecord>,
        published: &'a AtomicI64,
        buried: &'a Notify,
    ) -> Result<Self, Error> {
        let row = session.row;
        let Processor {
            store, log, config, ..
        } = processor;
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
            processor,
            findings,
            commits,
            published,
            buried,
            lease: row.lease,
            limits,
            ledgers: store.ledgers().await?,
            applied: row.applied,
            previous_hash: session.previous_hash,
            feed,
            feeds: 1,
            acknowledged: Instant::now(),
            carried: None,
        })
    }

    async fn run(mut self, released: &CancellationToken) -> Result<(), Error> {
        loop {
            let Some(first) = self.first(released).await? else {
                return Ok(());
            };
            let mut work = Work::new(first);
            self.gather(&mut work)?;
            let turn = self.turn(&work).await?;
            self.gather(&mut work)?;
            let Some(commit) = self.apply(&mut work, Some(turn), released).await? else {
                return Ok(());
            };
            self.after_commit(work, commit).await?;
        }
    }

    /// The first record of a batch; `None` when the partition is released, whatever waits.
    async fn first(&mut self, released: &CancellationToken) -> Result<Option<Decoded>, Error> {
        loop {
            if released.is_cancelled() {
                return Ok(None);
            }
            let record = match self.carried.take() {
                Some(Carried::Decoded(decoded)) => return Ok(Some(decoded)),
                Some(Carried::NewLedger(record)) => Ok(record),
                Some(Carried::Error(error)) => Err(error),
                None => tokio::select! {
                    biased;
                    () = released.cancelled() => return Ok(None),
                    record = self.feed.next() => record,
                    () = tokio::time::sleep(self.processor.config.renewal) => {
                        self.idle().await?;
                        continue;
                    }
                },
            };
            if let Some(record) = self.placed(record).await? {
                return self.decode(&record).await.map(Some);
            }
        }
    }

    /// Waits in the queue until this partition may commit, and keeps the lease meanwhile.
    async fn turn(&self, work: &Work) -> Result<Turn, Error> {
        let mut turn = pin!(self.next_turn(work));
        loop {
            tokio::select! {
                turn = &mut turn => return Ok(turn),
                () = tokio::time::sleep(self.processor.config.renewal) => self.renew().await?,
            }
        }
    }

    /// A batch that somebody waits for keeps no pace, nor does one that is full.
    async fn next_turn(&self, work: &Work) -> Turn {
        let is_full = matches!(self.carried, Some(Carried::Decoded(_)));
        if is_full || !work.replies.is_empty() {
            self.processor.turns.next().await
        } else {
            self.processor.turns.next_in_pace().await
        }
    }

    pub(crate) async fn renew(&self) -> Result<(), Error> {
        let published = position(self.published);
        let renewed = self.processor.store.renew(self.lease, published);
        within("renewing the lease", renewed).await
    }

    /// Each one costs nats-server as much as a small record does; one tells of all before it.
    async fn acknowledge(&mut self) {
        self.acknowledged = Instant::now();
        if let Err(error) = self.feed.acknowledge().await {
            tracing::debug!(error = %error.chain(), "lag tools will see these records as unread");
        }
    }

    /// Keeps the lease, and looks whether a record was taken from us that no later one has shown to be missing.
    async fn idle(&mut self) -> Result<(), Error> {
        self.acknowledge().await;
        self.renew().await?;
        let next = self
            .processor
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
        self.carried = None;
        self.feeds += 1;
        let name = consumer(self.lease, self.feeds);
        self.feed = self
            .processor
            .log
            .read(self.lease.partition, &name, after.sequence())
            .await?;
        Ok(())
    }

    /// A ledger may be newer than our list of them.
    async fn decode(&mut self, record: &Record) -> Result<Decoded, Error> {
        let decoded = self.decode_as_known(record);
        if !decoded.unknown_ledger {
            return Ok(decoded);
        }
        let ledgers = self.processor.store.ledgers();
        self.ledgers = within("reading the ledgers", ledgers).await?;
        Ok(self.decode_as_known(record))
    }

    fn decode_as_known(&self, record: &Record) -> Decoded {
        metrics::lag(self.lease.partition, record.pending, record.stored_at);
        decode(record, &self.limits, &self.ledgers)
    }

    /// Adds whole records that are here already, up to the limits of a batch. It asks nobody, as others may wait for the
    /// turn: what has to be asked for is left for the next batch.
    fn gather(&mut self, work: &mut Work) -> Result<(), Error> {
        while self.carried.is_none() {
            let record = match self.feed.try_next() {
                Ok(Some(record)) => record,
                Ok(None) => break,
                // What was read so far is in its place.
                Err(error @ ReadError::Stolen(_)) => {
                    self.carried = Some(Carried::Error(error));
                    break;
                }
                Err(error) => return Err(Error::LostPlace(error)),
            };
            let decoded = self.decode_as_known(&record);
            let fits = work.slots.len() + decoded.lines.len()
                <= self.processor.config.batch_commands_max
                && work.event_bytes_max + decoded.event_bytes_max <= self.limits.event_bytes_max();
            if decoded.unknown_ledger {
                self.carried = Some(Carried::NewLedger(record));
            } else if fits {
                work.add(decoded);
            } else {
                self.carried = Some(Carried::Decoded(decoded));
            }
        }
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
            if let Err(error) = self.processor.log.reply(&waiting.to, reply).await {
                tracing::debug!(error = %error.chain(), "a waiting client will read the row instead");
            }
        }
        if self.acknowledged.elapsed() >= ACKNOWLEDGE_EVERY {
            self.acknowledge().await;
        }
        if !commit.dead.is_empty() {
            self.buried.notify_one();
        }
        let mut unpublished = Some(commit.record);
        while unpublished.is_some() {
            tokio::select! {
                permit = self.commits.reserve() => {
                    let permit = permit.map_err(|closed| Error::unavailable("publishing commits", closed))?;
                    permit.send(unpublished.take().expect("the loop ends once it is sent"));
                }
                () = tokio::time::sleep(self.processor.config.renewal) => {
                    self.renew().await?;
                }
            }
        }
        Ok(())
    }
}

/// What a batch could not take in.
enum Carried {
    /// It was too much.
    Decoded(Decoded),
    /// It names a ledger that was not there when the ledgers were read.
    NewLedger(Record),
    Error(ReadError),
}

/// Consumers of one partition never share a name.
fn consumer(lease: Lease, number: u32) -> String {
    format!("process-{}-{}-{number}", lease.partition, lease.epoch)
}
