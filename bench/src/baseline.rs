//! `sluice bench baseline`: Sluice, and then the same transfers with one SQL transaction each, on the same servers.
//!
//! Invariant: both get the same requests from the same generator, and never run at the same time. The baseline's answer
//! always tells the outcome, whether it was asked to wait for it or not.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, bail};
use serde::Serialize;
use serde_json::{Value, json};

use super::figures::{self, Figures};
use super::load::{Pace, Sent};
use super::machine::Machine;
use super::measure::{self, Work};
use super::measured::System;
use super::request::Target;
use super::role::Role;
use super::usage::{Tree, Watch};
use super::{Report, on_system, outputs, prepare, print, prove, settings};
use crate::args::BaselineArgs;
use crate::client::authority;

/// Figures of the baseline: what it accepts is applied.
#[derive(Debug, Serialize)]
struct Baseline {
    applied: u64,
    offered_per_second: f64,
    applied_per_second: f64,
    latency_ms: Value,
    errors: BTreeMap<String, u64>,
    dropped: u64,
    cpu_microseconds_per_transfer: BTreeMap<&'static str, f64>,
    peak_memory_bytes: BTreeMap<&'static str, u64>,
    pool_connections: u32,
    durable: bool,
}

#[derive(Serialize)]
struct Compared<'f> {
    #[serde(flatten)]
    report: Report<'f>,
    baseline: &'f Baseline,
    /// Applied per second, ours by theirs.
    ratio: Option<f64>,
}

pub(super) async fn run(args: &BaselineArgs) -> anyhow::Result<ExitCode> {
    if args.system.api.is_some() {
        bail!(
            "the baseline needs servers of its own: give --nats, --nats-monitor and --database without --api"
        );
    }
    if args.load.batch.is_some() {
        bail!("the baseline knows only single transfers: leave out --batch");
    }
    outputs::check([&args.json])?;
    on_system(&args.system, &args.load, async |system| {
        compare(system, args).await
    })
    .await
}

async fn compare(system: &mut System, args: &BaselineArgs) -> anyhow::Result<bool> {
    let work = prepare(system, &args.system, &args.load).await?;
    let pace = measure::pace(args.rate, args.duration);
    eprintln!("sending to Sluice for {} s", args.duration);
    let figures = measure::measure(system, &work, pace).await?;
    let machine = Machine::look(system.log.as_ref(), system.database.as_ref()).await;
    print::print(&figures, &machine);
    let clean = prove(system, &args.load).await?;
    system.stop_roles().await?;
    let baseline = measure_baseline(system, args, &work, pace, &figures).await?;
    let ratio = figures
        .applied_per_second
        .filter(|_| baseline.applied_per_second > 0.0)
        .map(|ours| (ours / baseline.applied_per_second * 100.0).round() / 100.0);
    print_baseline(&baseline, ratio);
    if let Some(path) = &args.json {
        let own = json!({ "rate": args.rate, "duration": args.duration, "pool": args.pool });
        let compared = Compared {
            report: Report {
                figures: &figures,
                settings: settings(system, &args.system, &args.load, &work, own),
                machine: &machine,
                verify: clean.map(|clean| json!({ "clean": clean })),
                finished: true,
            },
            baseline: &baseline,
            ratio,
        };
        outputs::write([(path.as_path(), outputs::json(&compared))])?;
    }
    Ok(clean != Some(false) && figures.is_kept())
}

async fn measure_baseline(
    system: &System,
    args: &BaselineArgs,
    work: &Work,
    pace: Pace,
    figures: &Figures,
) -> anyhow::Result<Baseline> {
    eprintln!("sending to the baseline for {} s", args.duration);
    let (server, target) = start_server(system, args).await?;
    let pids = || {
        let mut pids = system.pids();
        pids.processes.push(("server", server.pid(), Tree::Alone));
        pids
    };
    let plan = measure::plan(&target, system.seed, 0, work, pace);
    let mut watch = Watch::default();
    let sent = measure::send_watched(plan, pids, &mut watch).await?;
    server.stop().await?;
    Ok(baseline_of(&sent, &watch, args, pace, figures))
}

async fn start_server(system: &System, args: &BaselineArgs) -> anyhow::Result<(Role, Target)> {
    let words = [
        "bench",
        "baseline-server",
        "--accounts",
        &args.load.accounts.to_string(),
        "--pool",
        &args.pool.to_string(),
    ]
    .map(str::to_owned);
    let environment = [
        ("SLUICE_DATABASE", system.servers.database()?),
        ("SLUICE_API_KEY", system.target.key.as_str()),
    ];
    let (server, addresses) =
        Role::start(system.folder(), "baseline-server", &words, &environment).await?;
    let api = addresses["api_url"]
        .as_str()
        .context("the baseline does not say where it listens")?;
    let target = Target {
        authority: authority(api)?,
        key: system.target.key.clone(),
    };
    Ok((server, target))
}

fn baseline_of(
    sent: &Sent,
    watch: &Watch,
    args: &BaselineArgs,
    pace: Pace,
    figures: &Figures,
) -> Baseline {
    let mut cpu = watch.cpu();
    if let Some(generator) = sent.cpu {
        cpu.insert("generator", generator);
    }
    let each = cpu
        .into_iter()
        .filter(|(name, _)| ["server", "postgres", "generator"].contains(name) && sent.accepted > 0)
        .map(|(name, time)| {
            let microseconds = time.as_secs_f64() * 1e6 / sent.accepted as f64;
            (name, (microseconds * 100.0).round() / 100.0)
        });
    let memory = watch.peak_memory().iter();
    let planned = measure::planned(pace).map(|planned| planned.as_secs_f64());
    Baseline {
        applied: sent.accepted,
        offered_per_second: figures::per_second(
            sent.offered(),
            planned.unwrap_or_else(|| figures::seconds(sent.started, sent.stopped)),
        ),
        applied_per_second: figures::per_second(
            sent.accepted,
            figures::seconds(sent.started, sent.last_accepted),
        ),
        latency_ms: json!({ "applied": sent.latency.all() }),
        errors: sent.errors.clone(),
        dropped: sent.dropped,
        cpu_microseconds_per_transfer: each.collect(),
        peak_memory_bytes: memory
            .filter(|(name, _)| ["server", "postgres"].contains(name))
            .map(|(name, bytes)| (*name, *bytes))
            .collect(),
        pool_connections: args.pool,
        durable: figures.fsync.postgres_is_durable(),
    }
}

fn print_baseline(baseline: &Baseline, ratio: Option<f64>) {
    println!(
        "\nOne synchronous SQL transaction per transfer, same servers, {} connections to Postgres:",
        baseline.pool_connections
    );
    println!(
        "  {:<12} {:>10.0} /s",
        "applied", baseline.applied_per_second
    );
    println!("  latency      {}", baseline.latency_ms["applied"]);
    for (name, microseconds) in &baseline.cpu_microseconds_per_transfer {
        println!("  {name:<12} {microseconds:>10.2} µs/transfer");
    }
    for (code, count) in &baseline.errors {
        println!("  error {code}: {count}");
    }
    if let Some(ratio) = ratio {
        println!("\nSluice applied {ratio} times as many.");
    }
}
