//! `sluice partitions`: who holds what, how far it is, why it does not go on.
//!
//! Invariant: shows what Postgres says; works without the log, too.

use std::process::ExitCode;

use schemas::Partition;
use serde_json::json;
use system::{Servers, connect};
use worker::operate::{self, Shown};

use crate::cli::{PartitionsArgs, PartitionsCommand};

pub(crate) async fn run(args: PartitionsArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        Some(PartitionsCommand::AdoptStream {
            servers,
            partition,
            why,
        }) => adopt(&servers, Partition(partition), &why).await,
        None => show(&args.servers, args.json).await,
    }
}

async fn show(servers: &Servers, as_json: bool) -> anyhow::Result<ExitCode> {
    let database = connect::open_database(servers.database()?, "partitions").await?;
    let shown = operate::partitions(&database).await?;
    let log = match &servers.nats {
        Some(url) => Some(connect::open_log(url, "partitions").await?),
        None => None,
    };
    let mut rows = Vec::new();
    for partition in shown {
        let next = match &log {
            Some(log) => {
                log.next_after(partition.partition, partition.applied.sequence())
                    .await?
            }
            None => None,
        };
        let lag = log
            .as_ref()
            .map(|_| next.map_or(0.0, |(_, at)| now().seconds_since(at)));
        rows.push((partition, lag));
    }
    if as_json {
        let rows: Vec<_> = rows
            .iter()
            .map(|(partition, lag)| to_json(partition, *lag))
            .collect();
        println!("{}", serde_json::to_string_pretty(&rows)?);
    } else {
        print(&rows);
    }
    Ok(ExitCode::SUCCESS)
}

fn print(rows: &[(Shown, Option<f64>)]) {
    println!(
        "{:>9}  {:>6}  {:>12}  {:>12}  {:>8}  {:<28}  STATE",
        "PARTITION", "EPOCH", "APPLIED", "PUBLISHED", "LAG", "OWNER"
    );
    for (shown, lag) in rows {
        let state = match (&shown.stopped, &shown.owner) {
            (Some(_), _) => "stopped",
            (None, Some(_)) => "running",
            (None, None) => "waiting for a processor",
        };
        println!(
            "{:>9}  {:>6}  {:>12}  {:>12}  {:>8}  {:<28}  {state}",
            shown.partition.0,
            shown.epoch,
            shown.applied.number(),
            shown.published.number(),
            lag.map_or_else(|| "-".to_owned(), |lag| format!("{lag:.1} s")),
            shown.owner.as_deref().unwrap_or("-"),
        );
    }
    for (shown, _) in rows {
        if let Some(why) = &shown.stopped {
            println!("\npartition {} is stopped: {why}", shown.partition);
        }
    }
}

fn to_json(shown: &Shown, lag: Option<f64>) -> serde_json::Value {
    json!({
        "partition": shown.partition,
        "owner": shown.owner,
        "epoch": shown.epoch,
        "applied": shown.applied,
        "applied_at": shown.applied_at,
        "published": shown.published,
        "lag_seconds": lag,
        "stopped": shown.stopped,
    })
}

async fn adopt(servers: &Servers, partition: Partition, why: &str) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        !why.trim().is_empty(),
        "say why with --why TEXT: it is kept for whoever asks later"
    );
    let database = connect::open_database(servers.database()?, "partitions").await?;
    let log = connect::open_log(servers.nats()?, "partitions").await?;
    let applied = operate::adopt_stream(&database, &log, partition, why).await?;
    println!(
        "partition {partition} goes on after record {} of the stream as it is now (generation {})",
        applied.sequence(),
        applied.generation()
    );
    println!(
        "what stands behind it is decided: transfers that were decided before are recognised by their keys, changes of accounts are made again"
    );
    Ok(ExitCode::SUCCESS)
}

fn now() -> schemas::Timestamp {
    std::time::SystemTime::now().into()
}
