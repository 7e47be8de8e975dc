//! How each role is started: its connections, its configuration, and the wait until it is ready.
//!
//! Invariant: a role starts only on a database and a log that are ready for it.

use std::net::SocketAddr;

use anyhow::Context;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::connect;
use crate::role::{Host, Ready, Start, Starting};

impl Start for ingest::Args {
    fn listens_on(&self) -> Option<SocketAddr> {
        Some(self.listen)
    }

    fn start<'a>(&'a self, host: &'a Host, stop: CancellationToken) -> Starting<'a> {
        Box::pin(async move {
            let config = self.config(host.servers.nats_monitor.clone());
            let url = host.servers.database()?;
            let database = connect::open_sessions(url, ingest::SESSIONS_MAX, |options| {
                ingest::session_options(options, &config.limits)
            })
            .await?;
            connect::check_migrated(&database).await?;
            let connections = ingest::Connections {
                log: connect::open_log(host.servers.nats()?, "ingest").await?,
                database,
                metrics: host.metrics.clone(),
            };
            let (ready, is_ready) = oneshot::channel();
            let (api, task) =
                until_ready(ingest::run(config, connections, stop, ready), is_ready).await?;
            Ok(Ready {
                api: Some(api),
                task,
            })
        })
    }
}

impl Start for worker::Args {
    fn start<'a>(&'a self, host: &'a Host, stop: CancellationToken) -> Starting<'a> {
        Box::pin(async move {
            let log = connect::open_log(host.servers.nats()?, "process").await?;
            let url = host.servers.database()?;
            let sessions_max = worker::sessions_max(log.partitions());
            let database =
                connect::open_sessions(url, sessions_max, worker::session_options).await?;
            connect::check_migrated(&database).await?;
            let connections = worker::Connections { log, database };
            let (ready, is_ready) = oneshot::channel();
            let role = worker::run(self.config(), connections, stop, ready);
            let ((), task) = until_ready(role, is_ready).await?;
            Ok(Ready { api: None, task })
        })
    }
}

/// Runs the role in a task of its own; gives what it said when it was ready.
async fn until_ready<T, E: std::error::Error + Send + Sync + 'static>(
    role: impl Future<Output = Result<(), E>> + Send + 'static,
    ready: oneshot::Receiver<T>,
) -> anyhow::Result<(T, tokio::task::JoinHandle<anyhow::Result<()>>)> {
    let task = tokio::spawn(async move { role.await.map_err(anyhow::Error::new) });
    if let Ok(said) = ready.await {
        return Ok((said, task));
    }
    task.await.context("it panicked")??;
    anyhow::bail!("it ended before it was ready")
}
