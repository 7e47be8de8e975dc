//! What a processor counts.
//!
//! Invariant: recorded once per batch, never once per transfer.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use journal::Decided;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge, histogram};
use schemas::{Outcome, Partition, Timestamp};

use crate::Config;
use crate::commit::Commit;

pub const COMMANDS_APPLIED: &str = "sluice_worker_commands_applied_total";
pub const OUTDATED: &str = "sluice_worker_outdated";
pub const COMMANDS_REFUSED: &str = "sluice_worker_commands_refused_total";
pub const COMMANDS_DUPLICATE: &str = "sluice_worker_commands_duplicate_total";
pub const DEAD_LETTERS: &str = "sluice_worker_dead_letters_total";
pub const RECORDS_APPLIED: &str = "sluice_worker_records_applied_total";
pub const BATCH_COMMANDS: &str = "sluice_worker_batch_commands";
pub const ROUND_TRIPS: &str = "sluice_worker_round_trips_total";
pub const COMMIT_SECONDS: &str = "sluice_worker_commit_duration_seconds";
pub const APPLIED_LATENCY_SECONDS: &str = "sluice_worker_applied_latency_seconds";
pub const CONFLICTS: &str = "sluice_worker_conflicts_total";
pub const ACCOUNTS_REMEMBERED: &str = "sluice_worker_accounts_remembered_total";
pub const ACCOUNTS_READ: &str = "sluice_worker_accounts_read_total";
pub const ACCOUNTS_MEMORY: &str = "sluice_worker_accounts_memory_bytes";
pub const ACCOUNTS_MEMORY_MAX: &str = "sluice_worker_accounts_memory_max_bytes";
pub const MEMORY_STALE: &str = "sluice_worker_memory_stale_total";
pub const PUBLISH_SECONDS: &str = "sluice_worker_publish_duration_seconds";
pub const PUBLISH_FAILURES: &str = "sluice_worker_publish_failures_total";
pub const PUBLISH_FOREIGN: &str = "sluice_worker_publish_foreign_total";
pub const LAG_RECORDS: &str = "sluice_worker_lag_records";
pub const LAG_SECONDS: &str = "sluice_worker_lag_seconds";
pub const EPOCH: &str = "sluice_worker_partition_epoch";
pub const STOPPED: &str = "sluice_worker_partition_stopped";
pub const FENCED: &str = "sluice_worker_fenced_total";
pub const STOLEN: &str = "sluice_worker_records_stolen_total";
pub const POISON: &str = "sluice_worker_commands_poison_total";
pub const PARTITIONS_HELD: &str = "sluice_worker_partitions_held";
pub const BATCH_COMMANDS_MAX: &str = "sluice_worker_batch_commands_max";
pub const COMMITS_IN_FLIGHT_MAX: &str = "sluice_worker_commits_in_flight_max";
pub const COMMIT_INTERVAL_MAX: &str = "sluice_worker_commit_interval_max_seconds";

/// Histograms and their upper bounds.
pub const BUCKETS: &[(&str, &[f64])] = &[
    (
        BATCH_COMMANDS,
        &[
            1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0,
        ],
    ),
    (COMMIT_SECONDS, SECONDS),
    (PUBLISH_SECONDS, SECONDS),
    (APPLIED_LATENCY_SECONDS, SECONDS),
];
const SECONDS: &[f64] = &[
    0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0,
];

/// Tells the recorder what each metric means.
pub fn describe() {
    describe_memory();
    describe_counter!(COMMANDS_APPLIED, "commands that were decided, by outcome");
    describe_counter!(COMMANDS_REFUSED, "commands that were refused, by reason");
    describe_counter!(
        COMMANDS_DUPLICATE,
        "transfers whose key was seen before: the same request (replayed) or another (key_reused)"
    );
    describe_counter!(
        DEAD_LETTERS,
        "commands that can never be decided, by reason"
    );
    describe_counter!(RECORDS_APPLIED, "records of the log that were applied");
    describe_histogram!(BATCH_COMMANDS, "commands in one transaction");
    describe_counter!(
        ROUND_TRIPS,
        "messages to Postgres for batches, each with an answer to wait for, COMMIT among them"
    );
    describe_histogram!(
        APPLIED_LATENCY_SECONDS,
        "age of the oldest command of a batch when its COMMIT returned"
    );
    describe_histogram!(COMMIT_SECONDS, "time from taking a batch to its COMMIT");
    describe_counter!(
        CONFLICTS,
        "batches decided again after meeting another transaction"
    );
    describe_histogram!(PUBLISH_SECONDS, "time until EVENTS acknowledged a commit");
    describe_counter!(PUBLISH_FAILURES, "tries to publish a commit that failed");
    describe_counter!(
        PUBLISH_FOREIGN,
        "times that a record of somebody else's was found behind the last commit on EVENTS"
    );
    describe_gauge!(
        LAG_RECORDS,
        "records of a partition behind the one last read"
    );
    describe_gauge!(
        LAG_SECONDS,
        "age of the oldest record of a partition that is not applied"
    );
    describe_gauge!(EPOCH, "epoch under which this process holds a partition");
    describe_gauge!(
        STOPPED,
        "1 while a partition does not go on; `sluice partitions` says why"
    );
    describe_counter!(FENCED, "partitions lost to another process");
    describe_counter!(
        STOLEN,
        "times that somebody else took records from our consumer"
    );
    describe_counter!(
        POISON,
        "commands that could not be committed and became dead letters"
    );
    describe_gauge!(
        OUTDATED,
        "1 while a newer program commits and this one takes no partition"
    );
    describe_gauge!(PARTITIONS_HELD, "partitions that this process holds");
    describe_gauge!(BATCH_COMMANDS_MAX, "most commands in one transaction");
    describe_gauge!(
        COMMITS_IN_FLIGHT_MAX,
        "batches of this process that are decided and written at a time, while as many commit"
    );
    describe_gauge!(
        COMMIT_INTERVAL_MAX,
        "longest time between the starts of two that nobody waits for"
    );
}

fn describe_memory() {
    describe_counter!(
        ACCOUNTS_REMEMBERED,
        "accounts that a batch found in memory instead of reading them"
    );
    describe_counter!(
        ACCOUNTS_READ,
        "accounts that a batch read in Postgres, as they were not remembered or not believed"
    );
    describe_gauge!(ACCOUNTS_MEMORY, "what remembered accounts take, about");
    describe_gauge!(
        ACCOUNTS_MEMORY_MAX,
        "what they may take; from half of it on, those not used for longest are forgotten"
    );
    describe_counter!(
        MEMORY_STALE,
        "batches decided again because an account was not what was remembered: somebody else wrote it, or the batch before it was not committed"
    );
}

/// What the processor was told to keep to.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn limits(config: &Config) {
    gauge!(BATCH_COMMANDS_MAX).set(config.batch_commands_max as f64);
    gauge!(COMMITS_IN_FLIGHT_MAX).set(config.commits_in_flight as f64);
    gauge!(COMMIT_INTERVAL_MAX).set(config.commit_interval_max.as_secs_f64());
    gauge!(ACCOUNTS_MEMORY_MAX).set(config.accounts_remembered_bytes_max as f64);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn accounts_memory(bytes: usize) {
    gauge!(ACCOUNTS_MEMORY).set(bytes as f64);
}

pub(crate) fn outdated(is_outdated: bool) {
    gauge!(OUTDATED).set(f64::from(u8::from(is_outdated)));
}

pub(crate) fn committed(commit: &Commit, records: usize, took: Duration, oldest: Timestamp) {
    histogram!(APPLIED_LATENCY_SECONDS).record(age(oldest));
    let mut kinds: HashMap<&'static str, u64> = HashMap::new();
    let mut reasons: HashMap<&'static str, u64> = HashMap::new();
    for Decided { event, .. } in &commit.events {
        *kinds.entry(event.outcome.kind().as_str()).or_default() += 1;
        let reason = match &event.outcome {
            Outcome::Decided(transfer) => transfer.refusal().map(|refusal| refusal.reason),
            Outcome::AccountRefused(refused) => Some(refused.reason),
            _ => None,
        };
        if let Some(reason) = reason {
            *reasons.entry(reason.as_str()).or_default() += 1;
        }
    }
    for (kind, count) in kinds {
        counter!(COMMANDS_APPLIED, "outcome" => kind).increment(count);
        if let "sluice.transfer.replayed.v1" | "sluice.transfer.key_reused.v1" = kind {
            counter!(COMMANDS_DUPLICATE, "outcome" => kind).increment(count);
        }
    }
    for (reason, count) in reasons {
        counter!(COMMANDS_REFUSED, "reason" => reason).increment(count);
    }
    for letter in &commit.dead {
        counter!(DEAD_LETTERS, "reason" => letter.reason.clone()).increment(1);
    }
    let partition = label(commit.lease.partition);
    counter!(RECORDS_APPLIED, "partition" => partition).increment(records as u64);
    histogram!(BATCH_COMMANDS).record(f64::from(commit.record.count));
    histogram!(COMMIT_SECONDS).record(took.as_secs_f64());
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn lag(partition: Partition, records: u64, oldest: Timestamp) {
    gauge!(LAG_RECORDS, "partition" => label(partition)).set(records as f64);
    gauge!(LAG_SECONDS, "partition" => label(partition)).set(age(oldest));
}

/// Nothing came for a while; what waits, if anything does.
pub(crate) fn waiting(partition: Partition, oldest: Option<Timestamp>) {
    gauge!(LAG_RECORDS, "partition" => label(partition)).set(if oldest.is_some() {
        1.0
    } else {
        0.0
    });
    gauge!(LAG_SECONDS, "partition" => label(partition)).set(oldest.map_or(0.0, age));
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn epoch(partition: Partition, epoch: i64) {
    gauge!(EPOCH, "partition" => label(partition)).set(epoch as f64);
}

pub(crate) fn stopped(partition: Partition, stopped: bool) {
    gauge!(STOPPED, "partition" => label(partition)).set(if stopped { 1.0 } else { 0.0 });
}

pub(crate) fn fenced(partition: Partition) {
    counter!(FENCED, "partition" => label(partition)).increment(1);
}

pub(crate) fn stolen(partition: Partition) {
    counter!(STOLEN, "partition" => label(partition)).increment(1);
}

pub(crate) fn poison(partition: Partition) {
    counter!(POISON, "partition" => label(partition)).increment(1);
}

/// Of one transaction, also where it is rolled back.
pub(crate) fn round_trips(count: u64) {
    counter!(ROUND_TRIPS).increment(count);
}

pub(crate) fn conflict() {
    counter!(CONFLICTS).increment(1);
}

pub(crate) fn accounts_remembered(accounts: usize) {
    counter!(ACCOUNTS_REMEMBERED).increment(accounts as u64);
}

pub(crate) fn accounts_read(accounts: usize) {
    counter!(ACCOUNTS_READ).increment(accounts as u64);
}

pub(crate) fn memory_stale() {
    counter!(MEMORY_STALE).increment(1);
}

pub(crate) fn published(took: Duration) {
    histogram!(PUBLISH_SECONDS).record(took.as_secs_f64());
}

pub(crate) fn publish_failed(partition: Partition) {
    counter!(PUBLISH_FAILURES, "partition" => label(partition)).increment(1);
}

pub(crate) fn publish_foreign(partition: Partition) {
    counter!(PUBLISH_FOREIGN, "partition" => label(partition)).increment(1);
}

#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn held(partitions: usize) {
    gauge!(PARTITIONS_HELD).set(partitions as f64);
}

fn label(partition: Partition) -> String {
    partition.to_string()
}

fn age(at: Timestamp) -> f64 {
    now().seconds_since(at)
}

/// This machine's clock: for metrics and headers, never for a decision.
pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}
