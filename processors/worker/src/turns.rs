//! Whose turn it is to commit.
//!
//! Invariant: batches that are not full commit one after another within a process, so that records gather meanwhile and
//! transactions are fuller. Nobody who waits for something else holds a turn.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::Error;

/// The turns of a process; clones share them.
#[derive(Debug, Clone)]
pub struct Turns(Arc<Semaphore>);

/// Held while a batch commits.
#[derive(Debug)]
pub(crate) struct Turn {
    _permit: OwnedSemaphorePermit,
}

impl Turns {
    pub fn new(commits_in_flight: usize) -> Self {
        Self(Arc::new(Semaphore::new(commits_in_flight)))
    }

    pub(crate) async fn next(&self) -> Result<Turn, Error> {
        let permit = Arc::clone(&self.0).acquire_owned().await;
        permit
            .map(|permit| Turn { _permit: permit })
            .map_err(|closed| Error::unavailable("waiting for a turn", closed))
    }
}
