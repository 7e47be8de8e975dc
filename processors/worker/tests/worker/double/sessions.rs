//! Open transactions of the double of Postgres: who has locked what, and who ends whom.
//!
//! Invariant: a row is locked by one session at most, and a session that is ended changes nothing any more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use ledger::AccountKey;
use schemas::{Partition, TransferId};
use tokio::time::Instant;
use worker::{Error, times};

use super::world::{Shared, World};

const LOOK_AGAIN: Duration = Duration::from_millis(3);

#[derive(Debug, Default)]
pub(crate) struct Sessions {
    open: BTreeMap<u64, Session>,
    last: u64,
}

#[derive(Debug)]
struct Session {
    partition: Partition,
    accounts: BTreeSet<AccountKey>,
    /// Inserted, not committed.
    keys: BTreeSet<TransferId>,
    /// `None` while a statement runs.
    idle_since: Option<Instant>,
}

/// What a statement waits for.
pub(crate) enum Lock<'a> {
    Partition(Partition),
    Account(&'a AccountKey),
    Key(TransferId),
}

impl Sessions {
    pub(crate) fn open(&mut self, partition: Partition) -> u64 {
        self.last += 1;
        let session = Session {
            partition,
            accounts: BTreeSet::new(),
            keys: BTreeSet::new(),
            idle_since: None,
        };
        self.open.insert(self.last, session);
        self.last
    }

    pub(crate) fn close(&mut self, number: u64) {
        self.open.remove(&number);
    }

    pub(crate) fn is_open(&self, number: u64) -> bool {
        self.open.contains_key(&number)
    }

    pub(crate) fn set_idle(&mut self, number: u64, idle: bool) {
        if let Some(session) = self.open.get_mut(&number) {
            session.idle_since = idle.then(Instant::now);
        }
    }

    fn take(&mut self, number: u64, lock: &Lock<'_>) {
        let Some(session) = self.open.get_mut(&number) else {
            return;
        };
        match lock {
            Lock::Partition(_) => {}
            Lock::Account(key) => drop(session.accounts.insert((*key).clone())),
            Lock::Key(id) => drop(session.keys.insert(*id)),
        }
    }

    /// The session that has locked a row, unless it is `ours`.
    fn holder(&self, lock: &Lock<'_>, ours: Option<u64>) -> Option<u64> {
        let holds = |session: &Session| match lock {
            Lock::Partition(partition) => session.partition == *partition,
            Lock::Account(key) => session.accounts.contains(*key),
            Lock::Key(id) => session.keys.contains(id),
        };
        self.open
            .iter()
            .find(|(number, session)| Some(**number) != ours && holds(session))
            .map(|(number, _)| *number)
    }
}

impl World {
    /// Ends the sessions that did nothing for too long inside a transaction.
    fn end_idle_sessions(&mut self) {
        let Some(idle_max) = self.idle_max else {
            return;
        };
        let before = self.sessions.open.len();
        self.sessions.open.retain(|_, session| {
            session
                .idle_since
                .is_none_or(|since| since.elapsed() < idle_max)
        });
        for _ in self.sessions.open.len()..before {
            self.seen.count("sessions ended for being idle");
        }
    }
}

impl Shared {
    /// Waits until nobody else holds `lock`, then takes it for the session `ours` and does `then`.
    pub(crate) async fn with_lock<T>(
        &self,
        lock: Lock<'_>,
        ours: Option<u64>,
        then: impl FnOnce(&mut World) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let started = Instant::now();
        let mut waited = false;
        loop {
            {
                let mut world = self.lock();
                world.end_idle_sessions();
                if ours.is_some_and(|ours| !world.sessions.is_open(ours)) {
                    return Err(ended());
                }
                if world.sessions.holder(&lock, ours).is_none() {
                    if let Some(ours) = ours {
                        world.sessions.take(ours, &lock);
                    }
                    return then(&mut world);
                }
                if !waited {
                    waited = true;
                    world.seen.count("statements that waited for a lock");
                }
            }
            if started.elapsed() > times::LOCK_MAX {
                self.lock().seen.count("lock time-outs");
                return Err(Error::Blocked("lock time-out".into()));
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Waits for the row of a partition whose lease has run out, and ends the session that holds it too long.
    pub(crate) async fn free_for_takeover(&self, partition: Partition) {
        let started = Instant::now();
        loop {
            {
                let mut world = self.lock();
                world.end_idle_sessions();
                let Some(holder) = world.sessions.holder(&Lock::Partition(partition), None) else {
                    return;
                };
                if started.elapsed() > times::BLOCKED_MAX {
                    world.sessions.close(holder);
                    world.seen.count("sessions ended by a takeover");
                }
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

/// Its locks are gone, and so is what it had written.
pub(crate) fn ended() -> Error {
    Error::Unavailable {
        doing: "using a session",
        source: "the server ended it".into(),
    }
}
