//! A stream from end to end, for checks.
//!
//! Invariant: a scan ends at the last record that stood there when it began.

use async_nats::HeaderMap;
use async_nats::jetstream::consumer::DeliverPolicy;
use async_nats::jetstream::consumer::pull::{Ordered, OrderedConfig};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use futures::StreamExt;
use schemas::{Partition, Position, Timestamp};

use crate::events::{hash_of, position_of};
use crate::identity::timestamp;
use crate::log::get_stream;
use crate::streams::{COMMANDS, EVENTS, command_subject, event_subject};
use crate::{Error, Log};

/// One record as it stands on a stream.
#[derive(Debug, Clone)]
pub struct Scanned {
    pub sequence: u64,
    pub stored_at: Timestamp,
    pub body: Bytes,
    headers: HeaderMap,
}

impl Scanned {
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(async_nats::HeaderValue::as_str)
    }

    /// The hash in the headers of an event record.
    pub fn hash(&self) -> Option<[u8; 32]> {
        hash_of(&self.headers)
    }

    /// The last position in the headers of an event record.
    pub fn position(&self) -> Option<Position> {
        position_of(&self.headers)
    }
}

/// The records of one subject, in order.
pub struct Scan {
    messages: Option<Ordered>,
    last: u64,
    stream: &'static str,
}

impl Log {
    /// Command records of a partition after `sequence`.
    ///
    /// # Errors
    /// When the server does not answer or the stream is missing.
    pub async fn scan_commands(&self, partition: Partition, sequence: u64) -> Result<Scan, Error> {
        self.scan(COMMANDS, command_subject(partition), sequence)
            .await
    }

    /// Event records of a partition after `sequence`.
    ///
    /// # Errors
    /// When the server does not answer or the stream is missing.
    pub async fn scan_events(&self, partition: Partition, sequence: u64) -> Result<Scan, Error> {
        self.scan(EVENTS, event_subject(partition), sequence).await
    }

    async fn scan(
        &self,
        name: &'static str,
        subject: String,
        sequence: u64,
    ) -> Result<Scan, Error> {
        let doing = || format!("reading {subject} of {name}");
        let stream = get_stream(&self.jetstream, name).await?;
        let last = match stream.get_last_raw_message_by_subject(&subject).await {
            Ok(last) => last.sequence,
            Err(error) if error.kind() == LastRawMessageErrorKind::NoMessageFound => 0,
            Err(source) => return Err(Error::unavailable(doing(), source)),
        };
        if last <= sequence {
            return Ok(Scan {
                messages: None,
                last,
                stream: name,
            });
        }
        let consumer = stream
            .create_consumer(OrderedConfig {
                description: Some("check of the log".to_owned()),
                filter_subject: subject.clone(),
                deliver_policy: DeliverPolicy::ByStartSequence {
                    start_sequence: sequence + 1,
                },
                ..OrderedConfig::default()
            })
            .await
            .map_err(|source| Error::unavailable(doing(), source))?;
        let messages = consumer
            .messages()
            .await
            .map_err(|source| Error::unavailable(doing(), source))?;
        Ok(Scan {
            messages: Some(messages),
            last,
            stream: name,
        })
    }
}

impl Scan {
    /// Sequence at which the scan ends; 0 for an empty subject.
    pub fn last_sequence(&self) -> u64 {
        self.last
    }

    /// The next record; `None` behind the last one.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn next(&mut self) -> Result<Option<Scanned>, Error> {
        let Some(messages) = &mut self.messages else {
            return Ok(None);
        };
        let failed = |source: Box<dyn std::error::Error + Send + Sync>| {
            Error::unavailable(format!("reading {}", self.stream), source)
        };
        let message = messages
            .next()
            .await
            .ok_or_else(|| failed("the consumer ended".into()))?
            .map_err(|source| failed(source.into()))?;
        let info = message.info().map_err(failed)?;
        let (sequence, stored_at) = (info.stream_sequence, timestamp(info.published)?);
        if sequence >= self.last {
            self.messages = None;
        }
        Ok(Some(Scanned {
            sequence,
            stored_at,
            headers: message.message.headers.unwrap_or_default(),
            body: message.message.payload,
        }))
    }
}
