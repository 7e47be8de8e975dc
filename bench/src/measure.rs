//! One run: watch, send, wait until everything is applied, read when it was.
//!
//! Invariant: while requests are sent, nothing else is asked of the system.

use std::time::Duration;

use anyhow::Context;

use super::accounts::BATCH_CONNECTIONS;
use super::counts::Counters;
use super::figures::{Figures, Run};
use super::generator;
use super::landed;
use super::load::{Pace, Plan, Sent};
use super::machine::Fsync;
use super::measured::System;
use super::request::{Accounts, Kind, Requests, Target, key_prefix};
use super::usage::{Pids, Watch};
use crate::args::{LoadArgs, Rate};

const SAMPLE: Duration = Duration::from_secs(1);
const CONNECTIONS: u16 = 64;
const PRELOAD_LINES: u64 = 1000;

/// What is sent, whatever the pace.
pub(super) struct Work {
    pub(super) accounts: Accounts,
    pub(super) kind: Kind,
    pub(super) connections: u16,
}

impl Work {
    pub(super) fn new(load: &LoadArgs) -> anyhow::Result<Self> {
        let (kind, connections) = match load.batch {
            Some(lines) => (Kind::Batch(lines.into()), BATCH_CONNECTIONS),
            None => (Kind::Single { wait: load.wait }, CONNECTIONS),
        };
        Ok(Self {
            accounts: Accounts::new(load.accounts, load.zipf).context("preparing Zipf's law")?,
            kind,
            connections: load.connections.unwrap_or(connections),
        })
    }
}

/// The pace that `rate` asks for.
pub(super) fn pace(rate: Rate, seconds: u32) -> Pace {
    let duration = Duration::from_secs(seconds.into());
    match rate {
        Rate::PerSecond(rate) => Pace::Open(rate, duration),
        Rate::Max => Pace::Closed(duration),
    }
}

/// Puts transfers through before anything is measured.
pub(super) async fn preload(
    system: &mut System,
    work: &Work,
    transfers: u64,
) -> anyhow::Result<()> {
    if transfers == 0 {
        return Ok(());
    }
    eprintln!("putting {transfers} transfers through first");
    let batches = Work {
        accounts: work.accounts.clone(),
        kind: Kind::Batch(PRELOAD_LINES),
        connections: BATCH_CONNECTIONS,
    };
    let pace = Pace::Count(transfers.div_ceil(PRELOAD_LINES));
    let plan = plan(&system.target, system.seed, system.next, &batches, pace);
    let sent = generator::send(plan).await?;
    system.next += sent.offered();
    anyhow::ensure!(
        sent.failed() == 0,
        "the transfers before were answered with {:?}",
        sent.errors
    );
    if let Some(log) = &system.log {
        landed::wait(log).await?;
    }
    Ok(())
}

/// Measures one run against `system`.
pub(super) async fn measure(
    system: &mut System,
    work: &Work,
    pace: Pace,
) -> anyhow::Result<Figures> {
    let fsync = Fsync::ask(&system.servers).await?;
    let marks = match &system.log {
        Some(log) => Some(landed::marks(log).await?),
        None => None,
    };
    let before = Counters::read(system).await?;
    let plan = plan(&system.target, system.seed, system.next, work, pace);
    let mut watch = Watch::default();
    let sent = send_watched(plan, || system.pids(), &mut watch).await?;
    system.next += sent.offered();
    let (mut drained, mut landed, mut counts) = (None, None, None);
    if let (Some(log), Some(marks)) = (&system.log, &marks) {
        drained = Some(landed::drained(log).await);
        watch.sample(&system.pids());
        let after = Counters::read(system).await?;
        let found = landed::read(log, marks, &sent, &key_prefix(system.seed)).await?;
        let between = before.zip(after);
        counts = between.map(|(before, after)| before.until(after, &sent, &found));
        landed = Some(found);
    }
    let run = Run {
        sent,
        landed,
        counts,
        drained,
        watch,
        processes: system.processes(),
        fsync,
        waited: work.kind == (Kind::Single { wait: true }),
        planned: planned(pace),
    };
    Ok(Figures::of(&run))
}

/// Sends and looks at the processes every second; the last look is right after the last answer.
pub(super) async fn send_watched(
    plan: Plan,
    pids: impl Fn() -> Pids,
    watch: &mut Watch,
) -> anyhow::Result<Sent> {
    watch.sample(&pids());
    let sending = generator::send(plan);
    let mut sending = std::pin::pin!(sending);
    let sent = loop {
        tokio::select! {
            sent = &mut sending => break sent?,
            () = tokio::time::sleep(SAMPLE) => watch.sample(&pids()),
        }
    };
    watch.sample(&pids());
    Ok(sent)
}

pub(super) fn plan(target: &Target, seed: u64, first: u64, work: &Work, pace: Pace) -> Plan {
    Plan {
        target: target.clone(),
        kind: work.kind,
        pace,
        connections: work.connections,
        first,
        requests: Requests::new(target, work.kind, work.accounts.clone(), seed, first),
    }
}

pub(super) fn planned(pace: Pace) -> Option<Duration> {
    match pace {
        Pace::Open(_, duration) => Some(duration),
        Pace::Closed(_) | Pace::Count(_) => None,
    }
}
