//! How far the partitions are: one look at Postgres for everybody who waits.
//!
//! Invariant: however many wait, Postgres is asked once a [`PAUSE`], and never while nobody waits. Who is told to look
//! still looks for itself.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::{LinePosition, Partition, Position, TransferId};
use tokio::sync::{Notify, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use crate::store::Store;

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Progress {
    store: Arc<Store>,
    /// Applied position of each partition.
    applied: watch::Sender<HashMap<Partition, Position>>,
    unplaced: Mutex<Unplaced>,
    somebody_waits: Notify,
}

/// Those who wait for a transfer without knowing its place on the log.
#[derive(Debug, Default)]
struct Unplaced {
    waiters: Vec<Waiter>,
    /// Whether some came since the last look.
    has_new: bool,
}

#[derive(Debug)]
struct Waiter {
    ledger: i32,
    id: TransferId,
    decided: oneshot::Sender<()>,
}

impl Progress {
    pub(crate) fn new(store: Arc<Store>) -> Arc<Self> {
        Arc::new(Self {
            store,
            applied: watch::Sender::new(HashMap::new()),
            unplaced: Mutex::default(),
            somebody_waits: Notify::new(),
        })
    }

    /// Waits until balances reflect all these places of the log, or until the time is over.
    pub(crate) async fn reached(
        &self,
        places: impl IntoIterator<Item = LinePosition>,
        until: Instant,
    ) {
        let mut last: HashMap<Partition, Position> = HashMap::new();
        for at in places {
            let last = last.entry(at.partition).or_default();
            *last = at.position.max(*last);
        }
        let mut applied = self.applied.subscribe();
        self.somebody_waits.notify_one();
        let is_reached = |applied: &HashMap<Partition, Position>| {
            last.iter()
                .all(|(partition, last)| applied.get(partition).is_some_and(|at| at >= last))
        };
        // Whether in time or not: the caller looks.
        timeout_at(until, applied.wait_for(is_reached))
            .await
            .map(drop)
            .ok();
    }

    /// Waits until a transfer is decided, or until the time is over.
    pub(crate) async fn decided(&self, ledger: i32, id: TransferId, until: Instant) {
        let (decided, hears) = oneshot::channel();
        let waiter = Waiter {
            ledger,
            id,
            decided,
        };
        {
            let mut unplaced = self.lock();
            unplaced.waiters.push(waiter);
            unplaced.has_new = true;
        }
        // Counts as somebody who waits.
        let _applied = self.applied.subscribe();
        self.somebody_waits.notify_one();
        timeout_at(until, hears).await.map(drop).ok();
    }

    /// Looks while somebody waits, for ever.
    pub(crate) async fn watch(self: Arc<Self>) {
        loop {
            if self.applied.receiver_count() == 0 {
                self.lock().waiters.clear();
                self.somebody_waits.notified().await;
            }
            self.look().await;
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn look(&self) {
        // Without Postgres nobody can know; the store has said so.
        let Ok(positions) = self.store.applied_positions().await else {
            return;
        };
        let positions = positions.into_iter().collect();
        let has_moved = self.applied.send_if_modified(|applied| {
            let has_moved = *applied != positions;
            *applied = positions;
            has_moved
        });
        let asked: Vec<(i32, TransferId)> = {
            let mut unplaced = self.lock();
            unplaced
                .waiters
                .retain(|waiter| !waiter.decided.is_closed());
            if !has_moved && !unplaced.has_new {
                return;
            }
            unplaced.has_new = false;
            let asked = unplaced.waiters.iter();
            asked.map(|waiter| (waiter.ledger, waiter.id)).collect()
        };
        if asked.is_empty() {
            return;
        }
        let Ok(decided) = self.store.decided_among(&asked).await else {
            self.lock().has_new = true;
            return;
        };
        let mut unplaced = self.lock();
        let told = unplaced
            .waiters
            .extract_if(.., |waiter| decided.contains(&(waiter.ledger, waiter.id)));
        for waiter in told {
            // Those who left need not hear.
            waiter.decided.send(()).ok();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Unplaced> {
        self.unplaced.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
