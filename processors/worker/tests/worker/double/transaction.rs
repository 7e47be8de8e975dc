//! A transaction on the double of Postgres.
//!
//! Invariant: its writes are applied at once, at its COMMIT, and only while its session lives.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::{AccountKey, AccountRow, Reads, Rows};
use rand::RngExt as _;
use schemas::{Outcome, Timestamp, Transfer, TransferId};
use worker::Error;
use worker::simulation::{Advance, Commit, Lease, Loaded};

use super::constraints::{View, by_key};
use super::faults::Point;
use super::process::{Process, Remembered};
use super::sessions::{Lock, ended};
use super::store::failed;
use super::world::{Tables, World};

/// The description of a command that the double refuses to store.
pub(crate) const POISON: &str = "poison";

/// What every transaction has.
pub(super) struct Open {
    pub(super) process: Process,
    pub(super) session: u64,
    pub(super) lease: Lease,
    pub(super) advance: Advance,
    /// Nothing is decided before this time.
    pub(super) certain_at: Timestamp,
    /// What it has written; seen by itself, and by others once it is committed.
    pub(super) own: Tables,
}

pub(crate) struct Transaction {
    open: Open,
    /// The accounts of its batch that exist.
    held: Vec<Remembered>,
    /// They are from memory, and to be confirmed.
    is_believed: bool,
    /// What its process believes of it already; its versions are known once it is committed.
    written: Vec<Remembered>,
}

/// Reads under locks, and leaves nothing in memory.
pub(crate) struct Rehearsal(pub(super) Open);

/// The clock, and the transfers that own the keys of a batch.
pub(super) struct FirstLook {
    now: Timestamp,
    taken: BTreeMap<TransferId, Transfer>,
}

impl FirstLook {
    pub(super) fn at(world: &World, keys: &[TransferId]) -> Self {
        let stored = |id: &TransferId| Some((*id, world.tables.transfers.get(id)?.clone()));
        Self {
            now: world.now(),
            taken: keys.iter().filter_map(stored).collect(),
        }
    }
}

impl Open {
    /// Between two statements.
    pub(super) fn rest(&self) {
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

    /// What a batch is decided from, with its accounts from here.
    fn loaded(
        &self,
        reads: &Reads,
        first: &FirstLook,
        accounts: Vec<Option<AccountRow>>,
        now: Timestamp,
    ) -> Loaded {
        let stored = |id| {
            let own = self.own.transfers.get(id);
            own.or_else(|| first.taken.get(id)).cloned()
        };
        let transfers = reads.transfers.iter().map(stored).collect();
        Loaded {
            rows: Rows {
                accounts,
                transfers,
            },
            now: now.max(self.certain_at),
        }
    }

    /// One for each key, and what exists.
    async fn lock_and_read(
        &self,
        keys: &[AccountKey],
    ) -> Result<(Vec<Option<AccountRow>>, Vec<Remembered>), Error> {
        let mut accounts: Vec<Option<AccountRow>> = Vec::with_capacity(keys.len());
        let mut held = Vec::new();
        for key in keys {
            if let Some(own) = self.own.accounts.get(key) {
                accounts.push(Some(own.clone()));
                continue;
            }
            let world = &self.process.world;
            if !world.lock().tables.accounts.contains_key(key) {
                accounts.push(None);
                continue;
            }
            let read = |world: &mut World| Ok(world.remembered(key));
            let read = world
                .with_lock(Lock::Account(key), Some(self.session), read)
                .await?;
            accounts.push(Some(read.row.clone()));
            held.push(read);
        }
        Ok((accounts, held))
    }

    /// Runs a statement that waits for nobody.
    fn execute(
        &mut self,
        statement: impl FnOnce(View<'_>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let world = self.process.world.lock();
        statement(View {
            own: &mut self.own,
            committed: &world.tables,
        })
    }

    /// Takes every key, in order; waits for whoever inserted it and has not committed yet.
    async fn insert_transfers(&mut self, commit: &Commit) -> Result<(), Error> {
        for transfer in by_key(commit) {
            if transfer.order.description.as_deref() == Some(POISON) {
                return Err(Error::Poison("refused by a constraint".to_owned()));
            }
            let lock = Lock::Key(transfer.id);
            let own = self.own.transfers.contains_key(&transfer.id);
            let taken = self
                .process
                .world
                .with_lock(lock, Some(self.session), |world| {
                    if own || world.tables.transfers.contains_key(&transfer.id) {
                        world.seen.count("keys that two partitions raced for");
                        return Err(Error::Conflict("transfers_key".into()));
                    }
                    Ok(())
                });
            taken.await?;
            self.execute(|mut view| view.insert_transfer(transfer))?;
        }
        Ok(())
    }

    async fn write(&mut self, commit: &Commit) -> Result<(), Error> {
        self.execute(|mut view| view.write_accounts(commit))?;
        self.insert_transfers(commit).await?;
        self.execute(|mut view| view.insert_journal(commit))
    }
}

impl Transaction {
    pub(super) async fn load(
        open: Open,
        first: FirstLook,
        reads: &Reads,
    ) -> Result<(Self, Loaded), Error> {
        let process = open.process.clone();
        let effect = async {
            open.statement()?;
            let loaded = Self::read(open, &first, reads).await?;
            loaded.0.open.rest();
            Ok(loaded)
        };
        process.call(Point::Load, failed, effect).await
    }

    async fn read(open: Open, first: &FirstLook, reads: &Reads) -> Result<(Self, Loaded), Error> {
        let taken = open.process.take(&reads.accounts);
        let is_believed = !open.process.world.lock().distrusts();
        let (accounts, held, now) = if is_believed {
            open.process
                .world
                .lock()
                .believe(&reads.accounts, taken, first.now)
        } else {
            let (accounts, held) = open.lock_and_read(&reads.accounts).await?;
            (accounts, held, open.process.world.lock().now())
        };
        let loaded = open.loaded(reads, first, accounts, now);
        let transaction = Self {
            open,
            held,
            is_believed,
            written: Vec::new(),
        };
        Ok((transaction, loaded))
    }

    /// Locks what is believed, and looks whether it is still so.
    async fn confirm(&self) -> Result<(), Error> {
        for Remembered { key, version, .. } in self.held.iter().filter(|_| self.is_believed) {
            let is_so = |world: &mut World| {
                if version
                    .get()
                    .is_some_and(|it| world.tables.versions.get(key) == Some(it))
                {
                    return Ok(());
                }
                world.seen.count("stale memories");
                Err(Error::Conflict("an account has changed".into()))
            };
            let locked = self.open.process.world.with_lock(
                Lock::Account(key),
                Some(self.open.session),
                is_so,
            );
            locked.await?;
        }
        Ok(())
    }

    /// The next batch may believe it at once.
    fn remember(&mut self) {
        let written = self.open.own.accounts.iter().map(|(key, row)| Remembered {
            key: key.clone(),
            version: Arc::default(),
            row: row.clone(),
        });
        self.written = written.collect();
        self.open.process.remember(&self.held);
        self.open.process.remember(&self.written);
    }

    async fn write_all(&mut self, commit: &Commit) -> Result<(), Error> {
        self.confirm().await?;
        self.open.write(commit).await
    }
}

impl worker::simulation::Transaction for Transaction {
    async fn write(&mut self, commit: &Commit) -> Result<(), Error> {
        let process = self.open.process.clone();
        let effect = async {
            self.open.statement()?;
            let written = self.write_all(commit).await;
            self.open.rest();
            written
        };
        process.call(Point::Write, failed, effect).await?;
        self.remember();
        Ok(())
    }

    async fn commit(self) -> Result<(), Error> {
        let Open {
            process, session, ..
        } = &self.open;
        let effect = async {
            let mut world = process.world.lock();
            if !world.sessions.is_open(*session) {
                return Err(ended());
            }
            world.apply(&self.open);
            world.sessions.close(*session);
            for Remembered { key, version, .. } in &self.written {
                let written = version.set(world.tables.versions[key]);
                written.expect("a row is written once");
            }
            Ok(())
        };
        process.call(Point::Commit, failed, effect).await
    }
}

impl worker::simulation::Rehearsal for Rehearsal {
    async fn load(&mut self, reads: &Reads) -> Result<Loaded, Error> {
        let Self(open) = self;
        let effect = async {
            open.statement()?;
            let read = open.lock_and_read(&reads.accounts).await;
            open.rest();
            let (accounts, _) = read?;
            let world = open.process.world.lock();
            let first = FirstLook::at(&world, &reads.transfers);
            Ok(open.loaded(reads, &first, accounts, world.now()))
        };
        open.process.call(Point::Load, failed, effect).await
    }

    async fn write(&mut self, commit: &Commit) -> Result<(), Error> {
        let Self(open) = self;
        let process = open.process.clone();
        let effect = async {
            open.statement()?;
            let written = open.write(commit).await;
            open.rest();
            written
        };
        process.call(Point::Write, failed, effect).await
    }
}

impl Drop for Open {
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
    /// Whether a batch reads everything under locks.
    fn distrusts(&mut self) -> bool {
        self.faults.strikes(&mut self.chance, 5)
    }

    /// What is not remembered is read without a lock, and the clock behind it.
    fn believe(
        &mut self,
        keys: &[AccountKey],
        taken: Vec<Option<Remembered>>,
        now: Timestamp,
    ) -> (Vec<Option<AccountRow>>, Vec<Remembered>, Timestamp) {
        let is_complete = taken.iter().all(Option::is_some);
        let (what, now) = if is_complete {
            ("batches from memory", now)
        } else {
            ("batches partly from memory", self.now())
        };
        self.seen.count(what);
        let read = |key: &AccountKey| {
            let exists = self.tables.accounts.contains_key(key);
            exists.then(|| self.remembered(key))
        };
        let pairs = keys.iter().zip(taken);
        let found: Vec<_> = pairs
            .map(|(key, taken)| taken.or_else(|| read(key)))
            .collect();
        let row = |found: &Option<Remembered>| Some(found.as_ref()?.row.clone());
        let rows = found.iter().map(row).collect();
        (rows, found.into_iter().flatten().collect(), now)
    }

    fn remembered(&self, key: &AccountKey) -> Remembered {
        Remembered {
            key: key.clone(),
            version: Arc::new(self.tables.versions[key].into()),
            row: self.tables.accounts[key].clone(),
        }
    }

    fn apply(&mut self, transaction: &Open) {
        let Open {
            lease,
            advance,
            certain_at,
            own,
            ..
        } = transaction;
        let partition = lease.partition;
        let lease_until = self.lease_from_now();
        let row = self.row(partition);
        assert_eq!(
            row.epoch, lease.epoch,
            "the row is locked since it was looked at"
        );
        for (at, event) in &own.outcomes {
            let certain_at = row.certain_at;
            assert!(event.decided_at >= certain_at, "{at} was certain");
        }
        row.certain_at = *certain_at;
        row.applied = advance.next;
        row.applied_at = advance.next_at;
        row.published = row.published.max(advance.published);
        row.lease_until = lease_until;
        let tables = &mut self.tables;
        for (key, row) in &own.accounts {
            tables.accounts.insert(key.clone(), row.clone());
            *tables.versions.entry(key.clone()).or_default() += 1;
        }
        for (id, transfer) in &own.transfers {
            let before = tables.transfers.insert(*id, transfer.clone());
            assert_eq!(before, None, "a key is taken once");
        }
        for (at, event) in &own.outcomes {
            let before = tables.outcomes.insert(*at, event.clone());
            assert_eq!(before, None, "a line is decided once");
        }
        tables.debits.extend(own.debits.clone());
        tables.credits.extend(own.credits.clone());
        tables.dead_letters.extend(own.dead_letters.clone());
        assert_eq!(own.commits.len(), 1, "a transaction is a commit");
        for (at, row) in &own.commits {
            let before = tables.commits.insert(*at, *row);
            assert_eq!(before, None, "a position is committed once");
        }
        tables.history.extend(&own.history);
    }
}

pub(super) fn transfers(commit: &Commit) -> impl Iterator<Item = &Transfer> {
    commit
        .events
        .iter()
        .filter_map(|decided| match &decided.event.outcome {
            Outcome::Decided(transfer) => Some(transfer),
            _ => None,
        })
}
