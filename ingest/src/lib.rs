//! The way in: HTTP to the log, and what clients read from Postgres.
//!
//! Invariant: a 202 leaves only after the log's acknowledgement. Accepting a transfer needs the log and a key in
//! memory, never Postgres; reading needs Postgres, never the log.

mod account_change;
pub mod admin;
mod answers;
mod api;
mod append;
mod args;
mod batches;
mod config;
mod durability;
mod error;
mod exchange;
mod keyring;
mod lives;
pub mod metrics;
mod pace;
mod page;
mod problem;
mod progress;
mod replays;
mod request;
mod respond;
mod routes;
mod scope;
mod server;
mod session;
mod store;
mod submission;
mod usage;

use std::net::SocketAddr;
use std::sync::Arc;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use args::Args;
pub use config::{Config, Limits};
pub use error::Error;
pub use routes::openapi;
pub use scope::Scope;
pub use session::{SESSIONS_MAX, session_options};

use api::Api;
use append::{Appender, Waiting};
use batches::BatchMemory;
use durability::Found;
use exchange::Exchange;
use keyring::Keyring;
use lives::Lives;
use progress::Progress;
use replays::Replays;
use store::Store;

/// What ingest talks to.
#[derive(Clone)]
pub struct Connections {
    pub log: streams::Log,
    pub database: sqlx::PgPool,
    /// Rendered at `/metrics`.
    pub metrics: PrometheusHandle,
}

/// Serves HTTP until `shutdown`; tells `ready` where, once it answers. Postgres and the log must be there at the
/// start; later both may go away and come back.
///
/// # Errors
/// When an acknowledgement would not mean "on disk", or something is missing at the start.
pub async fn run(
    config: Config,
    connections: Connections,
    shutdown: CancellationToken,
    ready: oneshot::Sender<SocketAddr>,
) -> Result<(), Error> {
    metrics::describe();
    let log = if config.allow_lazy_sync {
        connections.log
    } else {
        connections.log.durable_only()
    };
    let Found {
        syncs_lazily,
        monitors,
    } = durability::find(&config, &log).await?;
    let limits = config.limits;
    metrics::limits(&limits);
    let store = Arc::new(Store::new(connections.database, limits.database_time_max));
    let lives = Arc::new(Lives::new(Arc::clone(&store)));
    let keyring = Keyring::load(Arc::clone(&store), Arc::clone(&lives), limits.key_grace);
    let keyring = Arc::new(keyring.await?);
    lives.look(&log).await;
    let (listener, address) = listen(config.listen)?;

    let mut tasks = JoinSet::new();
    let replies = log.replies().await?;
    let waiting = Arc::new(Waiting::default());
    let appender = Appender::start(&log, replies.to(), &waiting, &lives, &limits, &mut tasks);
    tasks.spawn(async move { waiting.answer(replies).await });
    tasks.spawn(Arc::clone(&keyring).keep_fresh(limits.key_refresh));
    let progress = Progress::new(Arc::clone(&store));
    tasks.spawn(Arc::clone(&progress).watch());
    let (watched, watched_log) = (Arc::clone(&lives), log.clone());
    tasks.spawn(async move { watched.watch(&watched_log).await });
    if let Some(monitors) = monitors {
        tasks.spawn(durability::watch(log.clone(), monitors));
    }
    tasks.spawn(usage::watch(log, limits.usage_refresh));
    let api = Arc::new(Api {
        appender,
        replays: Arc::new(Replays::new(limits.replays_max)),
        lives,
        keyring,
        store,
        progress,
        batches: Semaphore::new(limits.batches_max),
        batch_memory: BatchMemory::new(limits.batches_bytes_max),
        limits,
        syncs_lazily,
        requests: metrics::Requests::register(),
        request_ids: request::RequestIds::random(),
        prometheus: connections.metrics,
        document: routes::openapi_json(),
    });

    tracing::info!(%address, "ingest listens");
    if ready.send(address).is_err() {
        tracing::debug!("nobody wanted to know the address");
    }
    server::serve(listener, Exchange::new(api), shutdown).await;
    // What still waits in a queue was promised to nobody.
    tasks.shutdown().await;
    Ok(())
}

fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), Error> {
    let failed = |source| Error::Listen { address, source };
    let listener = server::bind(address).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}
