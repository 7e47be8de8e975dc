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

use crate::{Error, times};

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
        let permit = Arc::clone(&self.decide).acquire_owned().await;
        permit.map_err(|closed| Error::unavailable("waiting for a turn", closed))
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
    /// Waits until the batch before is committed.
    ///
    /// # Errors
    /// `Blocked` when that takes longer than a transaction may stand still.
    pub(crate) async fn write(&mut self) -> Result<(), Error> {
        if self.write.is_some() {
            return Ok(());
        }
        let permit = Arc::clone(&self.turns.write).acquire_owned();
        let permit = tokio::time::timeout(times::UNWRITTEN_MAX, permit).await;
        let permit = permit.map_err(|_| Error::Blocked("the batch before it commits".into()))?;
        self.write = Some(permit.map_err(|closed| Error::unavailable("waiting to write", closed))?);
        Ok(())
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

    #[tokio::test(start_paused = true)]
    async fn a_batch_is_decided_while_the_one_before_commits_and_written_afterwards() {
        let turns = turns().await;
        let mut before = turns.next().await.unwrap();
        before.write().await.unwrap();
        before.pass_on();
        let mut turn = turns.next().await.unwrap();
        let asked = Instant::now();
        let (written, ()) = tokio::join!(turn.write(), async {
            tokio::time::sleep(20 * INTERVAL).await;
            before.committed();
        });
        written.unwrap();
        assert_eq!(asked.elapsed(), 20 * INTERVAL);
    }

    #[tokio::test(start_paused = true)]
    async fn a_transaction_does_not_stand_still_for_long() {
        let turns = turns().await;
        let mut before = turns.next().await.unwrap();
        before.write().await.unwrap();
        before.pass_on();
        let mut turn = turns.next().await.unwrap();
        let blocked = turn.write().await.unwrap_err();
        assert!(matches!(blocked, Error::Blocked(_)), "{blocked}");
    }
}
