//! Whose turn it is to commit, and when.
//!
//! Invariant: batches that are not full commit one after another within a process, so that records gather meanwhile and
//! transactions are fuller. They start at an interval that is a multiple of what the last ones took, unless somebody waits
//! for an outcome: so a process that has time does not spend it on transactions that are nearly empty. Who meets trouble
//! gives back its turn before it waits.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streams::Pace;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::Error;

/// A batch starts at most once in so many times the time that one takes.
const PACE_MULTIPLE: u32 = 2;

/// The turns of a process; clones share them.
#[derive(Debug, Clone)]
pub struct Turns {
    permits: Arc<Semaphore>,
    pace: Arc<Mutex<Pace>>,
}

/// Held while a batch commits.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
    pace: Arc<Mutex<Pace>>,
    at: Instant,
}

impl Turns {
    pub fn new(commits_in_flight: usize, interval_max: Duration) -> Self {
        Self {
            permits: Arc::new(Semaphore::new(commits_in_flight)),
            pace: Arc::new(Mutex::new(Pace::new(PACE_MULTIPLE, interval_max))),
        }
    }

    /// For a batch that somebody waits for.
    pub(crate) async fn next(&self) -> Result<Turn, Error> {
        let permit = self.permit().await?;
        Ok(self.start(permit, Instant::now()))
    }

    /// For a batch that nobody waits for. Whoever keeps the pace holds no turn meanwhile, and gives way once: those that
    /// somebody waits for may be without end.
    pub(crate) async fn next_in_pace(&self) -> Result<Turn, Error> {
        let due = lock(&self.pace).next();
        tokio::time::sleep_until(due).await;
        let permit = self.permit().await?;
        let now = Instant::now();
        let due = lock(&self.pace).next();
        if due <= now {
            return Ok(self.start(permit, now));
        }
        drop(permit);
        tokio::time::sleep_until(due).await;
        self.next().await
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, Error> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.map_err(|closed| Error::unavailable("waiting for a turn", closed))
    }

    fn start(&self, permit: OwnedSemaphorePermit, at: Instant) -> Turn {
        lock(&self.pace).start(at);
        Turn {
            _permit: permit,
            pace: Arc::clone(&self.pace),
            at,
        }
    }
}

impl Turn {
    /// The batch has been committed.
    pub(crate) fn committed(self) {
        lock(&self.pace).took(self.at.elapsed());
    }
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
            let turn = turns.next().await.unwrap();
            tokio::time::advance(Duration::from_millis(20)).await;
            turn.committed();
        }
        drop(turns.next().await.unwrap());
        turns
    }

    #[tokio::test(start_paused = true)]
    async fn a_batch_that_somebody_waits_for_starts_at_once() {
        let turns = turns().await;
        let asked = Instant::now();
        turns.next().await.unwrap();
        assert_eq!(asked.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn batches_that_nobody_waits_for_keep_the_pace_over_all_partitions() {
        let turns = turns().await;
        let asked = Instant::now();
        let two = [turns.next_in_pace(), turns.next_in_pace()];
        let ended = futures::future::join_all(two.map(|turn| async {
            drop(turn.await.unwrap());
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
                turn = &mut patient => break drop(turn.unwrap()),
                turn = turns.next() => {
                    tokio::time::sleep(INTERVAL / 3).await;
                    drop(turn.unwrap());
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
            async move { turns.next_in_pace().await.map(drop) }
        });
        tokio::task::yield_now().await;
        turns.next().await.unwrap();
        assert_eq!(asked.elapsed(), Duration::ZERO);
        patient.await.unwrap().unwrap();
    }
}
