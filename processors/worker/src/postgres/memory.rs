//! Accounts that this process read or wrote last.
//!
//! Invariant: what is remembered was committed, but may be stale: whoever believes it has it confirmed in the same
//! transaction, by [`Held::place`], [`Held::writer`] and the key. Batches take what they use out and put it back once they
//! have committed: nothing of a transaction that failed, or that nobody knows the end of, is ever here.

mod confidence;

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::{RowPlace, Writer};
use ledger::{AccountKey, AccountRow};

use confidence::Confidence;

/// Which start of which server: another may have other rows under the same numbers.
pub(super) type ServerStart = i64;

/// An account in a batch's hands, and which version of its row that is.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) key: AccountKey,
    pub(super) place: RowPlace,
    pub(super) writer: Writer,
    pub(super) row: AccountRow,
}

/// Shared by all partitions of a process.
#[derive(Debug, Clone)]
pub struct Memory(Arc<Mutex<Inner>>);

/// What was used goes to the young; when those are half of what may be here they become the old, and the old that nobody
/// used meanwhile are forgotten.
#[derive(Debug)]
struct Inner {
    server: Option<ServerStart>,
    young: Accounts,
    old: Accounts,
    accounts_max: usize,
    confidence: Confidence,
}

type Accounts = HashMap<AccountKey, (RowPlace, Writer, AccountRow)>;

impl Memory {
    pub fn new(accounts_max: usize) -> Self {
        Self(Arc::new(Mutex::new(Inner {
            server: None,
            young: HashMap::new(),
            old: HashMap::new(),
            accounts_max,
            confidence: Confidence::default(),
        })))
    }

    /// All of these accounts, in their order, if each is here and what is here is worth believing. None of them is here
    /// afterwards.
    pub(super) fn take(&self, server: ServerStart, keys: &[AccountKey]) -> Option<Vec<Held>> {
        let mut inner = self.lock();
        inner.at(server);
        let mut taken = Vec::with_capacity(keys.len());
        taken.extend(keys.iter().filter_map(|key| inner.take(key)));
        let is_complete = taken.len() == keys.len();
        (is_complete && inner.confidence.believes()).then_some(taken)
    }

    /// What a commit left behind.
    pub(super) fn put(&self, server: ServerStart, accounts: impl Iterator<Item = Held>) {
        let mut inner = self.lock();
        if inner.server != Some(server) {
            return;
        }
        for Held {
            key,
            place,
            writer,
            row,
        } in accounts
        {
            inner.young.insert(key, (place, writer, row));
        }
        let forgotten = inner.grow_old();
        drop(inner);
        if !forgotten.is_empty() {
            // Takes milliseconds when they are many.
            tokio::task::spawn_blocking(move || drop(forgotten));
        }
    }

    /// What a batch believed was so.
    pub(super) fn confirmed(&self) {
        self.lock().confidence.confirmed();
    }

    /// What a batch believed was not so any more.
    pub(super) fn refuted(&self) {
        self.lock().confidence.refuted();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn at(&mut self, server: ServerStart) {
        if self.server != Some(server) {
            self.young.clear();
            self.old.clear();
            self.server = Some(server);
        }
    }

    fn take(&mut self, key: &AccountKey) -> Option<Held> {
        let (key, (place, writer, row)) =
            (self.young.remove_entry(key)).or_else(|| self.old.remove_entry(key))?;
        Some(Held {
            key,
            place,
            writer,
            row,
        })
    }

    fn grow_old(&mut self) -> Accounts {
        if self.young.len() <= self.accounts_max / 2 {
            return HashMap::new();
        }
        let young = mem::take(&mut self.young);
        mem::replace(&mut self.old, young)
    }
}
