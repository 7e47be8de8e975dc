//! The double of Postgres.
//!
//! Invariant: reads see what is committed; a transaction's writes are applied at once, at its COMMIT, and only
//! while its session lives.

use std::sync::Arc;

use ledger::{AccountRow, Reads, Rows};
use rand::RngExt as _;
use schemas::{Event, LinePosition, Outcome, Partition, Position, Timestamp, Transfer};
use streams::DeadLetterRecord;
use worker::Error;
use worker::simulation::{
    Advance, Commit, CommitRow, DeadLetter, Lease, Ledgers, Row, Store as Seam,
    Transaction as TransactionSeam,
};

use super::faults::Point;
use super::process::Process;
use super::sessions::{Lock, ended};
use super::world::{PartitionRow, World};

/// The description of a command that the double refuses to store.
pub(crate) const POISON: &str = "poison";

#[derive(Clone)]
pub(crate) struct Store(pub(crate) Process);

pub(crate) struct Transaction {
    process: Process,
    session: u64,
    lease: Lease,
    advance: Advance,
    writes: Option<Arc<Commit>>,
}

fn failed(why: &'static str) -> Error {
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
        update: impl FnOnce(&mut PartitionRow, Timestamp) -> bool,
    ) -> Result<(), Error> {
        let world = &self.0.world;
        let effect = async {
            // The WHERE clause is looked at before the lock is waited for, and again after it.
            if world.lock().row(lease.partition).epoch != lease.epoch {
                return Err(Error::Fenced);
            }
            let lock = Lock::Partition(lease.partition);
            let updated = world.with_lock(lock, None, |world| {
                let lease_until = world.lease_from_now();
                let row = world.row(lease.partition);
                let ours = row.epoch == lease.epoch && update(row, lease_until);
                ours.then_some(()).ok_or(Error::Fenced)
            });
            updated.await
        };
        self.0.call(point, failed, effect).await
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
            stopped: row.stopped.clone(),
        }
    }
}

impl Seam for Store {
    type Transaction = Transaction;

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
        self.update(Point::Renew, lease, |row, lease_until| {
            row.lease_until = lease_until;
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

    async fn journal(
        &self,
        partition: Partition,
        commit: &CommitRow,
    ) -> Result<(Vec<Event>, Vec<DeadLetterRecord>), Error> {
        let at = |position, line| LinePosition {
            partition,
            position,
            line,
        };
        let lines = at(commit.first_position, 0)..=at(commit.position, u32::MAX);
        self.read(Point::Journal, |world| {
            let events = world.tables.outcomes.range(lines.clone());
            let dead = world.tables.dead_letters.range(lines);
            (
                events.map(|(_, event)| event.clone()).collect(),
                dead.map(|(_, letter)| letter.clone()).collect(),
            )
        })
        .await
    }

    async fn begin(&self, lease: Lease, advance: Advance) -> Result<Transaction, Error> {
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
                Ok(Transaction {
                    process: process.clone(),
                    session: world.sessions.open(lease.partition),
                    lease,
                    advance,
                    writes: None,
                })
            });
            let transaction = opened.await?;
            transaction.rest();
            Ok(transaction)
        };
        process.call(Point::Begin, failed, effect).await
    }
}

impl Transaction {
    /// Between two statements.
    fn rest(&self) {
        self.process
            .world
            .lock()
            .sessions
            .set_idle(self.session, true);
    }

    /// A statement begins; another transaction may have come between.
    fn statement(&self) -> Result<(), Error> {
        let mut world = self.process.world.lock();
        let world = &mut *world;
        if !world.sessions.is_open(self.session) {
            return Err(ended());
        }
        world.sessions.set_idle(self.session, false);
        if world.faults.strikes(&mut world.chance, 60) {
            world.seen.count("serialization failures");
            return Err(Error::Conflict("serialization failure".into()));
        }
        Ok(())
    }

    async fn lock_and_read(&self, reads: &Reads) -> Result<(Rows, Timestamp), Error> {
        let world = &self.process.world;
        let mut accounts: Vec<Option<AccountRow>> = Vec::with_capacity(reads.accounts.len());
        for key in &reads.accounts {
            if !world.lock().tables.accounts.contains_key(key) {
                accounts.push(None);
                continue;
            }
            let read = |world: &mut World| Ok(world.tables.accounts.get(key).cloned());
            accounts.push(
                world
                    .with_lock(Lock::Account(key), Some(self.session), read)
                    .await?,
            );
        }
        let world = world.lock();
        let stored = |id| world.tables.transfers.get(id).cloned();
        let transfers = reads.transfers.iter().map(stored).collect();
        let rows = Rows {
            accounts,
            transfers,
        };
        Ok((rows, world.now()))
    }

    /// Takes every key, in order; waits for whoever inserted it and has not committed yet.
    async fn take_keys(&self, commit: &Commit) -> Result<(), Error> {
        let mut decided: Vec<&Transfer> = transfers(commit).collect();
        decided.sort_unstable_by_key(|transfer| transfer.id);
        for transfer in decided {
            if transfer.description.as_deref() == Some(POISON) {
                return Err(Error::Poison("refused by a constraint".to_owned()));
            }
            let lock = Lock::Key(transfer.id);
            let taken = self
                .process
                .world
                .with_lock(lock, Some(self.session), |world| {
                    if world.tables.transfers.contains_key(&transfer.id) {
                        world.seen.count("keys that two partitions raced for");
                        return Err(Error::Conflict("transfers_key".into()));
                    }
                    Ok(())
                });
            taken.await?;
        }
        Ok(())
    }
}

impl TransactionSeam for Transaction {
    async fn load(&mut self, reads: &Reads) -> Result<(Rows, Timestamp), Error> {
        let effect = async {
            self.statement()?;
            let read = self.lock_and_read(reads).await;
            self.rest();
            read
        };
        self.process.call(Point::Load, failed, effect).await
    }

    async fn write(&mut self, commit: &Commit) -> Result<(), Error> {
        let effect = async {
            self.statement()?;
            let taken = self.take_keys(commit).await;
            self.rest();
            taken
        };
        let written = self.process.call(Point::Write, failed, effect).await;
        self.writes = Some(Arc::new(commit.clone()));
        written
    }

    async fn commit(self) -> Result<(), Error> {
        let effect = async {
            let mut world = self.process.world.lock();
            if !world.sessions.is_open(self.session) {
                return Err(ended());
            }
            let writes = self
                .writes
                .as_ref()
                .expect("a batch is written before its COMMIT");
            world.apply(self.lease, self.advance, writes);
            world.sessions.close(self.session);
            Ok(())
        };
        self.process.call(Point::Commit, failed, effect).await
    }
}

impl Drop for Transaction {
    /// The server may learn late that a process is gone; until then its locks stay.
    fn drop(&mut self) {
        let mut world = self.process.world.lock();
        let world = &mut *world;
        if self.process.has_crashed() && world.chance.random_bool(0.5) {
            world.seen.count("sessions that outlived their process");
            world.sessions.set_idle(self.session, true);
        } else {
            world.sessions.close(self.session);
        }
    }
}

impl World {
    fn apply(&mut self, lease: Lease, advance: Advance, commit: &Commit) {
        let partition = lease.partition;
        let lease_until = self.lease_from_now();
        let row = self.row(partition);
        assert_eq!(
            row.epoch, lease.epoch,
            "the row is locked since it was looked at"
        );
        row.applied = advance.next;
        row.applied_at = advance.next_at;
        row.published = row.published.max(advance.published);
        row.lease_until = lease_until;
        let tables = &mut self.tables;
        for (key, account) in commit.opened.iter().chain(&commit.changed) {
            tables.accounts.insert(key.clone(), account.clone());
        }
        for transfer in transfers(commit) {
            let before = tables.transfers.insert(transfer.id, transfer.clone());
            assert_eq!(before, None, "a key is taken once");
        }
        for (_, event) in &commit.events {
            let before = tables.outcomes.insert(event.at, event.clone());
            assert_eq!(before, None, "a line is decided once");
        }
        for letter in &commit.dead {
            tables
                .dead_letters
                .insert(letter.at, DeadLetter::to_record(letter));
        }
        let record = &commit.record;
        tables.history.push((partition, record.position));
        let row = CommitRow {
            first_position: record.first_position,
            position: record.position,
            encoder: record.encoder,
            commands: record.count,
            previous_hash: record.previous_hash,
            hash: record.hash,
        };
        let before = tables.commits.insert((partition, record.position), row);
        assert_eq!(before, None, "a position is committed once");
    }
}

fn transfers(commit: &Commit) -> impl Iterator<Item = &Transfer> {
    commit
        .events
        .iter()
        .filter_map(|(_, event)| match &event.outcome {
            Outcome::Posted(transfer) | Outcome::Refused(transfer) => Some(transfer),
            _ => None,
        })
}
