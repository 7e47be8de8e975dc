//! Each role alone, as its own process against given servers.
//!
//! Invariant: a role starts only on a database and a log that are ready for it.

use std::process::ExitCode;

use anyhow::Context;
use serde_json::json;
use system::{connect, ready, shutdown};
use tokio::sync::oneshot;

use crate::cli::{IngestArgs, MigrateArgs, ProcessArgs};

pub(crate) async fn ingest(args: IngestArgs) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown::on_signal()?;
    let database = connect::open_api_database(args.servers.database()?).await?;
    connect::check_migrated(&database).await?;
    let connections = ingest::Connections {
        log: connect::open_log(args.servers.nats()?, "ingest").await?,
        database,
        metrics: connect::metrics()?,
    };
    let mut config = ingest::Config {
        listen: args.listen,
        monitor_url: args.servers.nats_monitor,
        allow_lazy_sync: args.allow_lazy_sync,
        ..ingest::Config::default()
    };
    if let Some(records) = args.records_in_flight {
        config.limits.records_in_flight_max = records.max(1);
    }
    let (ready, started) = oneshot::channel();
    let role = tokio::spawn(ingest::run(config, connections, shutdown, ready));
    if let Ok(address) = started.await {
        tracing::info!("listening on http://{address}");
        if let Some(path) = &args.ready_file {
            ready::write(
                path,
                &json!({ "api_url": format!("http://{address}"), "pid": std::process::id() }),
            )?;
        }
    }
    role.await.context("running ingest")??;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn process(args: ProcessArgs) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown::on_signal()?;
    let log = connect::open_log(args.servers.nats()?, "process").await?;
    let database =
        connect::open_processor_database(args.servers.database()?, log.partitions()).await?;
    connect::check_migrated(&database).await?;
    let connections = worker::Connections {
        log,
        database,
        metrics: connect::metrics()?,
    };
    let mut config = worker::Config {
        listen: args.listen,
        failpoint: args.failpoint.map(worker::Failpoint),
        ..worker::Config::default()
    };
    if let Some(commands) = args.batch_commands {
        config.batch_commands_max = commands.max(1);
    }
    if let Some(commits) = args.commits_in_flight {
        config.commits_in_flight = commits.max(1);
    }
    let (ready, started) = oneshot::channel();
    let role = tokio::spawn(worker::run(config, connections, shutdown, ready));
    if let (Ok(address), Some(path)) = (started.await, &args.ready_file) {
        ready::write(
            path,
            &json!({ "metrics_url": format!("http://{address}/metrics"), "pid": std::process::id() }),
        )?;
    }
    role.await.context("running the processor")??;
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn migrate(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    let (_, log) = system::migrate(&args.servers, &args.streams, "migrate").await?;
    println!(
        "the database is up to date; the log has {} partitions",
        log.partitions()
    );
    Ok(ExitCode::SUCCESS)
}
