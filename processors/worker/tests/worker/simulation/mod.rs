//! The real loop among failing servers, from a seed.
//!
//! Invariant: a run is a function of its seed, and a failure prints it. The gates hold that the faults happened.

mod check;
mod model;
mod processes;
mod run;
mod scenario;

use run::{Outcome, run, run_with};

use crate::double::{Fault, Faults, Point, Seen};

/// Every fault at every call, for one partition and for two, twice.
const SEEDS: u64 = 4 * (Point::ALL.len() * Fault::ALL.len()) as u64;

#[test]
fn every_command_is_decided_once_whatever_fails() {
    let mut seen = Seen::default();
    for seed in 0..SEEDS {
        seen.add(&run(seed).seen);
    }
    everything_happened(&seen);
}

/// To look at one seed: `cargo test -p worker one_seed -- --nocapture`.
#[test]
fn one_seed_runs_the_same_way_twice() {
    const SEED: u64 = 42;
    let [first, second]: [Outcome; 2] = [run(SEED), run(SEED)];
    assert_eq!(
        first.trace, second.trace,
        "the run does not follow from its seed"
    );
}

/// An operator is told of failures in a row, not of those that a partition got over.
#[test]
fn failures_with_progress_between_them_are_not_called_a_stop() {
    let (mut refused, mut told) = (0, 0);
    for seed in 0..6 {
        let seen = run_with(seed, Faults::about(Point::Commit, Fault::Refuse, 0)).seen;
        refused += seen.faults[&(Point::Commit, Fault::Refuse)];
        told += usize::from(seen.counts.contains_key("reasons of a stop shown"));
    }
    // Five in a row by chance are about one in a thousand.
    assert!(told <= 1, "an operator was told in {told} of 6 runs");
    assert!(refused > 30, "only {refused} commits were refused");
}

/// A run in which nothing went wrong proves nothing.
fn everything_happened(seen: &Seen) {
    let mut missing = Vec::new();
    for point in Point::ALL {
        for fault in Fault::ALL {
            let times = seen.faults.get(&(point, fault)).copied().unwrap_or(0);
            if times == 0 {
                missing.push((point, fault));
            }
        }
    }
    assert!(missing.is_empty(), "never happened: {missing:?}");
    for what in [
        "takeovers",
        "hand-overs",
        "partitions lost to another process",
        "crashes",
        "serialization failures",
        "lock time-outs",
        "statements that waited for a lock",
        "keys that two partitions raced for",
        "sessions ended by a takeover",
        "sessions ended for being idle",
        "sessions that outlived their process",
        "stolen records noticed",
        "redelivered records noticed",
        "consumers found deleted",
        "publications to a full EVENTS",
        "publications behind another record",
        "second copies of a commit refused",
        "second copies of a dead letter recognised",
        "publications to a full DLQ",
        "purges of EVENTS",
        "records of somebody else's on EVENTS",
        "poisonous commands buried",
        "undecodable commands buried",
        "batches from memory",
        "batches partly from memory",
        "stale memories",
        "keys used on both partitions",
        "batches of several records",
        "limits changed and used in one commit",
        "reasons of a stop shown",
    ] {
        let times = seen.counts.get(what).copied().unwrap_or(0);
        assert!(times > 0, "there were no {what}");
    }
}
