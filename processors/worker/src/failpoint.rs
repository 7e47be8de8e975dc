//! A place where a fault test makes the processor stand still: inside its open transaction, before COMMIT.
//!
//! Invariant: without the file nothing happens, and the file works once.

use std::path::PathBuf;
use std::time::Duration;

/// While `PATH` exists, the next batch renames it to `PATH.reached` and waits until that file is gone.
#[derive(Debug, Clone)]
pub struct Failpoint(pub PathBuf);

const LOOK_AGAIN: Duration = Duration::from_millis(10);

impl Failpoint {
    pub(crate) async fn pass(&self) {
        let reached = self.0.with_extension("reached");
        if tokio::fs::rename(&self.0, &reached).await.is_err() {
            return;
        }
        tracing::warn!(file = %reached.display(), "standing still inside an open transaction");
        while tokio::fs::try_exists(&reached).await.unwrap_or(false) {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}
