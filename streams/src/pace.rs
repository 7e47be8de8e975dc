//! How often something starts that costs about the same however much it carries: a record, a transaction.
//!
//! Invariant: the first one after a while starts at once; those that follow start at an interval that is a multiple of
//! the time that the last ones took, and never longer than its limit. Where they take little time, as on a fast machine,
//! they come often; where they take long, the limit is the interval.

use std::time::Duration;

use tokio::time::Instant;

/// An interval between starts that follows what they cost.
#[derive(Debug)]
pub struct Pace {
    multiple: u32,
    interval_max: Duration,
    /// Of the last ones: each new one counts an eighth.
    took: Duration,
    next: Instant,
}

impl Pace {
    /// At most one start in `multiple` times the time that one takes, and at least one in `interval_max`.
    pub fn new(multiple: u32, interval_max: Duration) -> Self {
        Self {
            multiple,
            interval_max,
            took: Duration::ZERO,
            next: Instant::now(),
        }
    }

    /// Before this time nothing starts without need.
    pub fn next(&self) -> Instant {
        self.next
    }

    /// Something starts now.
    pub fn start(&mut self, now: Instant) {
        self.next = now + (self.took * self.multiple).min(self.interval_max);
    }

    /// What one took, from its start to its end.
    pub fn took(&mut self, time: Duration) {
        self.took = (self.took * 7 + time.min(self.interval_max)) / 8;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    fn after(took: Duration) -> Duration {
        let mut pace = Pace::new(5, 6 * MILLISECOND);
        for _ in 0..100 {
            pace.took(took);
        }
        let now = Instant::now();
        pace.start(now);
        pace.next() - now
    }

    #[test]
    fn the_interval_follows_what_the_last_ones_took() {
        let close = |interval: Duration, to: Duration| interval.abs_diff(to) < MILLISECOND / 100;
        assert!(close(after(MILLISECOND / 10), MILLISECOND / 2));
        assert!(close(after(MILLISECOND), 5 * MILLISECOND));
    }

    #[test]
    fn the_interval_has_a_limit() {
        assert_eq!(after(20 * MILLISECOND), 6 * MILLISECOND);
        assert_eq!(after(Duration::from_secs(10)), 6 * MILLISECOND);
    }

    #[test]
    fn one_slow_one_does_not_count_for_long() {
        let mut pace = Pace::new(5, 6 * MILLISECOND);
        pace.took(Duration::from_secs(3));
        for _ in 0..30 {
            pace.took(MILLISECOND / 10);
        }
        let now = Instant::now();
        pace.start(now);
        assert!(pace.next() - now < MILLISECOND);
    }

    #[test]
    fn the_first_starts_at_once() {
        assert!(Pace::new(5, MILLISECOND).next() <= Instant::now());
    }
}
