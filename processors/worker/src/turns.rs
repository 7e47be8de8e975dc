//! Whose turn it is to commit, and when.
//!
//! Invariant: batches that are not full commit one after another within a process, so that records gather meanwhile and
//! transactions are fuller. They leave a pause that is a multiple of what the last ones took, unless somebody waits for an
//! outcome: so a process that has time does not spend it on transactions that are nearly empty. Nobody who waits for
//! something else holds a turn.

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
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        let permit = permit.map_err(|closed| Error::unavailable("waiting for a turn", closed))?;
        let at = Instant::now();
        lock(&self.pace).start(at);
        Ok(Turn {
            _permit: permit,
            pace: Arc::clone(&self.pace),
            at,
        })
    }

    /// For a batch that nobody waits for. Whoever keeps the pace holds no turn meanwhile.
    pub(crate) async fn next_in_pace(&self) -> Result<Turn, Error> {
        loop {
            let due = lock(&self.pace).next();
            tokio::time::sleep_until(due).await;
            let permit = Arc::clone(&self.permits).acquire_owned().await;
            let permit =
                permit.map_err(|closed| Error::unavailable("waiting for a turn", closed))?;
            let at = Instant::now();
            let mut pace = lock(&self.pace);
            // Another one may have started meanwhile.
            if pace.next() <= at {
                pace.start(at);
                return Ok(Turn {
                    _permit: permit,
                    pace: Arc::clone(&self.pace),
                    at,
                });
            }
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
