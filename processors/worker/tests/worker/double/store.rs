//! The double of Postgres.
//!
//! Invariant: reads see what is committed, and every write of a partition's row carries its epoch.

use journal::{CommitRow, Ledgers};
use ledger::Reads;
use schemas::{Event, LinePosition, Partition, Position, Timestamp};
use streams::DeadLetterRecord;
use worker::Error;
use worker::simulation::{Advance, Lease, Loaded, Row, Store as Seam};

use super::faults::Point;
use super::process::Process;
use super::sessions::Lock;
use super::transaction::{FirstLook, Open, Rehearsal, Transaction};
use super::world::{PartitionRow, Tables, World};

#[derive(Clone)]
pub(crate) struct Store(pub(crate) Process);

/// The clock, and what a lease from now on comes to.
struct Now {
    at: Timestamp,
    lease_until: Timestamp,
}

pub(super) fn failed(why: &'static str) -> Error {
    Error::Unavailable {
        doing: "using Postgres",
        source: why.into(),
    }
}

impl Store {
    async fn read<T>(&self, point: Point, read: impl FnOnce(&mut World) -> T) -> Result<T, Error> {
        let effect = async { Ok(read(&mut self.0.world.lock())) };
        self.0.call(point, failed, effect).await
    }

    /// An UPDATE of the row of a partition under its epoch.
    async fn update(
        &self,
        point: Point,
        lease: Lease,
        update: impl FnOnce(&mut PartitionRow, Now) -> bool,
    ) -> Result<(), Error> {
        let world = &self.0.world;
        let effect = async {
            // The WHERE clause is looked at before the lock is waited for, and again after it.
            if world.lock().row(lease.partition).epoch != lease.epoch {
                return Err(Error::Fenced);
            }
            let lock = Lock::Partition(lease.partition);
            let updated = world.with_lock(lock, None, |world| {
                let now = Now {
                    at: world.now(),
                    lease_until: world.lease_from_now(),
                };
                let row = world.row(lease.partition);
                let ours = row.epoch == lease.epoch && update(row, now);
                ours.then_some(()).ok_or(Error::Fenced)
            });
            updated.await
        };
        self.0.call(point, failed, effect).await
    }

    /// BEGIN, and what is seen together with it.
    async fn open<T>(
        &self,
        lease: Lease,
        advance: Advance,
        see: impl FnOnce(&World) -> T,
    ) -> Result<(Open, T), Error> {
        let process = &self.0;
        let is_ours =
            |row: &PartitionRow| row.epoch == lease.epoch && row.applied == advance.previous;
        let effect = async {
            if !is_ours(process.world.lock().row(lease.partition)) {
                return Err(Error::Fenced);
            }
            let lock = Lock::Partition(lease.partition);
            let opened = process.world.with_lock(lock, None, |world| {
                if !is_ours(world.row(lease.partition)) {
                    return Err(Error::Fenced);
                }
                let open = Open {
                    process: process.clone(),
                    session: world.sessions.open(lease.partition),
                    lease,
                    advance,
                    certain_at: world.row(lease.partition).certain_at.max(world.now()),
                    own: Tables::default(),
                };
                Ok((open, see(world)))
            });
            let (open, seen) = opened.await?;
            open.rest();
            Ok((open, seen))
        };
        process.call(Point::Begin, failed, effect).await
    }
}

impl World {
    pub(crate) fn row(&mut self, partition: Partition) -> &mut PartitionRow {
        self.tables
            .partitions
            .get_mut(&partition)
            .expect("rows are created at the start")
    }

    fn may_take(&mut self, partition: Partition, owner: &str) -> bool {
        let now = self.now();
        let row = self.row(partition);
        let theirs = row.owner.as_deref().is_some_and(|holder| holder != owner);
        !theirs || row.lease_until < now
    }

    fn take_over(&mut self, partition: Partition, owner: &str) -> Row {
        let lease_until = self.lease_from_now();
        self.seen.count("takeovers");
        let row = self.row(partition);
        row.owner = Some(owner.to_owned());
        row.epoch += 1;
        row.lease_until = lease_until;
        Row {
            lease: Lease {
                partition,
                epoch: row.epoch,
            },
            generation: 0,
            stream_created: row.stream_created,
            applied: row.applied,
            applied_at: row.applied_at,
            published: row.published,
            dlq_published: row.dlq_published,
            stopped: row.stopped.clone(),
        }
    }
}

impl Seam for Store {
    type Transaction = Transaction;
    type Rehearsal = Rehearsal;

    async fn ledgers(&self) -> Result<Ledgers, Error> {
        self.read(Point::Ledgers, |world| world.tables.ledgers.clone())
            .await
    }

    async fn take_over(&self, partition: Partition, owner: &str) -> Result<Option<Row>, Error> {
        let world = &self.0.world;
        let effect = async {
            if !world.lock().may_take(partition, owner) {
                return Ok(None);
            }
            world.free_for_takeover(partition).await;
            let mut world = world.lock();
            let taken = world.may_take(partition, owner);
            Ok(taken.then(|| world.take_over(partition, owner)))
        };
        self.0.call(Point::TakeOver, failed, effect).await
    }

    async fn bind_stream(&self, lease: Lease, created: Timestamp) -> Result<(), Error> {
        self.update(Point::BindStream, lease, |row, _| {
            let unbound = row.stream_created.is_none() && row.applied == Position::default();
            if unbound {
                row.stream_created = Some(created);
            }
            unbound
        })
        .await
    }

    async fn renew(&self, lease: Lease, published: Position) -> Result<(), Error> {
        self.update(Point::Renew, lease, |row, now| {
            row.lease_until = now.lease_until;
            row.certain_at = row.certain_at.max(now.at);
            row.published = row.published.max(published);
            true
        })
        .await
    }

    async fn release(&self, lease: Lease, published: Position) -> Result<(), Error> {
        self.update(Point::Release, lease, |row, _| {
            row.owner = None;
            row.lease_until = Timestamp::default();
            row.published = row.published.max(published);
            true
        })
        .await
    }

    async fn set_stopped(&self, lease: Lease, why: Option<&str>) -> Result<(), Error> {
        if why.is_some() {
            self.0.world.lock().seen.count("reasons of a stop shown");
        }
        self.update(Point::SetStopped, lease, |row, _| {
            row.stopped = why.map(str::to_owned);
            true
        })
        .await
    }

    async fn commit_at(
        &self,
        partition: Partition,
        position: Position,
    ) -> Result<Option<CommitRow>, Error> {
        self.read(Point::CommitAt, |world| {
            world.tables.commits.get(&(partition, position)).copied()
        })
        .await
    }

    async fn last_commit(&self, partition: Partition) -> Result<Option<CommitRow>, Error> {
        self.read(Point::LastCommit, |world| {
            let all =
                (partition, Position::default())..=(partition, Position::from_number(i64::MAX));
            world
                .tables
                .commits
                .range(all)
                .next_back()
                .map(|(_, row)| *row)
        })
        .await
    }

    async fn commit_after(
        &self,
        partition: Partition,
        position: Position,
    ) -> Result<Option<CommitRow>, Error> {
        let next = Position::from_number(position.number() + 1);
        self.read(Point::CommitAfter, |world| {
            let later = (partition, next)..=(partition, Position::from_number(i64::MAX));
            world
                .tables
                .commits
                .range(later)
                .next()
                .map(|(_, row)| *row)
        })
        .await
    }

    async fn journal(&self, partition: Partition, commit: &CommitRow) -> Result<Vec<Event>, Error> {
        let at = |position, line| LinePosition {
            partition,
            position,
            line,
        };
        let lines = at(commit.first_position, 0)..=at(commit.position, u32::MAX);
        self.read(Point::Journal, |world| {
            let events = world.tables.outcomes.range(lines);
            events.map(|(_, event)| event.clone()).collect()
        })
        .await
    }

    async fn dead_letters_after(
        &self,
        after: LinePosition,
        limit: usize,
    ) -> Result<Vec<DeadLetterRecord>, Error> {
        self.read(Point::DeadLettersAfter, |world| {
            let later = world.tables.dead_letters.values();
            later
                .filter(|letter| letter.at.partition == after.partition && letter.at > after)
                .take(limit)
                .cloned()
                .collect()
        })
        .await
    }

    async fn dead_letters_copied(&self, lease: Lease, position: Position) -> Result<(), Error> {
        self.update(Point::RecordCopied, lease, |row, _| {
            row.dlq_published = row.dlq_published.max(position);
            true
        })
        .await
    }

    async fn begin(
        &self,
        lease: Lease,
        advance: Advance,
        reads: &Reads,
    ) -> Result<(Transaction, Loaded), Error> {
        let see = |world: &World| FirstLook::at(world, &reads.transfers);
        let (open, first) = self.open(lease, advance, see).await?;
        Transaction::load(open, first, reads).await
    }

    async fn rehearse(&self, lease: Lease, advance: Advance) -> Result<Rehearsal, Error> {
        let (open, ()) = self.open(lease, advance, |_| ()).await?;
        Ok(Rehearsal(open))
    }
}
