//! `sluice bench`, the whole system under load, and `sluice demo`, with traffic to look at.
//!
//! Invariant: every figure was counted or measured in this run, and the run is proved by `verify` before it is
//! believed. A run that was interrupted has no figures.

#![allow(clippy::print_stdout, reason = "it reports to people")]
#![allow(
    clippy::float_arithmetic,
    clippy::cast_precision_loss,
    reason = "figures for people, never money"
)]

mod accounts;
mod alarm;
mod answer;
mod args;
mod baseline;
mod baseline_server;
mod client;
mod connection;
mod counts;
pub mod demo;
mod figures;
mod generator;
mod given;
mod landed;
mod latencies;
mod load;
mod machine;
mod measure;
mod measured;
mod outputs;
mod percentiles;
mod plot;
mod print;
mod request;
mod role;
mod schedule;
mod step;
mod sweep;
mod usage;

use std::process::ExitCode;

use anyhow::Context;
use serde::Serialize;
use serde_json::{Value, json};

use self::figures::Figures;
use self::machine::Machine;
use self::measure::Work;
use self::measured::System;
pub use crate::args::BenchArgs;
use crate::args::{BenchCommand, LoadArgs, RunArgs, SystemArgs};
use system::{prove, ready, shutdown};

const INTERRUPTED: &str = "interrupted";

/// # Errors
/// When it is interrupted, and when something that is needed does not start, answer or take what is sent.
pub async fn run(args: Box<BenchArgs>) -> anyhow::Result<ExitCode> {
    match args.command {
        None => run_once(&args.run).await,
        Some(BenchCommand::Sweep(args)) => sweep::run(&args).await,
        Some(BenchCommand::Baseline(args)) => baseline::run(&args).await,
        Some(BenchCommand::BaselineServer(args)) => baseline_server::run(&args).await,
    }
}

/// A result with what it takes to read and to repeat it.
#[derive(Serialize)]
struct Report<'f> {
    #[serde(flatten)]
    figures: &'f Figures,
    settings: Value,
    machine: &'f Machine,
    /// `null`: left out, or the servers are not known.
    verify: Option<Value>,
    /// Whether the proof was made, unless it was left out.
    finished: bool,
}

async fn run_once(args: &RunArgs) -> anyhow::Result<ExitCode> {
    outputs::check([&args.json])?;
    on_system(&args.system, &args.load, async |system| {
        report(system, args).await
    })
    .await
}

async fn report(system: &mut System, args: &RunArgs) -> anyhow::Result<bool> {
    let work = prepare(system, &args.system, &args.load).await?;
    eprintln!("sending for {} s", args.duration);
    let pace = measure::pace(args.rate, args.duration);
    let figures = measure::measure(system, &work, pace).await?;
    let machine = Machine::look(system.log.as_ref(), system.database.as_ref()).await;
    print::print(&figures, &machine);
    let own = json!({ "rate": args.rate, "duration": args.duration });
    let mut report = Report {
        figures: &figures,
        settings: settings(system, &args.system, &args.load, &work, own),
        machine: &machine,
        verify: None,
        finished: false,
    };
    let write = |report: &Report<'_>| {
        let path = args.json.as_deref();
        outputs::write(path.map(|path| (path, outputs::json(report))))
    };
    // The proof may take long, and takes nothing away when it is interrupted.
    write(&report)?;
    let clean = prove(system, &args.load).await?;
    report.verify = clean.map(|clean| json!({ "clean": clean }));
    report.finished = true;
    write(&report)?;
    Ok(clean != Some(false) && figures.is_kept())
}

/// Opens the accounts, puts through what goes before, and says that it begins.
async fn prepare(system: &mut System, args: &SystemArgs, load: &LoadArgs) -> anyhow::Result<Work> {
    let work = Work::new(load)?;
    accounts::prepare(system, &work.accounts).await?;
    measure::preload(system, &work, load.preload).await?;
    if let Some(path) = &args.stack.ready_file {
        ready::write(path, &system.addresses())?;
    }
    Ok(work)
}

/// Starts the system, does `work` on it and stops it, whatever came of that; gives the exit status. A signal ends the
/// work wherever it is; what was not measured to its end by then is no result.
async fn on_system(
    args: &SystemArgs,
    load: &LoadArgs,
    work: impl AsyncFnOnce(&mut System) -> anyhow::Result<bool>,
) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown::on_signal()?;
    let started = shutdown.run_until_cancelled(Box::pin(System::start(args, load)));
    let mut system = started.await.context(INTERRUPTED)??;
    let worked = shutdown.run_until_cancelled(Box::pin(work(&mut system)));
    let worked = worked.await;
    let stopped = system.stop().await;
    let is_good = worked.context(INTERRUPTED)??;
    stopped?;
    Ok(if is_good {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// `None` when it was left out.
async fn prove(system: &System, load: &LoadArgs) -> anyhow::Result<Option<bool>> {
    let (Some(log), Some(database), false) = (&system.log, &system.database, load.skip_verify)
    else {
        return Ok(None);
    };
    let report = prove::prove(log, database, &prove::Config::default()).await?;
    prove::print(&report);
    Ok(Some(report.is_clean()))
}

/// `own`: what only this command is told.
fn settings(system: &System, args: &SystemArgs, load: &LoadArgs, work: &Work, own: Value) -> Value {
    let mut settings = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "connections": work.connections,
        "accounts": load.accounts,
        "zipf": load.zipf,
        "batch": load.batch,
        "wait": load.wait,
        "preload": load.preload,
        "seed": system.seed,
        "partitions": system.log.as_ref().map(streams::Log::partitions),
        "processors": system.is_ours.then_some(args.processors),
        "one_process": args.one_process,
        "roles": system.is_ours.then(|| args.stack.roles.words()),
        "own_system": system.is_ours,
        "record_interval_max_ms": system.intervals.record_max_ms,
        "commit_interval_max_ms": system.intervals.commit_max_ms,
    });
    if let (Value::Object(settings), Value::Object(own)) = (&mut settings, own) {
        settings.extend(own);
    }
    settings
}
