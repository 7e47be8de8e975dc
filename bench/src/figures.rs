//! What a run came to.
//!
//! Invariant: a rate divides what was counted by the time in which it happened, from the start of the run to the
//! last of its kind, so that work that was left for later makes it smaller.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::counts::Counts;
use super::landed::Landed;
use super::latencies::{Recorded, SECONDS_MAX};
use super::load::Sent;
use super::machine::Fsync;
use super::percentiles::Percentiles;
use super::usage::Watch;

const SECOND: f64 = 1e9;

#[derive(Debug, Clone, Serialize)]
pub(super) struct Figures {
    /// Accepted with a 2xx.
    pub(super) transfers: u64,
    /// From the start to the last arrival, the interval after it included.
    pub(super) duration_seconds: f64,
    /// Due, whether they were sent or dropped.
    pub(super) offered_per_second: f64,
    /// Until the last 2xx.
    pub(super) accepted_per_second: f64,
    /// Decided in a committed transaction, until the last commit.
    pub(super) applied_per_second: Option<f64>,
    /// On EVENTS, until the last one stood there.
    pub(super) published_per_second: Option<f64>,
    pub(super) latency_ms: Latencies,
    /// Left out where the log is not known.
    #[serde(flatten)]
    pub(super) counts: Option<Counts>,
    /// By code, in transfers.
    pub(super) errors: BTreeMap<String, u64>,
    /// Found no room among those that waited for a connection.
    pub(super) dropped: u64,
    pub(super) replayed: u64,
    pub(super) applied: Option<u64>,
    pub(super) outcomes: Option<BTreeMap<String, u64>>,
    /// Accepted, and no outcome of it stands on EVENTS. One by one: an unknown outcome that was applied after all
    /// makes up for none.
    pub(super) lost: Option<u64>,
    /// With more than one outcome on EVENTS.
    pub(super) doubled: Option<u64>,
    /// Accepted and not applied when the last one arrived.
    pub(super) backlog_at_stop: Option<u64>,
    /// From the last arrival to the last commit.
    pub(super) drain_seconds: Option<f64>,
    pub(super) drained: Option<bool>,
    pub(super) cpu_microseconds_per_transfer: BTreeMap<&'static str, Option<f64>>,
    /// `null`: not every process is known.
    pub(super) cpu_microseconds_per_transfer_total: Option<f64>,
    pub(super) cpu_seconds: BTreeMap<&'static str, Option<f64>>,
    /// Most that a process ever had resident; for Postgres proportional set sizes, all processes together.
    pub(super) peak_memory_bytes: BTreeMap<&'static str, Option<u64>>,
    pub(super) durable: bool,
    pub(super) fsync: Fsync,
    /// By the second in which transfers were due, of the first hour.
    pub(super) seconds: Vec<Second>,
}

/// Transfers that have not the one outcome that was promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotKept {
    pub(super) lost: u64,
    pub(super) doubled: u64,
}

impl fmt::Display for NotKept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lost, doubled } = self;
        write!(
            f,
            "{lost} accepted and without an outcome, {doubled} with more than one"
        )
    }
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct Second {
    pub(super) second: usize,
    #[serde(flatten)]
    pub(super) latency_ms: Latencies,
}

/// From when a transfer was due, in milliseconds.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Latencies {
    /// To its 202: it is on the log.
    pub(super) logged: Option<Percentiles>,
    /// To the return of COMMIT.
    pub(super) applied: Option<Percentiles>,
    /// To its place on EVENTS.
    pub(super) published: Option<Percentiles>,
    /// To the answer to `Prefer: wait`, in place of `logged`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) answered: Option<Percentiles>,
}

impl Latencies {
    /// To applied where that is known, else to the answer.
    pub(super) fn last_known(&self) -> Option<Percentiles> {
        self.applied.or(self.logged).or(self.answered)
    }
}

/// What a run left to be looked at.
pub(super) struct Run {
    pub(super) sent: Sent,
    pub(super) landed: Option<Landed>,
    pub(super) counts: Option<Counts>,
    pub(super) drained: Option<bool>,
    pub(super) watch: Watch,
    /// That are reported, though they be unknown.
    pub(super) processes: Vec<&'static str>,
    pub(super) fsync: Fsync,
    /// Whether answers came after the decision.
    pub(super) waited: bool,
    /// Length of an open-loop schedule.
    pub(super) planned: Option<Duration>,
}

impl Figures {
    pub(super) fn of(run: &Run) -> Self {
        let (sent, landed) = (&run.sent, run.landed.as_ref());
        let scheduled = run.planned.map(|planned| planned.as_secs_f64());
        let duration_seconds = scheduled.unwrap_or_else(|| seconds(sent.started, sent.stopped));
        let rate = |count: u64, until: i64| per_second(count, seconds(sent.started, until));
        let applied = landed.map(|landed| landed.applied);
        let (cpu_seconds, cpu_each) = cpu(run, applied.unwrap_or(sent.accepted));
        let peaks = run.watch.peak_memory();
        Self {
            transfers: sent.accepted,
            duration_seconds,
            offered_per_second: per_second(sent.offered(), duration_seconds),
            accepted_per_second: rate(sent.accepted, sent.last_accepted),
            applied_per_second: landed.map(|landed| rate(landed.applied, landed.last_commit)),
            published_per_second: landed.map(|landed| rate(landed.applied, landed.last_published)),
            latency_ms: latencies(run, Recorded::all),
            counts: run.counts.clone(),
            errors: sent.errors.clone(),
            dropped: sent.dropped,
            replayed: sent.replayed,
            applied,
            outcomes: landed.map(|landed| landed.outcomes.clone()),
            lost: landed.map(|landed| landed.lost(sent)),
            doubled: landed.map(Landed::doubled),
            backlog_at_stop: landed
                .map(|landed| sent.accepted.saturating_sub(landed.applied_by_stop)),
            drain_seconds: landed.map(|landed| seconds(sent.stopped, landed.last_commit)),
            drained: run.drained,
            cpu_microseconds_per_transfer_total: cpu_each
                .values()
                .copied()
                .sum::<Option<f64>>()
                .map(|total| round(total, 100.0)),
            cpu_microseconds_per_transfer: cpu_each,
            cpu_seconds,
            peak_memory_bytes: run
                .processes
                .iter()
                .map(|name| (*name, peaks.get(name).copied()))
                .collect(),
            durable: run.fsync.is_durable(),
            fsync: run.fsync.clone(),
            seconds: (0..whole_seconds(duration_seconds))
                .map(|second| Second {
                    second,
                    latency_ms: latencies(run, |recorded| recorded.second(second)),
                })
                .collect(),
        }
    }

    /// Everything that was accepted is applied, and nothing twice, as far as that can be known.
    pub(super) fn is_kept(&self) -> bool {
        self.drained != Some(false) && self.not_kept().is_none()
    }

    pub(super) fn not_kept(&self) -> Option<NotKept> {
        let (lost, doubled) = (self.lost.unwrap_or(0), self.doubled.unwrap_or(0));
        (lost + doubled > 0).then_some(NotKept { lost, doubled })
    }

    /// Where what was left on the log counts as neither kept nor lost: the proof at the end tells.
    pub(super) fn not_kept_of_drained(&self) -> Option<NotKept> {
        let mut not_kept = self.not_kept()?;
        if self.drained == Some(false) {
            not_kept.lost = 0;
        }
        (not_kept.lost + not_kept.doubled > 0).then_some(not_kept)
    }

    /// The second in which 95 % took longest.
    pub(super) fn worst_second(&self) -> Option<(usize, Percentiles)> {
        let seconds = self.seconds.iter();
        let known = seconds.filter_map(|row| Some((row.second, row.latency_ms.last_known()?)));
        known.max_by(|(_, one), (_, other)| one.p95.total_cmp(&other.p95))
    }
}

fn latencies(run: &Run, of: impl Fn(&Recorded) -> Option<Percentiles>) -> Latencies {
    let answered = of(&run.sent.latency);
    let landed = run.landed.as_ref();
    Latencies {
        logged: answered.filter(|_| !run.waited),
        applied: landed.and_then(|landed| of(&landed.applied_latency)),
        published: landed.and_then(|landed| of(&landed.published_latency)),
        answered: answered.filter(|_| run.waited),
    }
}

/// Begun ones, as many as are told apart.
fn whole_seconds(seconds: f64) -> usize {
    let begun = Duration::from_secs_f64(seconds)
        .as_nanos()
        .div_ceil(1_000_000_000);
    usize::try_from(begun).map_or(SECONDS_MAX, |begun| begun.min(SECONDS_MAX))
}

type ByProcess = BTreeMap<&'static str, Option<f64>>;

/// CPU seconds, and microseconds of each transfer.
fn cpu(run: &Run, transfers: u64) -> (ByProcess, ByProcess) {
    let mut times = run.watch.cpu();
    // The rest of this process watches, and is no generator.
    if let Some(generator) = run.sent.cpu {
        times.insert("generator", generator);
    }
    let (mut all, mut each) = (BTreeMap::new(), BTreeMap::new());
    for name in run.processes.iter().copied() {
        let time = times.get(name).map(Duration::as_secs_f64);
        all.insert(name, time);
        let per_transfer = |time: f64| round(time * 1e6 / transfers as f64, 100.0);
        each.insert(name, time.filter(|_| transfers > 0).map(per_transfer));
    }
    (all, each)
}

pub(super) fn per_second(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 {
        round(count as f64 / seconds, 10.0)
    } else {
        0.0
    }
}

/// Between two times in nanoseconds; zero when the second is not later.
pub(super) fn seconds(from: i64, to: i64) -> f64 {
    (to.saturating_sub(from)).max(0) as f64 / SECOND
}

pub(super) fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}
