//! Commits onto EVENTS, one at a time and in order.
//!
//! Invariant: a commit stands on EVENTS once.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use schemas::Position;
use streams::{EventRecord, PublishError};
use tokio::sync::mpsc;

use crate::seam::Log;
use crate::{Error, metrics};

const PAUSE_MIN: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// Publishes what it receives until the sender is gone; `published` follows.
pub(crate) async fn publish_all<L: Log>(
    log: &L,
    mut commits: mpsc::Receiver<EventRecord>,
    mut after: u64,
    published: &AtomicI64,
) -> Result<(), Error> {
    while let Some(commit) = commits.recv().await {
        after = publish(log, &commit, after).await?;
        published.store(commit.position.number(), Ordering::Relaxed);
    }
    Ok(())
}

/// Publishes one commit behind the record with sequence `after` and gives its own sequence.
///
/// # Errors
/// `Fenced` when a newer commit stands there already.
pub(crate) async fn publish<L: Log>(
    log: &L,
    record: &EventRecord,
    mut after: u64,
) -> Result<u64, Error> {
    let mut pause = PAUSE_MIN;
    loop {
        match publish_once(log, record, after).await {
            Ok(sequence) => return Ok(sequence),
            Err(PublishError::WrongLast) => {}
            Err(error) => {
                metrics::publish_failed(record.partition);
                tracing::warn!(partition = %record.partition, position = %record.position, error = %error, "the commit is not published yet");
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSE_MAX);
            }
        }
        let Ok(last) = log.last_published(record.partition).await else {
            continue;
        };
        match last {
            Some(last) if last.hash == record.hash => return Ok(last.sequence),
            Some(last) if last.hash == record.previous_hash => after = last.sequence,
            None if record.previous_hash == [0; 32] => after = 0,
            None => {
                return Err(Error::unavailable(
                    "publishing a commit",
                    "EVENTS was emptied; it is filled again from Postgres",
                ));
            }
            Some(_) => return Err(Error::Fenced),
        }
    }
}

async fn publish_once<L: Log>(
    log: &L,
    record: &EventRecord,
    after: u64,
) -> Result<u64, PublishError> {
    let started = tokio::time::Instant::now();
    let sequence = log.publish(record, after).await?;
    metrics::published(started.elapsed());
    Ok(sequence)
}

pub(crate) fn position(published: &AtomicI64) -> Position {
    Position::from_number(published.load(Ordering::Relaxed))
}
