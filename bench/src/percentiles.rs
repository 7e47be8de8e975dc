//! Latencies: recorded in microseconds, told in milliseconds.
//!
//! Invariant: a figure is within a thousandth of what was measured, one of a single second within a hundredth.

use hdrhistogram::{Counter, Histogram};
use serde::Serialize;

const MICROSECONDS_MAX: u64 = 3_600_000_000;

/// Milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p95: f64,
    pub(super) p99: f64,
    pub(super) p999: f64,
    pub(super) max: f64,
}

pub(super) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, MICROSECONDS_MAX, 3)
        .expect("the bounds are ones that the histogram takes")
}

/// From `due` to `done`, both nanoseconds since the epoch, as far as it is recorded.
pub(super) fn microseconds(due: i64, done: i64) -> u64 {
    let took = done.saturating_sub(due) / 1000;
    u64::try_from(took).map_or(1, |took| took.clamp(1, MICROSECONDS_MAX))
}

impl Percentiles {
    /// `None` when nothing was recorded.
    pub(super) fn of<C: Counter>(histogram: &Histogram<C>) -> Option<Self> {
        let at = |quantile| milliseconds(histogram.value_at_quantile(quantile));
        (!histogram.is_empty()).then(|| Self {
            p50: at(0.5),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: milliseconds(histogram.max()),
        })
    }
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_the_recorded_latencies() {
        let mut latencies = histogram();
        assert_eq!(Percentiles::of(&latencies), None);
        for millisecond in 1..=1000_i64 {
            latencies.saturating_record(microseconds(5, 5 + millisecond * 1_000_000));
        }
        let found = Percentiles::of(&latencies).unwrap();
        for (found, expected) in [
            (found.p50, 500.0),
            (found.p95, 950.0),
            (found.p99, 990.0),
            (found.p999, 999.0),
            (found.max, 1000.0),
        ] {
            assert!(
                (found - expected).abs() <= expected / 1000.0,
                "{found} for {expected}"
            );
        }
    }

    #[test]
    fn clocks_that_disagree_and_days_of_waiting_are_recorded_too() {
        for (due, done, expected) in [
            (1_000_000, 0, 1),
            (0, 999, 1),
            (0, 1_000_000, 1000),
            (0, i64::MAX, MICROSECONDS_MAX),
            (i64::MIN, i64::MAX, MICROSECONDS_MAX),
        ] {
            assert_eq!(microseconds(due, done), expected, "{due} to {done}");
        }
    }
}
