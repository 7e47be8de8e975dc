//! The records of one partition, in order, for the one processor that holds it.
//!
//! Invariant: a record is handed out only if nothing was handed to anybody else before it: the consumer's own
//! sequence shows that, the stream's does not (all partitions share it). Acknowledgements are a courtesy to
//! lag tools; the position in Postgres is the truth. What of a record's headers is handed out can be repeated.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config;
use bytes::Bytes;
use schemas::{Partition, Timestamp};

use crate::append::{COMMAND_SCHEMA, REPLY_HEADER, SCHEMA_HEADER};
use crate::error::Source;
use crate::fetch::Raw;
use crate::pull::INACTIVE_MAX;
use crate::records::{Interrupted, Records, Taken};
use crate::streams::{COMMANDS, command_subject};
use crate::{Error, Log, ReplyTo, headers};

/// Redelivery is never waited for: a reader that lost its place is opened again.
const ACK_WAIT: Duration = Duration::from_mins(5);

/// Longest `Nats-Msg-Id` that a reply repeats.
const ID_BYTES_MAX: usize = 128;

/// One record of a partition.
#[derive(Debug, Clone)]
pub struct Record {
    pub sequence: u64,
    pub stored_at: Timestamp,
    pub body: Bytes,
    /// `None` when published without one; then it is read as `cmd.v1`.
    pub schema: Option<String>,
    /// The `Nats-Msg-Id`, where it is one that a reply can repeat.
    pub id: Option<String>,
    pub reply_to: Option<ReplyTo>,
    /// The header block; its names in alphabetical order, or, where it cannot be read, as it was published.
    pub headers: Bytes,
    /// Why the headers cannot be read; then nothing is taken from them.
    pub unreadable: Option<&'static str>,
    /// Records of this partition that the server still holds behind this one.
    pub pending: u64,
}

impl Record {
    /// Whether it has the headers that ingest gives its records.
    pub fn is_ours(&self) -> bool {
        self.schema.is_some() && self.id.is_some()
    }

    /// A record of which header block and body were kept, read as one from the log is.
    pub fn kept(sequence: u64, stored_at: Timestamp, block: Bytes, body: Bytes) -> Self {
        Self::from(Raw {
            sequence,
            subject: String::new(),
            stored_at,
            headers: headers::parse(&block),
            block,
            body,
        })
    }

    /// Whether the record says to be of a schema that is not known here.
    pub fn unknown_schema(&self) -> Option<&str> {
        self.schema
            .as_deref()
            .filter(|schema| *schema != COMMAND_SCHEMA)
    }
}

impl From<Raw> for Record {
    fn from(raw: Raw) -> Self {
        let id = raw.header("Nats-Msg-Id").filter(|id| {
            id.len() <= ID_BYTES_MAX && id.bytes().all(|byte| byte.is_ascii_graphic())
        });
        Self {
            sequence: raw.sequence,
            stored_at: raw.stored_at,
            schema: raw.header(SCHEMA_HEADER).map(str::to_owned),
            id: id.map(str::to_owned),
            reply_to: raw.header(REPLY_HEADER).and_then(ReplyTo::parse),
            unreadable: raw.headers.as_ref().err().copied(),
            headers: raw.block,
            pending: 0,
            body: raw.body,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Somebody else took a record from this consumer.
    #[error("records were taken from the consumer {0} by somebody else")]
    Stolen(String),
    /// The consumer is gone or does not answer.
    #[error("the consumer {consumer} is lost")]
    Lost {
        consumer: String,
        #[source]
        source: Source,
    },
}

/// Reads one partition from a position on.
pub struct Reader {
    log: Log,
    consumer: String,
    records: Records,
    acknowledge: Option<Subject>,
}

impl Log {
    /// Opens the records of `partition` after `sequence`. `name` tells this consumer from those before it.
    ///
    /// # Errors
    /// When the server does not answer or the stream is missing.
    pub async fn read(
        &self,
        partition: Partition,
        name: &str,
        sequence: u64,
    ) -> Result<Reader, Error> {
        let (subject, config) = (command_subject(partition), config(partition, name));
        let mut records = Records::new(self.clone(), COMMANDS, subject, sequence, config);
        records.open().await?;
        Ok(Reader {
            log: self.clone(),
            consumer: name.to_owned(),
            records,
            acknowledge: None,
        })
    }
}

impl Reader {
    /// Waits for the next record.
    ///
    /// # Errors
    /// When the reader lost its place: open another one after the applied position.
    pub async fn next(&mut self) -> Result<Record, ReadError> {
        let taken = self.records.next().await;
        let taken = taken.map_err(|interrupted| self.error(interrupted))?;
        Ok(self.record(taken))
    }

    /// The next record, if it is here already.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn try_next(&mut self) -> Result<Option<Record>, ReadError> {
        let taken = self.records.try_next();
        let taken = taken.map_err(|interrupted| self.error(interrupted))?;
        Ok(taken.map(|taken| self.record(taken)))
    }

    /// Tells the server that everything up to the last record taken is applied.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn acknowledge(&mut self) -> Result<(), Error> {
        let Some(subject) = self.acknowledge.take() else {
            return Ok(());
        };
        self.log
            .connection
            .client
            .publish(subject, Bytes::from_static(b"+ACK"))
            .await
            .map_err(|source| Error::unavailable("acknowledging records", source))
    }

    fn error(&self, interrupted: Interrupted) -> ReadError {
        let consumer = self.consumer.clone();
        match interrupted {
            Interrupted::Gap => ReadError::Stolen(consumer),
            Interrupted::Lost(source) => ReadError::Lost { consumer, source },
        }
    }

    fn record(&mut self, taken: Taken) -> Record {
        self.acknowledge = taken.acknowledge;
        Record {
            pending: taken.pending,
            ..Record::from(taken.record)
        }
    }
}

fn config(partition: Partition, name: &str) -> Config {
    Config {
        name: Some(name.to_owned()),
        description: Some(format!("processor of partition {partition}")),
        ack_policy: AckPolicy::All,
        ack_wait: ACK_WAIT,
        max_ack_pending: -1,
        inactive_threshold: INACTIVE_MAX,
        memory_storage: true,
        num_replicas: 1,
        metadata: HashMap::from([
            ("stage".to_owned(), "process".to_owned()),
            ("partition".to_owned(), partition.to_string()),
            ("io.nats.monitor.enabled".to_owned(), "1".to_owned()),
            (
                "io.nats.monitor.waiting-critical".to_owned(),
                "1".to_owned(),
            ),
            (
                "io.nats.monitor.unprocessed-critical".to_owned(),
                "100000".to_owned(),
            ),
        ]),
        ..Config::default()
    }
}
