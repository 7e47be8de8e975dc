//! What a run came to.
//!
//! Invariant: a rate divides what was counted by the time in which it happened, from the start of the run to the
//! last of its kind, so that work that was left for later makes it smaller.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use system::ROLES;

use super::landed::Landed;
use super::load::Sent;
use super::machine::Fsync;
use super::percentiles::Percentiles;
use super::usage::Watch;

const SECOND: f64 = 1e9;
/// Processes that are reported, though they be unknown: the roles, their servers, and we.
pub(super) fn processes() -> impl Iterator<Item = &'static str> {
    let roles = ROLES.iter().map(|role| role.called);
    roles.chain(["nats", "postgres", "generator"])
}

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
    /// By code, in transfers.
    pub(super) errors: BTreeMap<String, u64>,
    /// Found no room among those that waited for a connection.
    pub(super) dropped: u64,
    pub(super) replayed: u64,
    pub(super) applied: Option<u64>,
    pub(super) outcomes: Option<BTreeMap<String, u64>>,
    /// Accepted and not applied when the last one arrived.
    pub(super) backlog_at_stop: Option<u64>,
    /// From the last arrival to the last commit.
    pub(super) drain_seconds: Option<f64>,
    pub(super) drained: Option<bool>,
    pub(super) cpu_microseconds_per_transfer: BTreeMap<&'static str, Option<f64>>,
    pub(super) cpu_seconds: BTreeMap<&'static str, Option<f64>>,
    /// Most that a process ever had resident; for Postgres proportional set sizes, all processes together.
    pub(super) peak_memory_bytes: BTreeMap<&'static str, Option<u64>>,
    pub(super) durable: bool,
    pub(super) fsync: Fsync,
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

/// What a run left to be looked at.
pub(super) struct Run {
    pub(super) sent: Sent,
    pub(super) landed: Option<Landed>,
    pub(super) drained: Option<bool>,
    pub(super) watch: Watch,
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
        let answered = Percentiles::of(&sent.latency);
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
            latency_ms: Latencies {
                logged: answered.filter(|_| !run.waited),
                applied: landed.and_then(|landed| Percentiles::of(&landed.applied_latency)),
                published: landed.and_then(|landed| Percentiles::of(&landed.published_latency)),
                answered: answered.filter(|_| run.waited),
            },
            errors: sent.errors.clone(),
            dropped: sent.dropped,
            replayed: sent.replayed,
            applied,
            outcomes: landed.map(|landed| landed.outcomes.clone()),
            backlog_at_stop: landed
                .map(|landed| sent.accepted.saturating_sub(landed.applied_by_stop)),
            drain_seconds: landed.map(|landed| seconds(sent.stopped, landed.last_commit)),
            drained: run.drained,
            cpu_microseconds_per_transfer: cpu_each,
            cpu_seconds,
            peak_memory_bytes: processes()
                .map(|name| (name, peaks.get(name).copied()))
                .collect(),
            durable: run.fsync.is_durable(),
            fsync: run.fsync.clone(),
        }
    }
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
    for name in processes() {
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

fn round(value: f64, parts: f64) -> f64 {
    (value * parts).round() / parts
}
