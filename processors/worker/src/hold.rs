//! One partition for as long as it is ours.
//!
//! Invariant: every failure leads back to a takeover, so that recovery is one path, taken often.

use std::time::Duration;

use schemas::Partition;
use tokio_util::sync::CancellationToken;

use crate::process::process;
use crate::seam::{Log, Row, Store};
use crate::takeover::prepare;
use crate::{Config, Error, metrics};

/// How holding a partition ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// We gave it back.
    Released,
    /// Somebody else has it.
    Lost,
}

/// After so many failures in a row an operator is told why.
const FAILURES_SHOWN: u32 = 5;

/// Takes the partition over and works it until `released`, or until somebody else has it.
pub async fn hold<S: Store, L: Log>(
    store: &S,
    log: &L,
    config: &Config,
    owner: &str,
    partition: Partition,
    released: &CancellationToken,
) -> Ended {
    let mut failures: u32 = 0;
    let mut row: Option<Row> = None;
    loop {
        let before = row.as_ref().map(|row| row.applied);
        let attempt = attempt(store, log, config, owner, partition, released, &mut row).await;
        let error = match attempt {
            Ok(ended) => return ended,
            Err(Error::Fenced) => {
                metrics::fenced(partition);
                tracing::warn!(%partition, "another process has taken the partition over");
                return Ended::Lost;
            }
            Err(error) => error,
        };
        if row.as_ref().map(|row| row.applied) != before {
            failures = 0;
        }
        failures += 1;
        let stopped = matches!(error, Error::Stopped(_));
        report(partition, &error, stopped);
        if let (Some(row), true) = (&row, stopped || failures >= FAILURES_SHOWN) {
            show(store, row, &error).await;
        }
        let pause = if stopped {
            config.pause_max
        } else {
            pause(config, failures)
        };
        tokio::select! {
            () = released.cancelled() => {
                give_back(store, row.as_ref()).await;
                return Ended::Released;
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn attempt<S: Store, L: Log>(
    store: &S,
    log: &L,
    config: &Config,
    owner: &str,
    partition: Partition,
    released: &CancellationToken,
    held: &mut Option<Row>,
) -> Result<Ended, Error> {
    let Some(row) = store.take_over(partition, owner).await? else {
        return Ok(Ended::Lost);
    };
    *held = Some(row.clone());
    metrics::epoch(partition, row.lease.epoch);
    let session = prepare(store, log, &row).await?;
    if row.stopped.is_some() {
        store.set_stopped(row.lease, None).await?;
        tracing::info!(%partition, "the partition goes on");
    }
    metrics::stopped(partition, false);
    process(store, log, config, session, released).await?;
    Ok(Ended::Released)
}

fn report(partition: Partition, error: &Error, stopped: bool) {
    if stopped {
        metrics::stopped(partition, true);
        tracing::error!(%partition, why = %error, "the partition is stopped until an operator has looked");
    } else {
        tracing::warn!(%partition, error = %error.chain(), "the partition starts over");
    }
}

async fn show<S: Store>(store: &S, row: &Row, error: &Error) {
    metrics::stopped(row.lease.partition, true);
    if let Err(unshown) = store.set_stopped(row.lease, Some(&error.chain())).await {
        tracing::warn!(partition = %row.lease.partition, error = %unshown.chain(), "the reason could not be stored");
    }
}

async fn give_back<S: Store>(store: &S, row: Option<&Row>) {
    let Some(row) = row else { return };
    if let Err(error) = store.release(row.lease, row.published).await {
        tracing::warn!(partition = %row.lease.partition, error = %error.chain(), "the lease runs out by itself");
    }
}

fn pause(config: &Config, failures: u32) -> Duration {
    config
        .pause_min
        .saturating_mul(1 << failures.min(10))
        .min(config.pause_max)
}
