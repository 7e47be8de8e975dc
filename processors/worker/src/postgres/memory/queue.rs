//! Batches of one process that use the same accounts, one after another.
//!
//! Invariant: a batch waits only for those that came before it, and not for ever: one that stands still holds up others no
//! longer than [`WAIT_MAX`].

use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ledger::AccountKey;
use tokio::sync::Notify;

/// After this time a batch goes on beside one that it shares accounts with, and meets its locks.
const WAIT_MAX: Duration = Duration::from_millis(500);

#[derive(Debug, Clone, Default)]
pub(super) struct Queue(Arc<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    hasher: RandomState,
    batches: Mutex<Batches>,
    left: Notify,
}

/// In the order in which they came.
#[derive(Debug, Default)]
struct Batches {
    batches: Vec<(u64, Arc<[u64]>)>,
    last: u64,
}

/// A batch in the queue, until it is dropped.
#[derive(Debug)]
pub(in crate::postgres) struct Place {
    queue: Queue,
    number: u64,
}

impl Queue {
    pub(super) async fn next(&self, keys: &[AccountKey]) -> Place {
        // Two accounts of one hash wait for each other now and then: that is all.
        let mut hashes: Vec<u64> = keys.iter().map(|key| self.0.hasher.hash_one(key)).collect();
        hashes.sort_unstable();
        let hashes: Arc<[u64]> = hashes.into();
        let place = self.enter(Arc::clone(&hashes));
        let its_turn = async {
            loop {
                let left = self.0.left.notified();
                tokio::pin!(left);
                left.as_mut().enable();
                if !self.lock().is_before(place.number, &hashes) {
                    return;
                }
                left.await;
            }
        };
        if tokio::time::timeout(WAIT_MAX, its_turn).await.is_err() {
            tracing::debug!("a batch goes on beside another one of its accounts");
        }
        place
    }

    fn enter(&self, hashes: Arc<[u64]>) -> Place {
        let mut batches = self.lock();
        batches.last += 1;
        let number = batches.last;
        batches.batches.push((number, hashes));
        Place {
            queue: self.clone(),
            number,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Batches> {
        self.0
            .batches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Batches {
    /// Whether a batch before this one has one of these accounts.
    fn is_before(&self, number: u64, hashes: &[u64]) -> bool {
        let mut before = self.batches.iter().take_while(|(other, _)| *other < number);
        before.any(|(_, others)| have_common(others, hashes))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let number = self.number;
        self.queue
            .lock()
            .batches
            .retain(|(other, _)| *other != number);
        self.queue.0.left.notify_waiters();
    }
}

/// Both are sorted.
fn have_common(mut a: &[u64], mut b: &[u64]) -> bool {
    while let (Some(first), Some(second)) = (a.first(), b.first()) {
        match first.cmp(second) {
            std::cmp::Ordering::Less => a = &a[1..],
            std::cmp::Ordering::Greater => b = &b[1..],
            std::cmp::Ordering::Equal => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use schemas::AccountId;
    use tokio::time::Instant;

    use super::*;

    fn accounts(ids: &[&str]) -> Vec<AccountKey> {
        let key = |id: &&str| AccountKey {
            ledger: 1,
            id: AccountId::parse(id).unwrap(),
        };
        ids.iter().map(key).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn batches_of_a_common_account_go_in_the_order_in_which_they_came() {
        let queue = Queue::default();
        let first = queue.next(&accounts(&["a", "b"])).await;
        let others = queue.next(&accounts(&["c", "d"])).await;
        let second = accounts(&["b", "x"]);
        let mut second = Box::pin(queue.next(&second));
        assert!(futures::poll!(&mut second).is_pending());
        let third = accounts(&["x"]);
        let mut third = Box::pin(queue.next(&third));
        assert!(futures::poll!(&mut third).is_pending());

        drop(others);
        assert!(futures::poll!(&mut second).is_pending());
        drop(first);
        assert!(futures::poll!(&mut third).is_pending());
        let second = second.await;
        assert!(futures::poll!(&mut third).is_pending());
        drop(second);
        drop(third.await);
    }

    #[tokio::test(start_paused = true)]
    async fn who_gives_up_waiting_is_waited_for_by_nobody() {
        let queue = Queue::default();
        let first = queue.next(&accounts(&["a"])).await;
        let waits = accounts(&["a", "b"]);
        let mut waits = Box::pin(queue.next(&waits));
        assert!(futures::poll!(&mut waits).is_pending());
        drop(waits);
        let started = Instant::now();
        drop(queue.next(&accounts(&["b"])).await);
        assert_eq!(started.elapsed(), Duration::ZERO);
        drop(first);
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_stands_still_is_not_waited_for_for_ever() {
        let queue = Queue::default();
        let _still = queue.next(&accounts(&["a"])).await;
        let started = Instant::now();
        drop(queue.next(&accounts(&["a"])).await);
        assert_eq!(started.elapsed(), WAIT_MAX);
    }
}
