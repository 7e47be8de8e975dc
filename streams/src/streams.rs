//! The streams: names, subjects and limits.
//!
//! Invariant: a stream holds what it accepted. Nothing expires, a full stream refuses what is new, and the
//! number of partitions is fixed when `COMMANDS` is created.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::jetstream::stream::{
    Compression, Config, DiscardPolicy, RetentionPolicy, StorageType, SubjectTransform,
};
use schemas::Partition;

use crate::Error;

pub const COMMANDS: &str = "COMMANDS";
pub const EVENTS: &str = "EVENTS";
pub const DLQ: &str = "DLQ";

/// Fewer partitions have fuller records, fewer syncs and fuller transactions; as many processors share the work.
pub const PARTITIONS_DEFAULT: u16 = 2;
pub const PARTITIONS_MAX: u16 = 256;

/// How long a second append of the same record is recognised.
const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

const PARTITIONS_KEY: &str = "sluice.partitions";
const GIB: i64 = 1 << 30;

/// How streams are created where they are missing. A limit that is given is set on an existing stream too.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Fixed when `COMMANDS` is created.
    pub partitions: u16,
    pub replicas: usize,
    pub commands_bytes_max: Option<i64>,
    pub events_bytes_max: Option<i64>,
    pub dlq_bytes_max: Option<i64>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            partitions: PARTITIONS_DEFAULT,
            replicas: 1,
            commands_bytes_max: None,
            events_bytes_max: None,
            dlq_bytes_max: None,
        }
    }
}

impl Settings {
    pub(crate) fn configs(&self) -> [(Config, Option<i64>); 3] {
        [
            (self.commands(), self.commands_bytes_max),
            (self.events(), self.events_bytes_max),
            (self.dlq(), self.dlq_bytes_max),
        ]
    }

    fn commands(&self) -> Config {
        let partitions = self.partitions;
        let mut subjects: Vec<String> = (0..partitions)
            .map(|partition| command_subject(Partition(partition)))
            .collect();
        subjects.push("sluice.submit.*".to_owned());
        let mut config = self.stream(
            COMMANDS,
            "command records, one subject a partition",
            10 * GIB,
        );
        config.subjects = subjects;
        config.subject_transform = Some(SubjectTransform {
            source: "sluice.submit.*".to_owned(),
            destination: format!("sluice.cmd.{{{{partition({partitions},1)}}}}"),
        });
        config
            .metadata
            .insert(PARTITIONS_KEY.to_owned(), partitions.to_string());
        config
    }

    fn events(&self) -> Config {
        let mut config = self.stream(
            EVENTS,
            "commits as event records, CloudEvents lines",
            20 * GIB,
        );
        config.subjects = vec!["sluice.evt.*".to_owned()];
        config
    }

    fn dlq(&self) -> Config {
        let mut config = self.stream(
            DLQ,
            "dead letters with their reason and origin in headers",
            GIB,
        );
        config.subjects = vec!["sluice.dlq.>".to_owned()];
        config
    }

    fn stream(&self, name: &str, description: &str, bytes_max: i64) -> Config {
        let stage = name.to_ascii_lowercase();
        Config {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            retention: RetentionPolicy::Limits,
            discard: DiscardPolicy::New,
            max_bytes: bytes_max,
            storage: StorageType::File,
            num_replicas: self.replicas,
            duplicate_window: DUPLICATE_WINDOW,
            deny_delete: true,
            allow_direct: true,
            compression: Some(Compression::S2),
            metadata: HashMap::from([
                ("stage".to_owned(), stage),
                ("io.nats.monitor.enabled".to_owned(), "1".to_owned()),
            ]),
            ..Config::default()
        }
    }
}

/// P, as `COMMANDS` was created with.
pub(crate) fn partitions_of(config: &Config) -> Result<u16, Error> {
    config
        .metadata
        .get(PARTITIONS_KEY)
        .and_then(|count| count.parse().ok())
        .filter(|count| (1..=PARTITIONS_MAX).contains(count))
        .ok_or_else(|| {
            Error::Misconfigured(format!(
                "the stream {COMMANDS} does not say how many partitions it has (metadata {PARTITIONS_KEY}): it was not created by sluice"
            ))
        })
}

pub(crate) fn command_subject(partition: Partition) -> String {
    format!("sluice.cmd.{partition}")
}

pub(crate) fn event_subject(partition: Partition) -> String {
    format!("sluice.evt.{partition}")
}

pub(crate) fn dead_letter_subject(stage: &str, partition: Partition) -> String {
    format!("sluice.dlq.{stage}.{partition}")
}

/// Of the version before, for all partitions.
pub(crate) fn dead_letter_subject_before(stage: &str) -> String {
    format!("sluice.dlq.{stage}")
}
