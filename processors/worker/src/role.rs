//! The role `process`: configuration, parts, run, shutdown.
//!
//! Invariant: at shutdown the running batches are finished and published, and every lease is given back.

use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use sqlx::PgPool;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::assign::{Assignment, create_partitions};
use crate::hold::Processor;
use crate::postgres::Postgres;
use crate::turns::Turns;
use crate::{Config, Error};

/// What the role works with; `database` has [`crate::session_options`].
#[derive(Debug, Clone)]
pub struct Connections {
    pub log: streams::Log,
    pub database: PgPool,
    pub metrics: PrometheusHandle,
}

/// Works this process's share of the partitions until `shutdown`. `ready` gets the address of `/metrics`.
///
/// # Errors
/// When Postgres does not answer at the start, or the address is taken.
///
/// # Panics
/// When the operating system has no random numbers.
pub async fn run(
    config: Config,
    connections: Connections,
    shutdown: CancellationToken,
    ready: oneshot::Sender<SocketAddr>,
) -> Result<(), Error> {
    crate::metrics::describe();
    create_partitions(&connections.database, connections.log.partitions()).await?;
    let serving = |error| Error::unavailable("serving /metrics", error);
    let listener = TcpListener::bind(config.listen).await.map_err(serving)?;
    let address = listener.local_addr().map_err(serving)?;
    if ready.send(address).is_err() {
        tracing::debug!("nobody waits for the address of /metrics");
    }
    let store = Postgres {
        pool: connections.database,
        lease: config.lease,
    };
    let owner = owner();
    tracing::info!(owner, %address, "processing");
    let assignment = Assignment::new(Processor {
        turns: Turns::new(config.commits_in_flight),
        store,
        log: connections.log,
        config,
        owner,
    });
    let server = axum::serve(listener, routes(connections.metrics))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let (ended, ()) = tokio::join!(server, assignment.run(&shutdown));
    ended.map_err(serving)
}

fn routes(metrics: PrometheusHandle) -> Router {
    Router::new()
        .route("/metrics", get(async move || metrics.render()))
        .route("/healthz", get(async || "ok"))
}

/// Random for each start, so that a process never takes its predecessor's leases for its own.
fn owner() -> String {
    let mut bits = [0; 8];
    getrandom::fill(&mut bits).expect("the operating system has random numbers");
    format!("{}-{:016x}", std::process::id(), u64::from_be_bytes(bits))
}
