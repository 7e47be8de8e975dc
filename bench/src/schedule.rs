//! When requests are due.
//!
//! Invariant: an arrival is due at its time on a fixed schedule, whatever the answers do; one that finds no free
//! connection waits, and its latency counts from the schedule. What waits is bounded; beyond that it is dropped
//! and counted.

use std::collections::VecDeque;
use std::time::Duration;

/// How many seconds' worth of arrivals may wait for a free connection.
const WAITING_SECONDS_MAX: u64 = 10;
const SECOND: u128 = 1_000_000_000;

/// Arrival `i` is due `i × lines / rate` seconds after the start.
#[derive(Debug)]
pub(super) struct Schedule {
    /// Transfers a second.
    rate: u64,
    /// Transfers of one request.
    lines: u64,
    total: u64,
    next: u64,
    waiting: VecDeque<u64>,
    waiting_max: u64,
    pub(super) dropped: u64,
}

impl Schedule {
    pub(super) fn new(rate: u32, lines: u64, duration: Duration) -> Self {
        let rate = u64::from(rate);
        let requests = |seconds: u64| (rate * seconds).div_ceil(lines).max(1);
        Self {
            rate,
            lines,
            total: requests(duration.as_secs()),
            next: 0,
            waiting: VecDeque::new(),
            waiting_max: requests(WAITING_SECONDS_MAX),
            dropped: 0,
        }
    }

    /// All arrivals.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// When arrival `number` is due after the start.
    pub(super) fn due(&self, number: u64) -> Duration {
        let nanoseconds =
            u128::from(number) * u128::from(self.lines) * SECOND / u128::from(self.rate);
        Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
    }

    /// Lets everything arrive that is due at `elapsed`; gives when the next one is due.
    pub(super) fn advance(&mut self, elapsed: Duration) -> Option<Duration> {
        while self.next < self.total {
            let due = self.due(self.next);
            if due > elapsed {
                return Some(due);
            }
            if self.waiting.len() as u64 >= self.waiting_max {
                self.dropped += 1;
            } else {
                self.waiting.push_back(self.next);
            }
            self.next += 1;
        }
        None
    }

    /// The arrival that waits longest.
    pub(super) fn take(&mut self) -> Option<u64> {
        self.waiting.pop_front()
    }

    pub(super) fn is_over(&self) -> bool {
        self.next == self.total && self.waiting.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrivals_keep_their_times_however_late_they_are_looked_at() {
        let mut schedule = Schedule::new(4, 1, Duration::from_secs(2));
        assert_eq!(schedule.total(), 8);
        assert_eq!(
            schedule.advance(Duration::ZERO),
            Some(Duration::from_millis(250))
        );
        assert_eq!((schedule.take(), schedule.take()), (Some(0), None));
        assert_eq!(
            schedule.advance(Duration::from_millis(600)),
            Some(Duration::from_millis(750))
        );
        assert_eq!((schedule.take(), schedule.take()), (Some(1), Some(2)));
        assert_eq!(schedule.advance(Duration::from_secs(9)), None);
        assert!(!schedule.is_over());
        assert_eq!(
            std::iter::from_fn(|| schedule.take()).collect::<Vec<_>>(),
            [3, 4, 5, 6, 7]
        );
        assert!(schedule.is_over());
        assert_eq!(schedule.due(7), Duration::from_millis(1750));
    }

    #[test]
    fn a_batch_is_due_when_its_share_of_the_rate_is() {
        let schedule = Schedule::new(10_000, 1000, Duration::from_secs(3));
        assert_eq!(schedule.total(), 30);
        assert_eq!(schedule.due(7), Duration::from_millis(700));
    }

    #[test]
    fn what_waits_is_bounded_and_the_rest_is_counted() {
        let mut schedule = Schedule::new(100, 1, Duration::from_mins(1));
        schedule.advance(Duration::from_mins(1));
        assert_eq!(schedule.dropped, 60 * 100 - 10 * 100);
        assert_eq!(schedule.take(), Some(0));
    }
}
