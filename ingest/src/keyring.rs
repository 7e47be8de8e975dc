//! Who is calling: keys and units, held in memory.
//!
//! Invariant: a request never waits for Postgres to be let in, unless its key is unknown. While Postgres is
//! away known keys stay valid for a while, and unknown ones are told to come back rather than refused.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use axum::http::StatusCode;
use journal::Ledgers;
use schemas::{KeyId, LedgerName, Units};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::lives::Lives;
use crate::problem::Problem;
use crate::scope::Scope;
use crate::store::keys::ActiveKey;
use crate::store::{Store, Unavailable};

/// Unknown keys make the keys be read again at most this often.
const MISS_PAUSE: Duration = Duration::from_millis(250);

pub(crate) type Hash = [u8; 32];

/// The book that a key belongs to.
#[derive(Debug)]
pub(crate) struct Ledger {
    pub(crate) number: i32,
    pub(crate) name: LedgerName,
    pub(crate) units: Units,
}

#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) scope: Scope,
}

#[derive(Debug)]
struct Snapshot {
    keys: HashMap<Hash, Key>,
    /// When its reading began: what was written before is in it.
    taken: Instant,
}

#[derive(Debug)]
pub(crate) struct Keyring {
    store: Arc<Store>,
    /// Told with every reading.
    lives: Arc<Lives>,
    current: RwLock<Arc<Snapshot>>,
    /// When the last reading began, whatever became of it.
    last_read: Mutex<Instant>,
    grace: Duration,
}

/// As the keys table has it.
pub(crate) fn hash(key: &str) -> Hash {
    Sha256::digest(key.as_bytes()).into()
}

impl Keyring {
    /// # Errors
    /// When Postgres is not there at the start.
    pub(crate) async fn load(
        store: Arc<Store>,
        lives: Arc<Lives>,
        grace: Duration,
    ) -> Result<Self, crate::Error> {
        let taken = Instant::now();
        let loaded = crate::store::keys::load(store.pool())
            .await
            .map_err(|source| crate::Error::Database {
                doing: "reading the keys",
                source,
            })?;
        lives.set_known(loaded.lives);
        Ok(Self {
            store,
            lives,
            current: RwLock::new(Arc::new(Snapshot::new(loaded.ledgers, loaded.keys, taken))),
            last_read: Mutex::new(taken),
            grace,
        })
    }

    /// Reads again every so often, for ever.
    pub(crate) async fn keep_fresh(self: Arc<Self>, every: Duration) {
        loop {
            tokio::time::sleep(every).await;
            // Without Postgres the keys stay what they are; the store has said so.
            self.refresh().await.ok();
        }
    }

    pub(crate) async fn refresh(&self) -> Result<(), Unavailable> {
        let mut last_read = self.last_read.lock().await;
        self.reread(&mut last_read).await
    }

    async fn reread(&self, last_read: &mut Instant) -> Result<(), Unavailable> {
        *last_read = Instant::now();
        let loaded = self.store.load_keys().await?;
        self.lives.set_known(loaded.lives);
        let snapshot = Snapshot::new(loaded.ledgers, loaded.keys, *last_read);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
        Ok(())
    }

    /// # Errors
    /// 401 for a key that does not exist, 503 while nobody can know.
    pub(crate) async fn authenticate(&self, key: &str) -> Result<Key, Problem> {
        let hash = hash(key);
        let snapshot = self.snapshot();
        if snapshot.taken.elapsed() > self.grace {
            return Err(unknowable());
        }
        if let Some(key) = snapshot.keys.get(&hash) {
            return Ok(key.clone());
        }
        self.reread_since(Instant::now()).await?;
        let key = self.snapshot().keys.get(&hash).cloned();
        key.ok_or_else(|| {
            Problem::new(
                StatusCode::UNAUTHORIZED,
                "key_unknown",
                "this API key does not exist or was revoked",
            )
        })
    }

    /// Makes sure that the keys were read, or could not be, after `arrival`; all who wait share one reading.
    async fn reread_since(&self, arrival: Instant) -> Result<(), Problem> {
        if self.store.is_away() {
            return Err(unknowable());
        }
        let mut last_read = self.last_read.lock().await;
        if *last_read < arrival {
            tokio::time::sleep_until(*last_read + MISS_PAUSE).await;
            // Those who wait behind see from the snapshot's age whether it worked.
            self.reread(&mut last_read).await.ok();
        }
        if self.snapshot().taken < arrival {
            return Err(unknowable());
        }
        Ok(())
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Snapshot {
    fn new(ledgers: Ledgers, keys: Vec<ActiveKey>, taken: Instant) -> Self {
        let ledgers: HashMap<i32, Arc<Ledger>> = ledgers
            .into_iter()
            .map(|(name, journal::Ledger { number, units })| {
                let ledger = Ledger {
                    number,
                    name,
                    units,
                };
                (number, Arc::new(ledger))
            })
            .collect();
        let keys = keys.into_iter().filter_map(|row| {
            let key = Key {
                id: KeyId::parse(&row.id).ok()?,
                ledger: Arc::clone(ledgers.get(&row.ledger)?),
                scope: Scope::parse(&row.scope)?,
            };
            Some((Hash::try_from(row.hash).ok()?, key))
        });
        Self {
            keys: keys.collect(),
            taken,
        }
    }
}

fn unknowable() -> Problem {
    Problem::unavailable(
        "keys_unavailable",
        "API keys cannot be checked while the database is away, try again",
    )
}
