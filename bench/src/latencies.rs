//! Latencies of a run: all of them, and apart by the second in which a transfer was due.
//!
//! Invariant: a transfer counts in the second in which it was due, so that a stall shows where it began; memory is
//! bounded however long the run is.

use hdrhistogram::Histogram;

use super::percentiles::{Percentiles, histogram, microseconds};

const SECOND: i64 = 1_000_000_000;
/// Seconds that are told apart; what is due later is only among all.
pub(super) const SECONDS_MAX: usize = 3600;
/// Within a hundredth: there are many of these.
const SECOND_DIGITS: u8 = 2;

#[derive(Debug)]
pub(super) struct Recorded {
    /// Of the run, as nanoseconds since the epoch.
    started: i64,
    all: Histogram<u64>,
    seconds: Vec<Histogram<u32>>,
}

impl Recorded {
    pub(super) fn new(started: i64) -> Self {
        Self {
            started,
            all: histogram(),
            seconds: Vec::new(),
        }
    }

    /// From `due` to `done`, both nanoseconds since the epoch, for so many transfers.
    pub(super) fn record(&mut self, due: i64, done: i64, transfers: u64) {
        let took = microseconds(due, done);
        self.all.saturating_record_n(took, transfers);
        let Some(second) = self.second_of(due) else {
            return;
        };
        if self.seconds.len() <= second {
            let new = || Histogram::new(SECOND_DIGITS).expect("two digits are few enough");
            self.seconds.resize_with(second + 1, new);
        }
        let transfers = u32::try_from(transfers).unwrap_or(u32::MAX);
        self.seconds[second]
            .record_n(took, transfers)
            .expect("it grows with its values");
    }

    fn second_of(&self, due: i64) -> Option<usize> {
        let second = usize::try_from((due - self.started) / SECOND).ok()?;
        (second < SECONDS_MAX).then_some(second)
    }

    /// `None` when nothing was recorded.
    pub(super) fn all(&self) -> Option<Percentiles> {
        Percentiles::of(&self.all)
    }

    /// Of what was due in second `number` of the run; `None` when nothing was recorded.
    pub(super) fn second(&self, number: usize) -> Option<Percentiles> {
        Percentiles::of(self.seconds.get(number)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STARTED: i64 = 1_700_000_000 * SECOND;

    #[test]
    fn a_stall_shows_in_the_second_in_which_it_began() {
        let mut recorded = Recorded::new(STARTED);
        for number in 0..3000_i64 {
            let due = STARTED + number * 1_000_000;
            let took = if (1000..1100).contains(&number) {
                2_500_000_000
            } else {
                5_000_000
            };
            recorded.record(due, due + took, 1);
        }
        for (found, expected) in [
            (recorded.second(0), 5.0),
            (recorded.second(1), 2500.0),
            (recorded.second(2), 5.0),
            (recorded.all(), 2500.0),
        ] {
            let p99 = found.unwrap().p99;
            assert!((p99 / expected - 1.0).abs() < 0.01, "{p99} for {expected}");
        }
        assert_eq!(recorded.second(3), None);
    }

    #[test]
    fn a_second_without_anything_between_two_others_is_empty() {
        let mut recorded = Recorded::new(STARTED);
        recorded.record(STARTED, STARTED + 1, 10);
        recorded.record(STARTED + 2 * SECOND, STARTED + 3 * SECOND, 10);
        assert!(recorded.second(0).is_some() && recorded.second(2).is_some());
        assert_eq!(recorded.second(1), None);
    }

    #[test]
    fn a_run_of_days_keeps_one_hour_of_seconds() {
        let mut recorded = Recorded::new(STARTED);
        recorded.record(STARTED + 86_400 * SECOND, STARTED + 86_401 * SECOND, 1);
        recorded.record(STARTED - SECOND, i64::MAX, 1);
        assert!(recorded.seconds.len() <= SECONDS_MAX);
        assert!(recorded.all().is_some());
    }
}
