//! Limits and times of a processor.
//!
//! Invariant: everything that waits or grows has its limit here.

use std::time::Duration;

use crate::{Failpoint, times};

/// Most dead letters in memory while they are copied; each may be as long as a record.
pub(crate) const LETTERS_MAX: usize = 8;
/// How often the log is told what is applied, for the eyes of lag tools.
pub(crate) const ACKNOWLEDGE_EVERY: Duration = Duration::from_millis(200);
/// How long a partition that is given back waits for copies of dead letters; what is left is the next owner's.
pub(crate) const LAST_COPIES_MAX: Duration = Duration::from_secs(1);
/// Most trial transactions for one batch before its partition takes a break; enough to find two commands among 10,000.
pub(crate) const TRIALS_MAX: usize = 64;
/// How often somebody else's publishing is waited for before a takeover starts over.
pub(crate) const PUBLISH_RACES_MAX: u32 = 10;
/// After so many failures in a row an operator is told why.
pub(crate) const FAILURES_SHOWN: u32 = 5;

#[derive(Debug, Clone)]
pub struct Config {
    /// Most commands in one transaction, unless one record holds more.
    pub batch_commands_max: usize,
    /// Most commands in one record; a longer one is a dead letter as a whole.
    pub record_commands_max: usize,
    /// Batches that the partitions of this process decide and write at a time, while as many commit: fewer are fuller
    /// ones, as records gather while a partition waits for its turn.
    pub commits_in_flight: usize,
    /// Longest time between the starts of two transactions of this process that are not full and that nobody waits for.
    pub commit_interval_max: Duration,
    /// Most commits of a partition that are not on EVENTS yet.
    pub unpublished_commits_max: usize,
    /// About so many bytes of accounts does the process remember, so that they need not be read again.
    pub accounts_remembered_bytes_max: usize,
    /// How long a partition stays ours after the last sign of life.
    pub lease: Duration,
    /// How often a lease without traffic is renewed.
    pub renewal: Duration,
    /// How often processors look for each other and for free partitions.
    pub assignment: Duration,
    /// After this time without an answer of the log a processor leaves its partitions to others.
    pub log_patience: Duration,
    /// Shortest and longest pause after a failure.
    pub pause_min: Duration,
    pub pause_max: Duration,
    /// How often a batch is decided again after a conflict, or after it waited for a lock in vain, before the partition
    /// takes a break.
    pub conflicts_max: u32,
    /// How long running batches may take at shutdown.
    pub shutdown: Duration,
    /// For fault tests: where to stand still inside an open transaction.
    pub failpoint: Option<Failpoint>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            batch_commands_max: 4_000,
            record_commands_max: 10_000,
            commits_in_flight: 1,
            commit_interval_max: Duration::from_millis(3),
            unpublished_commits_max: 8,
            accounts_remembered_bytes_max: 256 << 20,
            lease: times::LEASE,
            renewal: times::RENEWAL,
            assignment: Duration::from_secs(1),
            log_patience: Duration::from_secs(3),
            pause_min: Duration::from_millis(50),
            pause_max: times::PAUSE_MAX,
            conflicts_max: 20,
            shutdown: Duration::from_secs(10),
            failpoint: None,
        }
    }
}
