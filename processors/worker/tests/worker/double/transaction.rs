//! A transaction on the double of Postgres.
//!
//! Invariant: its writes are applied at once, at its COMMIT, and only while its session lives.

use std::collections::BTreeMap;
use std::sync::Arc;

use ledger::{AccountKey, AccountRow, Reads, Rows};
use rand::RngExt as _;
use schemas::{Outcome, Timestamp, Transfer, TransferId};
use worker::Error;
use worker::simulation::{Advance, Commit, Lease, Transaction as Seam};

use super::constraints::{View, by_key};
use super::faults::Point;
use super::process::{Process, Remembered};
use super::sessions::{Lock, ended};
use super::store::failed;
use super::world::{Tables, World};

/// The description of a command that the double refuses to store.
pub(crate) const POISON: &str = "poison";

pub(crate) struct Transaction {
    pub(super) process: Process,
    pub(super) session: u64,
    pub(super) lease: Lease,
    pub(super) advance: Advance,
    /// Nothing is decided before this time.
    pub(super) certain_at: Timestamp,
    /// What came with its begin, for its first batch.
    pub(super) first: Option<FirstLook>,
    /// Whether its process remembers what it commits.
    pub(super) remembers: bool,
    /// The accounts of its batch that exist.
    pub(super) held: Vec<Remembered>,
    /// What its process believes of it already; its versions are known once it is committed.
    pub(super) written: Vec<Remembered>,
    /// They are from memory, and to be confirmed.
    pub(super) is_believed: bool,
    /// What it has written; seen by itself, and by others once it is committed.
    pub(super) own: Tables,
}

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

impl Transaction {
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

    async fn read(&mut self, reads: &Reads) -> Result<(Rows, Timestamp), Error> {
        let first = self.first.take();
        let remembered = self.remembers.then(|| self.process.take(&reads.accounts));
        let believed = first.as_ref().zip(remembered.flatten());
        let (accounts, now) = if let Some((first, held)) = believed {
            self.process.world.lock().seen.count("batches from memory");
            let accounts = held.iter().map(|held| Some(held.row.clone())).collect();
            (self.held, self.is_believed) = (held, true);
            (accounts, first.now)
        } else {
            let accounts = self.lock_and_read(&reads.accounts).await?;
            (accounts, self.process.world.lock().now())
        };
        let world = self.process.world.lock();
        let first = first.unwrap_or_else(|| FirstLook::at(&world, &reads.transfers));
        let stored = |id| {
            let own = self.own.transfers.get(id);
            own.or_else(|| first.taken.get(id)).cloned()
        };
        let transfers = reads.transfers.iter().map(stored).collect();
        let rows = Rows {
            accounts,
            transfers,
        };
        Ok((rows, now.max(self.certain_at)))
    }

    async fn lock_and_read(
        &mut self,
        keys: &[AccountKey],
    ) -> Result<Vec<Option<AccountRow>>, Error> {
        let mut accounts: Vec<Option<AccountRow>> = Vec::with_capacity(keys.len());
        self.held.clear();
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
            let held = world
                .with_lock(Lock::Account(key), Some(self.session), read)
                .await?;
            accounts.push(Some(held.row.clone()));
            self.held.push(held);
        }
        Ok(accounts)
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
            let locked =
                self.process
                    .world
                    .with_lock(Lock::Account(key), Some(self.session), is_so);
            locked.await?;
        }
        Ok(())
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

    /// The next batch may believe it at once.
    fn remember(&mut self) {
        let written = self.own.accounts.iter().map(|(key, row)| Remembered {
            key: key.clone(),
            version: Arc::default(),
            row: row.clone(),
        });
        self.written = written.collect();
        self.process.remember(&self.held);
        self.process.remember(&self.written);
    }

    async fn write_all(&mut self, commit: &Commit) -> Result<(), Error> {
        self.confirm().await?;
        self.execute(|mut view| view.write_accounts(commit))?;
        self.insert_transfers(commit).await?;
        self.execute(|mut view| view.insert_journal(commit))
    }
}

impl Seam for Transaction {
    async fn load(&mut self, reads: &Reads) -> Result<(Rows, Timestamp), Error> {
        let process = self.process.clone();
        let effect = async {
            self.statement()?;
            let read = self.read(reads).await;
            self.rest();
            read
        };
        process.call(Point::Load, failed, effect).await
    }

    async fn write(&mut self, commit: &Commit) -> Result<(), Error> {
        let process = self.process.clone();
        let effect = async {
            self.statement()?;
            let written = self.write_all(commit).await;
            self.rest();
            written
        };
        process.call(Point::Write, failed, effect).await?;
        if self.remembers {
            self.remember();
        }
        Ok(())
    }

    async fn commit(self) -> Result<(), Error> {
        let effect = async {
            let mut world = self.process.world.lock();
            if !world.sessions.is_open(self.session) {
                return Err(ended());
            }
            world.apply(&self);
            world.sessions.close(self.session);
            for Remembered { key, version, .. } in &self.written {
                let written = version.set(world.tables.versions[key]);
                written.expect("a row is written once");
            }
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
    fn remembered(&self, key: &AccountKey) -> Remembered {
        Remembered {
            key: key.clone(),
            version: Arc::new(self.tables.versions[key].into()),
            row: self.tables.accounts[key].clone(),
        }
    }

    fn apply(&mut self, transaction: &Transaction) {
        let Transaction {
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
