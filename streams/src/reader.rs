//! The records of one partition, in order, for the one processor that holds it.
//!
//! Invariant: a record is handed out only if nothing was handed to anybody else before it: the consumer's own
//! sequence shows that, the stream's does not (all partitions share it). Acknowledgements are a courtesy to
//! lag tools; the position in Postgres is the truth.

use std::collections::HashMap;
use std::time::Duration;

use async_nats::Client;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use bytes::Bytes;
use futures::FutureExt;
use schemas::{Partition, Timestamp};

use crate::append::{COMMAND_SCHEMA, REPLY_HEADER, SCHEMA_HEADER};
use crate::error::Source;
use crate::headers::block;
use crate::identity::timestamp;
use crate::log::get_stream_no_info;
use crate::pull::{INACTIVE_MAX, Pull};
use crate::streams::{COMMANDS, command_subject};
use crate::{Error, Log, ReplyTo};

/// Redelivery is never waited for: a reader that lost its place is opened again.
const ACK_WAIT: Duration = Duration::from_mins(5);

/// One record of a partition.
#[derive(Debug, Clone)]
pub struct Record {
    pub sequence: u64,
    pub stored_at: Timestamp,
    pub body: Bytes,
    /// `None` when published without one; then it is read as `cmd.v1`.
    pub schema: Option<String>,
    /// The `Nats-Msg-Id`.
    pub id: Option<String>,
    pub reply_to: Option<ReplyTo>,
    /// The header block; its names in alphabetical order.
    pub headers: Bytes,
    /// Records of this partition that the server still holds behind this one.
    pub pending: u64,
}

impl Record {
    /// Whether it has the headers that ingest gives its records.
    pub fn is_ours(&self) -> bool {
        self.schema.is_some() && self.id.is_some()
    }

    /// Whether the record says to be of a schema that is not known here.
    pub fn unknown_schema(&self) -> Option<&str> {
        self.schema
            .as_deref()
            .filter(|schema| *schema != COMMAND_SCHEMA)
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
    client: Client,
    consumer: String,
    messages: Pull,
    /// The next record's sequence in this consumer.
    next: u64,
    acknowledge: Option<async_nats::Subject>,
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
        let doing = || format!("creating the consumer {name}");
        let stream = get_stream_no_info(&self.jetstream, COMMANDS).await?;
        let consumer = stream
            .create_consumer(config(partition, name, sequence))
            .await
            .map_err(|source| Error::unavailable(doing(), source))?;
        let messages = Pull::new(self, consumer)
            .await
            .map_err(|source| Error::unavailable(doing(), source))?;
        Ok(Reader {
            client: self.client.clone(),
            consumer: name.to_owned(),
            messages,
            next: 1,
            acknowledge: None,
        })
    }

    /// Deletes a consumer that is no longer read.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn forget(&self, reader: Reader) -> Result<(), Error> {
        let name = reader.consumer.clone();
        drop(reader);
        let stream = get_stream_no_info(&self.jetstream, COMMANDS).await?;
        stream
            .delete_consumer(&name)
            .await
            .map(drop)
            .map_err(|source| Error::unavailable(format!("deleting the consumer {name}"), source))
    }
}

impl Reader {
    /// Waits for the next record.
    ///
    /// # Errors
    /// When the reader lost its place: open another one after the applied position.
    pub async fn next(&mut self) -> Result<Record, ReadError> {
        let message = self.messages.next().await;
        self.take(message)
    }

    /// The next record, if it is here already.
    ///
    /// # Errors
    /// As [`Reader::next`].
    pub fn try_next(&mut self) -> Result<Option<Record>, ReadError> {
        match self.messages.next().now_or_never() {
            None => Ok(None),
            Some(message) => self.take(message).map(Some),
        }
    }

    /// Tells the server that everything up to the last record taken is applied.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn acknowledge(&mut self) -> Result<(), Error> {
        let Some(subject) = self.acknowledge.take() else {
            return Ok(());
        };
        self.client
            .publish(subject, Bytes::from_static(b"+ACK"))
            .await
            .map_err(|source| Error::unavailable("acknowledging records", source))
    }

    fn take(&mut self, message: Result<Message, Source>) -> Result<Record, ReadError> {
        let lost = |source: Source| ReadError::Lost {
            consumer: self.consumer.clone(),
            source,
        };
        let message = message.map_err(lost)?;
        let info = message.info().map_err(lost)?;
        if info.consumer_sequence != self.next || info.delivered != 1 {
            return Err(ReadError::Stolen(self.consumer.clone()));
        }
        let stored_at = timestamp(info.published).map_err(|source| lost(source.into()))?;
        let (sequence, pending) = (info.stream_sequence, info.pending);
        let header = |name: &str| Some(message.headers.as_ref()?.get(name)?.as_str().to_owned());
        let record = Record {
            sequence,
            stored_at,
            schema: header(SCHEMA_HEADER),
            id: header("Nats-Msg-Id"),
            reply_to: header(REPLY_HEADER).and_then(|subject| ReplyTo::parse(&subject)),
            headers: message.headers.as_ref().map(block).unwrap_or_default(),
            pending,
            body: message.message.payload,
        };
        self.next += 1;
        self.acknowledge = message.message.reply;
        Ok(record)
    }
}

fn config(partition: Partition, name: &str, sequence: u64) -> Config {
    Config {
        name: Some(name.to_owned()),
        description: Some(format!("processor of partition {partition}")),
        deliver_policy: DeliverPolicy::ByStartSequence {
            start_sequence: sequence + 1,
        },
        ack_policy: AckPolicy::All,
        ack_wait: ACK_WAIT,
        max_ack_pending: -1,
        filter_subject: command_subject(partition),
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
