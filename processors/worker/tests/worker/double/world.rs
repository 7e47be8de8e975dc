//! Everything that outlives a process: tables, sessions, streams, the clock and the dice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use journal::{CommitRow, Ledgers};
use ledger::{AccountKey, AccountRow};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use schemas::{
    AccountId, Event, LinePosition, Partition, Position, Timestamp, Transfer, TransferId,
};
use streams::DeadLetterRecord;
use tokio::sync::Notify;
use tokio::time::Instant;
use worker::times;

use super::commands::{Appended, Commands};
use super::events::Events;
use super::faults::{Faults, Seen};
use super::sessions::Sessions;

/// 2026-11-21T00:00:00Z.
const EPOCH_SECONDS: i64 = 1_795_219_200;

/// A partition's row.
#[derive(Debug, Clone)]
pub(crate) struct PartitionRow {
    pub(crate) owner: Option<String>,
    pub(crate) epoch: i64,
    pub(crate) lease_until: Timestamp,
    pub(crate) stream_created: Option<Timestamp>,
    pub(crate) applied: Position,
    pub(crate) applied_at: Timestamp,
    pub(crate) published: Position,
    pub(crate) dlq_published: Position,
    pub(crate) stopped: Option<String>,
    pub(crate) certain_at: Timestamp,
}

#[derive(Debug, Default)]
pub(crate) struct Tables {
    pub(crate) ledgers: Ledgers,
    pub(crate) partitions: BTreeMap<Partition, PartitionRow>,
    pub(crate) accounts: BTreeMap<AccountKey, AccountRow>,
    /// Which version of its row an account has; of another one every time that it is written.
    pub(crate) versions: BTreeMap<AccountKey, u64>,
    pub(crate) transfers: BTreeMap<TransferId, Transfer>,
    /// Indexes of `transfers`: which version of an account was posted on this side.
    pub(crate) debits: BTreeSet<(AccountId, i64)>,
    pub(crate) credits: BTreeSet<(AccountId, i64)>,
    /// Every outcome: rows of `transfers`, `outcomes` and `dead_letters`.
    pub(crate) outcomes: BTreeMap<LinePosition, Event>,
    pub(crate) dead_letters: BTreeMap<LinePosition, DeadLetterRecord>,
    pub(crate) commits: BTreeMap<(Partition, Position), CommitRow>,
    /// In the order in which they happened, across partitions.
    pub(crate) history: Vec<(Partition, Position)>,
}

pub(crate) struct World {
    pub(crate) chance: StdRng,
    pub(crate) faults: Faults,
    pub(crate) seen: Seen,
    /// A digest of all calls, to compare two runs of one seed.
    pub(crate) trace: blake3::Hasher,
    pub(crate) started: Instant,
    pub(crate) lease: Duration,
    /// `idle_in_transaction_session_timeout`; `None` as if it did not work.
    pub(crate) idle_max: Option<Duration>,
    pub(crate) tables: Tables,
    pub(crate) sessions: Sessions,
    pub(crate) commands: Commands,
    /// Wakes whoever waits for a record.
    pub(crate) appended: Arc<Notify>,
    pub(crate) events: Events,
}

/// The world, as every process sees it.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Mutex<World>>);

impl Shared {
    pub(crate) fn new(seed: u64, partitions: u16, lease: Duration) -> Self {
        let row = PartitionRow {
            owner: None,
            epoch: 0,
            lease_until: Timestamp::default(),
            stream_created: None,
            applied: Position::default(),
            applied_at: Timestamp::default(),
            published: Position::default(),
            dlq_published: Position::default(),
            stopped: None,
            certain_at: Timestamp::default(),
        };
        let tables = Tables {
            partitions: (0..partitions)
                .map(|number| (Partition(number), row.clone()))
                .collect(),
            ..Tables::default()
        };
        Self(Arc::new(Mutex::new(World {
            chance: StdRng::seed_from_u64(seed),
            faults: Faults::NONE,
            seen: Seen::default(),
            trace: blake3::Hasher::new(),
            started: Instant::now(),
            lease,
            idle_max: Some(times::IDLE_MAX),
            tables,
            sessions: Sessions::default(),
            commands: Commands::default(),
            appended: Arc::default(),
            events: Events::default(),
        })))
    }

    /// Never across a wait.
    pub(crate) fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl World {
    /// The one clock, which the tests' runtime moves.
    pub(crate) fn now(&self) -> Timestamp {
        let passed = i64::try_from(self.started.elapsed().as_micros()).unwrap();
        Timestamp::from_nanoseconds((EPOCH_SECONDS * 1_000_000 + passed) * 1000)
    }

    pub(crate) fn append(&mut self, record: Appended) -> u64 {
        let now = self.now();
        self.appended.notify_waiters();
        self.commands.append(record, now)
    }

    pub(crate) fn lease_from_now(&self) -> Timestamp {
        let lease = i64::try_from(self.lease.as_nanos()).unwrap();
        Timestamp::from_nanoseconds(self.now().nanoseconds() + lease)
    }
}
