//! The role `process`: configuration, parts, run, shutdown.
//!
//! Invariant: at shutdown the running batches are finished and published, and every lease is given back.

use sqlx::PgPool;
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
}

/// Works this process's share of the partitions until `shutdown`; tells `ready` once it begins.
///
/// # Errors
/// When Postgres does not answer at the start.
///
/// # Panics
/// When the operating system has no random numbers.
pub async fn run(
    config: Config,
    connections: Connections,
    shutdown: CancellationToken,
    ready: oneshot::Sender<()>,
) -> Result<(), Error> {
    crate::metrics::describe();
    crate::metrics::limits(&config);
    create_partitions(&connections.database, connections.log.partitions()).await?;
    if ready.send(()).is_err() {
        tracing::debug!("nobody waits for the processor to be ready");
    }
    let store = Postgres::new(connections.database, &config);
    let owner = owner();
    tracing::info!(owner, "processing");
    let assignment = Assignment::new(Processor {
        turns: Turns::new(config.commits_in_flight, config.commit_interval_max),
        store,
        log: connections.log,
        config,
        owner,
    });
    assignment.run(&shutdown).await;
    Ok(())
}

/// Random for each start, so that a process never takes its predecessor's leases for its own.
fn owner() -> String {
    let mut bits = [0; 8];
    getrandom::fill(&mut bits).expect("the operating system has random numbers");
    format!("{}-{:016x}", std::process::id(), u64::from_be_bytes(bits))
}
