//! One rate of a sweep, measured several times.
//!
//! Invariant: what is said of a rate is the median of its runs, with the lowest and the highest beside it.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Serialize, Serializer};

use super::figures::Figures;
use super::percentiles::Percentiles;

/// Most milliseconds that 95 % of the transfers may take until they are applied.
pub(super) const APPLIED_P95_MAX: f64 = 60.0;
/// Most seconds' worth of transfers that may be left when the last one arrives.
const BACKLOG_SECONDS_MAX: u64 = 1;

#[derive(Debug)]
pub(super) struct Step {
    pub(super) rate: u32,
    /// `None`: it was kept up.
    pub(super) failure: Option<Failure>,
    pub(super) runs: Vec<Figures>,
}

/// Why the sweep ends at a rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    NotTaken,
    BacklogGrows,
    NothingAccepted,
    TooSlow,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotTaken => f.write_str("the rate was not taken"),
            Self::BacklogGrows => f.write_str("the backlog grows"),
            Self::NothingAccepted => f.write_str("nothing was accepted"),
            Self::TooSlow => write!(f, "p95 to applied is above {APPLIED_P95_MAX} ms"),
        }
    }
}

impl Serialize for Failure {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A step as it is written down.
#[derive(Serialize)]
pub(super) struct Told<'s> {
    rate: u32,
    failure: Option<Failure>,
    figures: BTreeMap<&'static str, Option<Spread>>,
    runs: &'s [Figures],
}

/// A figure over the runs of a step.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Spread {
    pub(super) median: f64,
    pub(super) lowest: f64,
    pub(super) highest: f64,
}

pub(super) type Pick = fn(&Figures) -> Option<f64>;

/// Every figure that a step tells, by its name.
pub(super) const FIGURES: [(&str, Pick); 28] = [
    ("offered_per_second", |run| Some(run.offered_per_second)),
    ("accepted_per_second", |run| Some(run.accepted_per_second)),
    ("applied_per_second", |run| run.applied_per_second),
    ("published_per_second", |run| run.published_per_second),
    ("logged_p50_ms", |run| Some(logged(run)?.p50)),
    ("logged_p95_ms", |run| Some(logged(run)?.p95)),
    ("logged_p99_ms", |run| Some(logged(run)?.p99)),
    ("logged_p999_ms", |run| Some(logged(run)?.p999)),
    ("logged_max_ms", |run| Some(logged(run)?.max)),
    ("applied_p50_ms", |run| Some(applied(run)?.p50)),
    ("applied_p95_ms", |run| Some(applied(run)?.p95)),
    ("applied_p99_ms", |run| Some(applied(run)?.p99)),
    ("applied_p999_ms", |run| Some(applied(run)?.p999)),
    ("applied_max_ms", |run| Some(applied(run)?.max)),
    ("published_p50_ms", |run| Some(published(run)?.p50)),
    ("published_p95_ms", |run| Some(published(run)?.p95)),
    ("published_p99_ms", |run| Some(published(run)?.p99)),
    ("published_p999_ms", |run| Some(published(run)?.p999)),
    ("published_max_ms", |run| Some(published(run)?.max)),
    ("commands_per_record", |run| {
        run.counts.as_ref()?.commands_per_record
    }),
    ("commands_per_commit", |run| {
        run.counts.as_ref()?.commands_per_commit
    }),
    ("cpu_microseconds_per_transfer", |run| {
        run.cpu_microseconds_per_transfer_total
    }),
    ("backlog_at_stop", |run| Some(run.backlog_at_stop? as f64)),
    ("drain_seconds", |run| run.drain_seconds),
    ("dropped", |run| Some(run.dropped as f64)),
    (
        "errors",
        |run| Some(run.errors.values().sum::<u64>() as f64),
    ),
    ("lost", |run| Some(run.lost? as f64)),
    ("doubled", |run| Some(run.doubled? as f64)),
];

pub(super) fn logged(run: &Figures) -> Option<Percentiles> {
    run.latency_ms.logged
}

pub(super) fn applied(run: &Figures) -> Option<Percentiles> {
    run.latency_ms.applied
}

fn published(run: &Figures) -> Option<Percentiles> {
    run.latency_ms.published
}

impl Step {
    /// A rate fails when most of its runs do.
    pub(super) fn new(rate: u32, runs: Vec<Figures>) -> Self {
        let failures: Vec<_> = runs.iter().filter_map(|run| failure(rate, run)).collect();
        let is_failed = failures.len() * 2 > runs.len();
        Self {
            rate,
            failure: failures.first().copied().filter(|_| is_failed),
            runs,
        }
    }

    pub(super) fn told(&self) -> Told<'_> {
        let figures = FIGURES
            .iter()
            .map(|(name, pick)| (*name, self.spread(*pick)));
        Told {
            rate: self.rate,
            failure: self.failure,
            figures: figures.collect(),
            runs: &self.runs,
        }
    }

    /// `None` where no run knows the figure.
    pub(super) fn spread(&self, pick: Pick) -> Option<Spread> {
        let mut values: Vec<f64> = self.runs.iter().filter_map(pick).collect();
        values.sort_unstable_by(f64::total_cmp);
        let (lowest, highest) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len().is_multiple_of(2) {
            f64::midpoint(values[middle - 1], values[middle])
        } else {
            values[middle]
        };
        Some(Spread {
            median,
            lowest,
            highest,
        })
    }
}

/// What says after a run that its rate is too high, if anything does.
fn failure(rate: u32, run: &Figures) -> Option<Failure> {
    let backlog_max = u64::from(rate) * BACKLOG_SECONDS_MAX;
    // Where EVENTS cannot be read, the answers are all there is.
    let slowest = run.latency_ms.last_known();
    if run.dropped > 0 || run.drained == Some(false) {
        Some(Failure::NotTaken)
    } else if run.backlog_at_stop.is_some_and(|left| left > backlog_max) {
        Some(Failure::BacklogGrows)
    } else {
        match slowest {
            None => Some(Failure::NothingAccepted),
            Some(slowest) => (slowest.p95 > APPLIED_P95_MAX).then_some(Failure::TooSlow),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::super::figures::Latencies;
    use super::super::machine::Fsync;
    use super::*;

    pub(in super::super) fn run(rate: u32, applied_p95: f64) -> Figures {
        let percentiles = |p95: f64| Percentiles {
            p50: p95 / 2.0,
            p95,
            p99: p95 * 2.0,
            p999: p95 * 3.0,
            max: p95 * 9.0,
        };
        Figures {
            transfers: 10,
            duration_seconds: 1.0,
            offered_per_second: f64::from(rate),
            accepted_per_second: f64::from(rate),
            applied_per_second: Some(f64::from(rate)),
            published_per_second: None,
            latency_ms: Latencies {
                logged: Some(percentiles(2.0)),
                applied: Some(percentiles(applied_p95)),
                published: None,
                answered: None,
            },
            counts: None,
            errors: BTreeMap::new(),
            dropped: 0,
            replayed: 0,
            applied: None,
            outcomes: None,
            lost: Some(0),
            doubled: Some(0),
            backlog_at_stop: Some(0),
            drain_seconds: Some(0.01),
            drained: Some(true),
            cpu_microseconds_per_transfer: BTreeMap::new(),
            cpu_microseconds_per_transfer_total: None,
            cpu_seconds: BTreeMap::new(),
            peak_memory_bytes: BTreeMap::new(),
            durable: false,
            fsync: Fsync::default(),
            seconds: Vec::new(),
        }
    }

    /// With the p95 to applied of each run.
    pub(in super::super) fn step(rate: u32, applied: &[f64]) -> Step {
        Step::new(rate, applied.iter().map(|p95| run(rate, *p95)).collect())
    }

    #[test]
    fn a_rate_is_told_by_the_median_of_its_runs_and_how_far_they_lie_apart() {
        let p95: Pick = |run| Some(applied(run)?.p95);
        for (runs, median, lowest, highest) in [
            (&[7.0][..], 7.0, 7.0, 7.0),
            (&[9.0, 3.0], 6.0, 3.0, 9.0),
            (&[40.0, 5.0, 6.0], 6.0, 5.0, 40.0),
        ] {
            let expected = Spread {
                median,
                lowest,
                highest,
            };
            assert_eq!(step(1000, runs).spread(p95), Some(expected));
        }
        assert_eq!(
            step(1000, &[7.0]).spread(|run| run.published_per_second),
            None
        );
    }

    #[test]
    fn a_rate_fails_where_most_runs_do() {
        let above = Some(Failure::TooSlow);
        for (runs, expected) in [
            (&[60.0][..], None),
            (&[60.1], above),
            (&[5.0, 500.0, 5.0], None),
            (&[61.0, 5.0, 62.0], above),
        ] {
            assert_eq!(step(1000, runs).failure, expected, "{runs:?}");
        }
    }

    #[test]
    fn a_run_fails_where_the_system_does_not_keep_up() {
        let with = |change: fn(&mut Figures)| {
            let mut figures = run(1000, 5.0);
            change(&mut figures);
            failure(1000, &figures)
        };
        assert_eq!(with(|run| run.backlog_at_stop = Some(1000)), None);
        assert_eq!(
            with(|run| run.backlog_at_stop = Some(1001)),
            Some(Failure::BacklogGrows)
        );
        assert_eq!(with(|run| run.dropped = 1), Some(Failure::NotTaken));
        assert_eq!(
            with(|run| run.drained = Some(false)),
            Some(Failure::NotTaken)
        );
        assert_eq!(
            with(|run| (run.latency_ms.applied, run.latency_ms.logged) = (None, None)),
            Some(Failure::NothingAccepted)
        );
    }

    #[test]
    fn a_failed_step_is_written_down_with_why() {
        let failed = step(1000, &[60.5]);
        let told = serde_json::to_value(failed.told()).unwrap();
        assert_eq!(told["failure"], "p95 to applied is above 60 ms");
        for none in ["lost", "doubled"] {
            assert_eq!(told["figures"][none]["highest"], 0.0, "{none}");
        }
    }
}
