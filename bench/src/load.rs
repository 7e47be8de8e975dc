//! What is to be sent, how fast, and what became of it.
//!
//! Invariant: everything that was due is accepted, an error, dropped or none of them yet, and counted once.

use std::collections::BTreeMap;
use std::time::{Duration, Instant, SystemTime};

use super::latencies::Recorded;
use super::request::{Kind, Requests, Target};

/// How fast requests go out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    /// Transfers a second, by the clock.
    Open(u32, Duration),
    /// Whenever a connection is free, for so long.
    Closed(Duration),
    /// Whenever a connection is free, so many requests.
    Count(u64),
}

/// What became of the requests, as far as their answers tell.
#[derive(Debug)]
pub(super) struct Sent {
    /// Number of the first transfer.
    pub(super) first: u64,
    /// Transfers of one request.
    pub(super) lines: u64,
    /// When each request was due, as nanoseconds since the epoch.
    pub(super) due: Vec<i64>,
    /// Start, last arrival and last success, as nanoseconds since the epoch.
    pub(super) started: i64,
    pub(super) stopped: i64,
    pub(super) last_accepted: i64,
    /// These count transfers.
    pub(super) accepted: u64,
    pub(super) replayed: u64,
    pub(super) dropped: u64,
    /// By the problem's code; `connection_lost` and `no_answer` leave open whether the transfer is on the log.
    pub(super) errors: BTreeMap<String, u64>,
    /// Whether each transfer was accepted.
    pub(super) kept: Vec<bool>,
    /// From due to answered.
    pub(super) latency: Recorded,
    /// What the generator's thread took.
    pub(super) cpu: Option<Duration>,
}

impl Sent {
    pub(super) fn new(first: u64, lines: u64) -> Self {
        Self {
            first,
            lines,
            due: Vec::new(),
            started: 0,
            stopped: 0,
            last_accepted: 0,
            accepted: 0,
            replayed: 0,
            dropped: 0,
            errors: BTreeMap::new(),
            kept: Vec::new(),
            latency: Recorded::new(0),
            cpu: None,
        }
    }

    /// Lets the run begin, at nanoseconds since the epoch.
    pub(super) fn start(&mut self, now: i64) {
        (self.started, self.stopped) = (now, now);
        self.latency = Recorded::new(now);
    }

    /// Request `number` was accepted, but for these of its lines.
    pub(super) fn keep(&mut self, number: u64, problems: &[usize]) {
        let fits = "transfers fit memory";
        let first = usize::try_from(number * self.lines).expect(fits);
        let end = first + usize::try_from(self.lines).expect(fits);
        if self.kept.len() < end {
            self.kept.resize(end, false);
        }
        self.kept[first..end].fill(true);
        for problem in problems {
            if let Some(kept) = self.kept[first..end].get_mut(*problem) {
                *kept = false;
            }
        }
    }

    /// Counts so many transfers under `code`.
    pub(super) fn count_error(&mut self, code: &str, transfers: u64) {
        if transfers > 0 {
            *self.errors.entry(code.to_owned()).or_default() += transfers;
        }
    }

    /// Transfers that were due.
    pub(super) fn offered(&self) -> u64 {
        self.due.len() as u64 * self.lines
    }

    pub(super) fn failed(&self) -> u64 {
        self.errors.values().sum()
    }
}

pub(super) struct Plan {
    pub(super) target: Target,
    pub(super) kind: Kind,
    pub(super) pace: Pace,
    pub(super) connections: u16,
    /// Number of the first transfer.
    pub(super) first: u64,
    pub(super) requests: Requests,
}

/// Where the monotonic clock stands on the calendar.
pub(super) struct Epoch {
    pub(super) started: Instant,
    pub(super) nanoseconds: i64,
}

impl Epoch {
    pub(super) fn now() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        Self {
            started: Instant::now(),
            nanoseconds: since.map_or(0, nanoseconds),
        }
    }

    pub(super) fn at(&self, elapsed: Duration) -> i64 {
        self.nanoseconds + nanoseconds(elapsed)
    }
}

fn nanoseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}
