//! What ingest measures.
//!
//! Invariant: the hot path records once a record, not once a transfer.

use axum::http::StatusCode;
use metrics::{Counter, Gauge, Histogram, Unit};

use crate::Limits;

pub const ACCEPTED: &str = "sluice_ingest_accepted_commands_total";
pub const RECORDS: &str = "sluice_ingest_records_total";
pub const RECORD_COMMANDS: &str = "sluice_ingest_record_commands";
pub const APPEND_SECONDS: &str = "sluice_ingest_append_seconds";
pub const APPEND_FAILURES: &str = "sluice_ingest_append_failures_total";
pub const REPLAYS: &str = "sluice_ingest_replays_total";
pub const PROBLEMS: &str = "sluice_ingest_problems_total";
pub const QUEUED: &str = "sluice_ingest_queued_commands";
pub const CONNECTIONS: &str = "sluice_ingest_connections";
pub const STREAM_BYTES: &str = "sluice_ingest_stream_bytes";
pub const STREAM_BYTES_MAX: &str = "sluice_ingest_stream_max_bytes";
pub const REQUESTS: &str = "sluice_ingest_requests_total";
pub const RECORDS_IN_FLIGHT_MAX: &str = "sluice_ingest_records_in_flight_max";
pub const RECORD_INTERVAL_MAX: &str = "sluice_ingest_record_interval_max_seconds";

/// Histograms and their upper bounds.
pub const BUCKETS: &[(&str, &[f64])] = &[
    (APPEND_SECONDS, APPEND_SECONDS_BUCKETS),
    (RECORD_COMMANDS, RECORD_COMMANDS_BUCKETS),
];
const APPEND_SECONDS_BUCKETS: &[f64] = &[
    0.000_25, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 5.0,
];
const RECORD_COMMANDS_BUCKETS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0,
];

/// Tells the recorder what each metric means; once, at the start.
pub fn describe() {
    let counters = [
        (ACCEPTED, "commands that the log acknowledged"),
        (RECORDS, "records that the log acknowledged"),
        (APPEND_FAILURES, "records that it did not, by reason"),
        (REPLAYS, "repeats that were recognised without the log"),
        (PROBLEMS, "requests answered with a problem, by code"),
        (REQUESTS, "requests by class of status"),
    ];
    for (name, meaning) in counters {
        metrics::describe_counter!(name, Unit::Count, meaning);
    }
    metrics::describe_histogram!(RECORD_COMMANDS, Unit::Count, "commands in a record");
    metrics::describe_histogram!(
        APPEND_SECONDS,
        Unit::Seconds,
        "from sending a record to its acknowledgement"
    );
    metrics::describe_gauge!(
        QUEUED,
        Unit::Count,
        "commands that wait for their record, by partition"
    );
    metrics::describe_gauge!(STREAM_BYTES, Unit::Bytes, "size of a stream");
    metrics::describe_gauge!(STREAM_BYTES_MAX, Unit::Bytes, "size at which it is full");
    metrics::describe_gauge!(CONNECTIONS, Unit::Count, "open HTTP connections");
    metrics::describe_gauge!(
        RECORDS_IN_FLIGHT_MAX,
        Unit::Count,
        "most records on their way to the log at a time"
    );
    metrics::describe_gauge!(
        RECORD_INTERVAL_MAX,
        Unit::Seconds,
        "longest time between the starts of two records of a partition"
    );
}

/// What ingest was told to keep to.
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
pub(crate) fn limits(limits: &Limits) {
    metrics::gauge!(RECORDS_IN_FLIGHT_MAX).set(limits.records_in_flight_max as f64);
    metrics::gauge!(RECORD_INTERVAL_MAX).set(limits.record_interval_max.as_secs_f64());
}

/// Handles of the metrics of every request.
#[derive(Debug)]
pub(crate) struct Requests {
    by_class: [Counter; 4],
    pub(crate) replays: Counter,
    pub(crate) connections: Gauge,
}

impl Requests {
    pub(crate) fn register() -> Self {
        Self {
            by_class: ["2xx", "3xx", "4xx", "5xx"]
                .map(|class| metrics::counter!(REQUESTS, "status" => class)),
            replays: metrics::counter!(REPLAYS),
            connections: metrics::gauge!(CONNECTIONS),
        }
    }

    pub(crate) fn answered(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(2).min(3);
        self.by_class[class].increment(1);
    }
}

/// Handles of the metrics of one partition's records.
#[derive(Debug)]
pub(crate) struct Records {
    accepted: Counter,
    appended: Counter,
    commands: Histogram,
    append_seconds: Histogram,
    queued: Gauge,
}

impl Records {
    pub(crate) fn register(partition: schemas::Partition) -> Self {
        Self {
            accepted: metrics::counter!(ACCEPTED),
            appended: metrics::counter!(RECORDS),
            commands: metrics::histogram!(RECORD_COMMANDS),
            append_seconds: metrics::histogram!(APPEND_SECONDS),
            queued: metrics::gauge!(QUEUED, "partition" => partition.to_string()),
        }
    }

    pub(crate) fn acknowledged(&self, commands: u32, after: std::time::Duration) {
        self.accepted.increment(u64::from(commands));
        self.appended.increment(1);
        self.commands.record(f64::from(commands));
        self.append_seconds.record(after);
    }

    pub(crate) fn queued(&self, commands: usize) {
        self.queued
            .set(f64::from(u32::try_from(commands).unwrap_or(u32::MAX)));
    }
}

pub(crate) fn append_failed(reason: &'static str) {
    metrics::counter!(APPEND_FAILURES, "reason" => reason).increment(1);
}

pub(crate) fn problem(code: &str) {
    metrics::counter!(PROBLEMS, "code" => code.to_owned()).increment(1);
}
