//! Whether a 202 may be given: whether what the log acknowledges is on disk.
//!
//! Invariant: nothing is accepted over a connection that was not found to be durable, unless losses are accepted; then
//! every 202 says so.

use std::time::Duration;

use streams::{Durability, Log};

use crate::{Config, Error};

/// How often a connection that is not known is looked at.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How often one that is known is asked about again: a replica may have been started anew, and is believed until then.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What a 202 says.
pub(crate) struct Found {
    /// An acknowledgement does not mean "on disk", which is allowed.
    pub(crate) syncs_lazily: bool,
    /// Where to ask about the connections that follow; `None` where losses are allowed.
    pub(crate) monitors: Option<String>,
}

/// Finds out at the start.
///
/// # Errors
/// When an acknowledgement would not mean "on disk" and that is not allowed.
pub(crate) async fn find(config: &Config, log: &Log) -> Result<Found, Error> {
    let found = match &config.monitor_url {
        Some(monitors) => log.check_durability(monitors).await,
        None if config.allow_lazy_sync => Ok(Durability::SyncLazily),
        None => return Err(Error::MonitorUnknown),
    };
    if !config.allow_lazy_sync {
        return match found? {
            Durability::SyncLazily => Err(Error::SyncsLazily),
            Durability::SyncAlways => Ok(Found {
                syncs_lazily: false,
                monitors: config.monitor_url.clone(),
            }),
        };
    }
    let syncs_lazily = match found {
        Ok(durability) => durability == Durability::SyncLazily,
        Err(error) => {
            let error = &error as &dyn std::error::Error;
            tracing::warn!(error, "nobody knows whether the log syncs");
            true
        }
    };
    if syncs_lazily {
        tracing::warn!("acknowledged transfers are not on disk yet: a power failure may lose them");
    }
    Ok(Found {
        syncs_lazily,
        monitors: None,
    })
}

/// Asks about every new connection, and now and then about the one that there is. Says what it found when that is new.
pub(crate) async fn watch(log: Log, monitors: String) {
    let mut asked_at = tokio::time::Instant::now();
    let mut said = String::new();
    loop {
        tokio::time::sleep(LOOK_AGAIN).await;
        if !log.is_connected() || (log.is_durable() && asked_at.elapsed() < ASK_AGAIN) {
            continue;
        }
        asked_at = tokio::time::Instant::now();
        let found = log.check_durability(&monitors).await;
        let now = match &found {
            Ok(durability) => format!("{durability:?}"),
            Err(error) => error.to_string(),
        };
        if now == said {
            continue;
        }
        said = now;
        match found {
            Ok(Durability::SyncAlways) => tracing::info!("what the log acknowledges is on disk"),
            Ok(Durability::SyncLazily) => {
                tracing::error!(
                    "nothing is accepted: a nats-server acknowledges before records are on disk"
                );
            }
            Err(error) => {
                let error = &error as &dyn std::error::Error;
                tracing::warn!(error, "whether the log syncs cannot be found out");
            }
        }
    }
}
