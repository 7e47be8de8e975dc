//! One partition for as long as it is ours.
//!
//! Invariant: every failure leads back to a takeover, so that recovery is one path, taken often.

use schemas::{Partition, Position};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::config::FAILURES_SHOWN;
use crate::poison::Findings;
use crate::process::process;
use crate::seam::{Lease, Log, Row, Store};
use crate::takeover::prepare;
use crate::times::within;
use crate::turns::Turns;
use crate::{Config, Error, metrics};

/// What a process works its partitions with.
#[derive(Debug, Clone)]
pub struct Processor<S, L> {
    pub store: S,
    pub log: L,
    pub config: Config,
    /// Random for each start.
    pub owner: String,
    pub turns: Turns,
}

/// How holding a partition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// We gave it back.
    Released,
    /// Somebody else has it.
    Lost,
}

/// What ended a session with a partition; [`hold`] says what follows.
#[derive(Debug)]
pub(crate) enum SessionEnd {
    /// We were asked to give it back, and did.
    Released,
    /// Its lease is somebody else's.
    Taken,
    /// Somebody else took it over while we held it.
    Fenced,
    /// It can be tried again: a server was away, a lock was held, a place was lost.
    Failed(Error),
    /// Nothing goes on until an operator has looked.
    Stopped(Error),
}

impl From<Error> for SessionEnd {
    fn from(error: Error) -> Self {
        match error {
            Error::Fenced => Self::Fenced,
            Error::Stopped(_) => Self::Stopped(error),
            Error::Unavailable { .. }
            | Error::Conflict(_)
            | Error::Blocked(_)
            | Error::Poison(_)
            | Error::LostPlace(_) => Self::Failed(error),
        }
    }
}

/// What outlives a session.
#[derive(Debug)]
struct Memory {
    /// As it was last taken over.
    row: Option<Row>,
    findings: Findings,
    /// Failures since the position moved.
    backoff: Backoff,
}

/// Takes the partition over and works it until `released`, or until somebody else has it.
pub async fn hold<S: Store, L: Log>(
    processor: &Processor<S, L>,
    partition: Partition,
    released: &CancellationToken,
) -> Ended {
    let mut memory = Memory {
        row: None,
        findings: Findings::default(),
        backoff: Backoff::new(&processor.config),
    };
    loop {
        let before = memory.applied();
        let end = session(processor, partition, released, &mut memory).await;
        if memory.applied() != before {
            memory.backoff.reset();
        }
        let pause = match end {
            SessionEnd::Released => return Ended::Released,
            SessionEnd::Taken => return Ended::Lost,
            SessionEnd::Fenced => {
                metrics::fenced(partition);
                tracing::warn!(%partition, "another process has taken the partition over");
                return Ended::Lost;
            }
            SessionEnd::Failed(error) => {
                tracing::warn!(%partition, error = %error.chain(), "the partition starts over");
                let pause = memory.backoff.next();
                if memory.backoff.failures() >= FAILURES_SHOWN {
                    show(&processor.store, &memory, &error).await;
                }
                pause
            }
            SessionEnd::Stopped(error) => {
                tracing::error!(%partition, why = %error.chain(), "the partition is stopped until an operator has looked");
                show(&processor.store, &memory, &error).await;
                processor.config.pause_max
            }
        };
        tokio::select! {
            () = released.cancelled() => {
                give_back(&processor.store, &memory).await;
                return Ended::Released;
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

impl Memory {
    fn applied(&self) -> Option<Position> {
        self.row.as_ref().map(|row| row.applied)
    }
}

async fn session<S: Store, L: Log>(
    processor: &Processor<S, L>,
    partition: Partition,
    released: &CancellationToken,
    memory: &mut Memory,
) -> SessionEnd {
    match work(processor, partition, released, memory).await {
        Ok(end) => end,
        Err(error) => error.into(),
    }
}

async fn work<S: Store, L: Log>(
    processor: &Processor<S, L>,
    partition: Partition,
    released: &CancellationToken,
    memory: &mut Memory,
) -> Result<SessionEnd, Error> {
    let Processor { store, .. } = processor;
    let taken = store.take_over(partition, &processor.owner);
    let Some(row) = within("taking the partition over", taken).await? else {
        return Ok(SessionEnd::Taken);
    };
    memory.row = Some(row.clone());
    metrics::epoch(partition, row.lease.epoch);
    let session = prepare(processor, &row).await?;
    // Parked for what it is about to meet again: it goes on once it has got over that.
    if row.stopped.is_some() && memory.findings.company.is_none() {
        store.set_stopped(row.lease, None).await?;
        tracing::info!(%partition, "the partition goes on");
    }
    metrics::stopped(partition, memory.findings.company.is_some());
    process(processor, session, &mut memory.findings, released).await?;
    Ok(SessionEnd::Released)
}

/// Shows why the partition does not go on; without a row nobody could be told.
async fn show<S: Store>(store: &S, memory: &Memory, error: &Error) {
    if let Some(row) = &memory.row {
        show_stopped(store, row.lease, &error.chain()).await;
    }
}

/// Shows why the partition does not go on.
pub(crate) async fn show_stopped<S: Store>(store: &S, lease: Lease, why: &str) {
    metrics::stopped(lease.partition, true);
    if let Err(unshown) = store.set_stopped(lease, Some(why)).await {
        tracing::warn!(partition = %lease.partition, error = %unshown.chain(), "the reason could not be stored");
    }
}

async fn give_back<S: Store>(store: &S, memory: &Memory) {
    let Some(row) = &memory.row else { return };
    if let Err(error) = store.release(row.lease, row.published).await {
        tracing::warn!(partition = %row.lease.partition, error = %error.chain(), "the lease runs out by itself");
    }
}
