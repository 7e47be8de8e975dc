//! The pause after a failure.
//!
//! Invariant: it doubles from the shortest to the longest, so that what stays broken is tried without end and never in
//! a busy loop.

use std::time::Duration;

use crate::Config;

#[derive(Debug)]
pub(crate) struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            min: config.pause_min,
            max: config.pause_max,
            failures: 0,
        }
    }

    /// Failures in a row.
    pub(crate) fn failures(&self) -> u32 {
        self.failures
    }

    /// It went on.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after one failure more.
    pub(crate) fn next(&mut self) -> Duration {
        let doubled = 1_u32 << self.failures.min(10);
        self.failures = self.failures.saturating_add(1);
        self.min.saturating_mul(doubled).min(self.max)
    }
}
