//! Whose turn it is to commit, and when.
//!
//! Invariant: batches of a process are decided one after another, so that each finds in memory what the one before left,
//! and records gather meanwhile: transactions are fuller. A batch that has been written passes its turn on; the next one is
//! decided while it commits, and written afterwards. Batches that are not full start at an interval that is a multiple of
//! what the last ones took, unless somebody waits for an outcome: so a process that has time does not spend it on
//! transactions that are nearly empty. Who meets trouble gives back its turn before it waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streams::Pace;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

/// A batch starts at most once in so many times the time that one takes.
const PACE_MULTIPLE: u32 = 2;

/// The turns of a process; clones share them.
#[derive(Debug, Clone)]
pub struct Turns {
    decide: Arc<Semaphore>,
    write: Arc<Semaphore>,
    pace: Arc<Mutex<Pace>>,
}

/// Held by a batch.
#[derive(Debug)]
pub(crate) struct Turn {
    turns: Turns,
    /// `None` once it is passed on.
    decide: Option<OwnedSemaphorePermit>,
    /// Until the batch is committed.
    write: Option<OwnedSemaphorePermit>,
    at: Instant,
}

impl Turns {
    pub fn new(commits_in_flight: usize, interval_max: Duration) -> Self {
        Self {
            decide: Arc::new(Semaphore::new(commits_in_flight)),
            write: Arc::new(Semaphore::new(commits_in_flight)),
            pace: Arc::new(Mutex::new(Pace::new(PACE_MULTIPLE, interval_max))),
        }
    }

    /// Transactions that are open at a time under turns: as many are decided as commit.
    pub(crate) fn transactions_max(commits_in_flight: usize) -> usize {
        commits_in_flight.saturating_mul(2)
    }

    /// For a batch that somebody waits for.
    pub(crate) async fn next(&self) -> Turn {
        let permit = permit(&self.decide).await;
        self.start(permit, Instant::now())
    }

    /// For a batch that nobody waits for. Whoever keeps the pace holds no turn meanwhile, and gives way once: those that
    /// somebody waits for may be without end.
    pub(crate) async fn next_in_pace(&self) -> Turn {
        let due = lock(&self.pace).next();
        tokio::time::sleep_until(due).await;
        let permit = permit(&self.decide).await;
        let now = Instant::now();
        let due = lock(&self.pace).next();
        if due <= now {
            return self.start(permit, now);
        }
        drop(permit);
        tokio::time::sleep_until(due).await;
        self.next().await
    }

    fn start(&self, permit: OwnedSemaphorePermit, at: Instant) -> Turn {
        lock(&self.pace).start(at);
        Turn {
            turns: self.clone(),
            decide: Some(permit),
            write: None,
            at,
        }
    }
}

impl Turn {
    /// Waits until the batch may be written: the one before is committed.
    pub(crate) async fn write(&mut self) {
        if self.write.is_none() {
            self.write = Some(permit(&self.turns.write).await);
        }
    }

    /// The batch has been written.
    pub(crate) fn pass_on(&mut self) {
        self.decide = None;
    }

    /// The batch has been committed.
    pub(crate) fn committed(self) {
        lock(&self.turns.pace).took(self.at.elapsed());
    }
}

async fn permit(permits: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    let permit = Arc::clone(permits).acquire_owned().await;
    permit.expect("nobody closes it")
}

fn lock(pace: &Mutex<Pace>) -> MutexGuard<'_, Pace> {
    pace.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(3);

    /// Turns of a process whose transactions take long.
    async fn turns() -> Turns {
        let turns = Turns::new(1, INTERVAL);
        for _ in 0..50 {
            let turn = turns.next().await;
            tokio::time::advance(Duration::from_millis(20)).await;
            turn.committed();
        }
        drop(turns.next().await);
        turns
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_somebody_waits_for_starts_at_once() {
        let turns = turns().await;
        let asked = Instant::now();
        turns.next().await;
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn batches_that_nobody_waits_for_keep_the_pace_over_all_partitions() {
        let turns = turns().await;
        let asked = Instant::now();
        let two = [turns.next_in_pace(), turns.next_in_pace()];
        let ended = futures::future::join_all(two.map(|turn| async {
            drop(turn.await);
            asked.elapsed()
        }));
        let mut ended = ended.await;
        ended.sort();
        assert!(
            ended[0] >= INTERVAL && ended[1] >= ended[0] + INTERVAL,
            "{ended:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_somebody_waits_for_keep_nobody_for_ever() {
        let turns = turns().await;
        let asked = Instant::now();
        let mut patient = std::pin::pin!(turns.next_in_pace());
        loop {
            tokio::select! {
                biased;
                turn = &mut patient => break drop(turn),
                turn = turns.next() => {
                    tokio::time::sleep(INTERVAL / 3).await;
                    drop(turn);
                }
            }
            assert!(asked.elapsed() < 4 * INTERVAL, "{:?}", asked.elapsed());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_keeps_the_pace_keeps_nobody_waiting() {
        let turns = turns().await;
        let asked = Instant::now();
        let patient = tokio::spawn({
            let turns = turns.clone();
            async move { drop(turns.next_in_pace().await) }
        });
        tokio::task::yield_now().await;
        turns.next().await;
        assert_eq!(asked.elapsed(), Duration::ZERO);
        patient.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_decided_while_the_one_before_commits_and_written_afterwards() {
        let turns = turns().await;
        let mut before = turns.next().await;
        before.write().await;
        before.pass_on();
        let mut turn = turns.next().await;
        let asked = Instant::now();
        tokio::join!(turn.write(), async {
            tokio::time::sleep(20 * INTERVAL).await;
            before.committed();
        });
        assert_eq!(asked.elapsed(), 20 * INTERVAL);
    }
}
