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
/// Most transfers of a hundred that may get an error.
const REFUSED_PER_CENT_MAX: u64 = 1;

#[derive(Debug)]
pub(super) struct Step {
    pub(super) rate: u32,
    /// `None`: it was kept up.
    pub(super) failure: Option<Failure>,
    /// Why runs failed, also where the rate was kept up.
    pub(super) failures: Vec<Failure>,
    pub(super) runs: Vec<Figures>,
}

/// Why the sweep ends at a rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    Refused {
        refused: u64,
        offered: u64,
        /// That most of them got.
        code: String,
    },
    NotTaken,
    BacklogGrows,
    NothingAccepted,
    TooSlow,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused {
                refused,
                offered,
                code,
            } => write!(f, "{refused} of {offered} transfers were refused: {code}"),
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
    failure: Option<&'s Failure>,
    failures: &'s [Failure],
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
    /// A rate fails when half of its runs do.
    pub(super) fn new(rate: u32, runs: Vec<Figures>) -> Self {
        let failures: Vec<_> = runs.iter().filter_map(|run| failure(rate, run)).collect();
        let is_failed = failures.len() * 2 >= runs.len();
        Self {
            rate,
            failure: failures.first().cloned().filter(|_| is_failed),
            failures,
            runs,
        }
    }

    pub(super) fn told(&self) -> Told<'_> {
        let figures = FIGURES
            .iter()
            .map(|(name, pick)| (*name, self.spread(*pick)));
        Told {
            rate: self.rate,
            failure: self.failure.as_ref(),
            failures: &self.failures,
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
    if let Some(refused) = refused(run) {
        Some(refused)
    } else if run.dropped > 0 || run.drained == Some(false) {
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

/// With what is dropped, this is all that was offered and not accepted.
fn refused(run: &Figures) -> Option<Failure> {
    let refused: u64 = run.errors.values().sum();
    let offered = run.transfers + refused + run.dropped;
    let (code, _) = run.errors.iter().max_by_key(|(_, count)| **count)?;
    (refused * 100 > offered * REFUSED_PER_CENT_MAX).then(|| Failure::Refused {
        refused,
        offered,
        code: code.clone(),
    })
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
    fn a_rate_fails_where_half_of_its_runs_do() {
        let above = Some(Failure::TooSlow);
        for (runs, expected) in [
            (&[60.0][..], None),
            (&[60.1], above.clone()),
            (&[5.0, 500.0, 5.0], None),
            (&[61.0, 5.0, 62.0], above.clone()),
            (&[61.0, 5.0], above.clone()),
            (&[5.0, 61.0, 5.0, 62.0], above),
            (&[5.0, 61.0, 5.0, 6.0], None),
        ] {
            let step = step(1000, runs);
            assert_eq!(step.failure, expected, "{runs:?}");
            let slow = runs.iter().filter(|p95| **p95 > APPLIED_P95_MAX).count();
            assert_eq!(step.failures.len(), slow, "{runs:?}");
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
    fn a_run_fails_where_more_than_one_transfer_of_a_hundred_is_refused() {
        let with = |overloaded: u64, log_full: u64| {
            let mut figures = run(1000, 5.0);
            figures.transfers = 1000 - overloaded - log_full;
            for (code, count) in [("overloaded", overloaded), ("log_full", log_full)] {
                figures.errors.insert(code.to_owned(), count);
            }
            failure(1000, &figures).map(|failure| failure.to_string())
        };
        assert_eq!(with(0, 0), None);
        assert_eq!(with(5, 5), None);
        for (overloaded, log_full, expected) in [
            (11, 0, "11 of 1000 transfers were refused: overloaded"),
            (5, 6, "11 of 1000 transfers were refused: log_full"),
            (0, 1000, "1000 of 1000 transfers were refused: log_full"),
        ] {
            assert_eq!(with(overloaded, log_full).as_deref(), Some(expected));
        }
    }

    #[test]
    fn a_failed_step_is_written_down_with_why() {
        let failed = step(1000, &[60.5]);
        let told = serde_json::to_value(failed.told()).unwrap();
        assert_eq!(told["failure"], "p95 to applied is above 60 ms");
        assert_eq!(told["failures"], serde_json::json!([told["failure"]]));
        for none in ["lost", "doubled"] {
            assert_eq!(told["figures"][none]["highest"], 0.0, "{none}");
        }
    }
}
