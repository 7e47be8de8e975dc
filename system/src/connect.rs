//! Connections, opened for roles and commands.
//!
//! Invariant: a server that is just starting is waited for, for a limited time.

use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context, bail};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use sqlx::ConnectOptions as _;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

use crate::ROLES;

/// How long a server may take to answer at the start.
const START_MAX: Duration = Duration::from_secs(30);
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// The log, over a connection of the role's own.
pub async fn open_log(url: &str, role: &str) -> anyhow::Result<streams::Log> {
    let connection = streams::connect(url, &format!("sluice {role}")).await?;
    Ok(streams::Log::open(connection).await?)
}

pub async fn create_log(url: &str, settings: &streams::Settings) -> anyhow::Result<streams::Log> {
    let connection = streams::connect(url, "sluice migrate").await?;
    Ok(streams::Log::create(connection, settings).await?)
}

/// Postgres for commands and checks, which may take their time: a session that died with its server is replaced before
/// anything is asked of it.
pub async fn open_database(url: &str, role: &str) -> anyhow::Result<PgPool> {
    let name = format!("sluice {role}");
    let plain =
        |options: PgConnectOptions| options.application_name(&name).disable_statement_logging();
    pool(plain(parse(url)?), PgPoolOptions::new().max_connections(16)).await
}

/// Postgres with the settings of a role.
pub async fn open_sessions(
    url: &str,
    sessions_max: u32,
    settings: impl FnOnce(PgConnectOptions) -> PgConnectOptions,
) -> anyhow::Result<PgPool> {
    let sessions = PgPoolOptions::new()
        .max_connections(sessions_max)
        .test_before_acquire(false);
    pool(settings(parse(url)?), sessions).await
}

fn parse(url: &str) -> anyhow::Result<PgConnectOptions> {
    PgConnectOptions::from_str(url).context("reading the address of Postgres")
}

async fn pool(options: PgConnectOptions, sessions: PgPoolOptions) -> anyhow::Result<PgPool> {
    let pool = sessions
        .acquire_timeout(Duration::from_secs(3))
        .connect_lazy_with(options);
    let started = tokio::time::Instant::now();
    loop {
        match pool.acquire().await {
            Ok(_) => return Ok(pool),
            Err(error) if started.elapsed() > START_MAX => {
                return Err(error).context("connecting to Postgres");
            }
            Err(error @ (sqlx::Error::Io(_) | sqlx::Error::PoolTimedOut)) => {
                tracing::debug!(%error, "Postgres does not answer yet");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error).context("connecting to Postgres"),
        }
    }
}

/// Refuses a database that lacks what this program needs.
pub async fn check_migrated(database: &PgPool) -> anyhow::Result<()> {
    let newest = migrations::MIGRATIONS
        .iter()
        .map(|migration| migration.version)
        .max();
    let applied: Result<Option<i64>, _> =
        sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations WHERE success")
            .fetch_one(database)
            .await;
    match applied {
        Ok(applied) if applied >= newest => Ok(()),
        _ => bail!("the database is not up to date: run `sluice migrate` first"),
    }
}

/// The recorder behind /metrics; once per process.
pub fn metrics() -> anyhow::Result<PrometheusHandle> {
    let mut builder = PrometheusBuilder::new();
    for (name, bounds) in ROLES.iter().flat_map(|role| role.buckets) {
        builder = builder
            .set_buckets_for_metric(Matcher::Full((*name).to_owned()), bounds)
            .context("setting up the metrics")?;
    }
    let handle = builder
        .install_recorder()
        .context("setting up the metrics")?;
    let upkeep = handle.clone();
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(METRICS_UPKEEP).await;
            upkeep.run_upkeep();
        }
    });
    Ok(handle)
}
