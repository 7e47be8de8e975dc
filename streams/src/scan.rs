//! A stream from end to end, for checks.
//!
//! Invariant: a scan ends at the last record that stood there when it began.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::pull::Config;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use async_nats::jetstream::stream::LastRawMessageErrorKind;
use bytes::Bytes;
use schemas::{Partition, Position, Timestamp};

use crate::error::Source;
use crate::events::{EventRecord, committed_at, event_record, hash_of, position_of};
use crate::identity::timestamp;
use crate::log::get_stream;
use crate::pull::{INACTIVE_MAX, Pull};
use crate::streams::{COMMANDS, EVENTS, command_subject, event_subject};
use crate::{Error, Log};

/// How often in a row a scan begins again where it was, without getting a record.
const REOPENED_MAX: u32 = 5;
const REOPEN_AFTER: Duration = Duration::from_secs(1);

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

    /// When the processor's COMMIT of an event record returned; `None` for one that was made again later.
    pub fn committed_at(&self) -> Option<Timestamp> {
        committed_at(&self.headers)
    }

    /// The commit that an event record says it is; `None` where its headers are not those of one.
    pub fn event_record(&self, partition: Partition) -> Option<EventRecord> {
        event_record(partition, &self.headers, &self.body)
    }

    /// The last position in the headers of an event record.
    pub fn position(&self) -> Option<Position> {
        position_of(&self.headers)
    }
}

/// The records of one subject, in order. A lost connection is taken up again at the same place.
pub struct Scan {
    log: Log,
    stream: &'static str,
    subject: String,
    /// Sequence in the stream of the last record handed out.
    after: u64,
    last: u64,
    messages: Option<Pull>,
    /// The next record's sequence in the consumer.
    expected: u64,
    reopened: u32,
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

    /// Event records of a partition behind a position: a scan without an end, which waits there.
    ///
    /// # Errors
    /// When the server does not answer or the stream is missing.
    pub async fn follow_events(
        &self,
        partition: Partition,
        position: Position,
    ) -> Result<Scan, Error> {
        let subject = event_subject(partition);
        let scan = self.scan(EVENTS, subject, 0).await?;
        Ok(Scan {
            after: self.events_up_to(partition, position, scan.last).await?,
            last: u64::MAX,
            ..scan
        })
    }

    /// Sequence of the last event record that is not behind `position`, by bisection up to the sequence `last`: the
    /// positions of a partition's records rise.
    async fn events_up_to(
        &self,
        partition: Partition,
        position: Position,
        last: u64,
    ) -> Result<u64, Error> {
        let (mut low, mut high) = (0, last);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.next_event(partition, middle).await? {
                Some((sequence, Some(found))) if sequence <= high && found <= position => {
                    low = sequence;
                }
                _ => high = middle,
            }
        }
        Ok(low)
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
        Ok(Scan {
            log: self.clone(),
            stream: name,
            subject,
            after: sequence,
            last,
            messages: None,
            expected: 1,
            reopened: 0,
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
    /// When the server does not answer for some seconds.
    pub async fn next(&mut self) -> Result<Option<Scanned>, Error> {
        while self.after < self.last {
            let taken = match self.receive().await {
                Ok(message) => self.take(message),
                Err(error) => Err(error),
            };
            match taken {
                Ok(scanned) => {
                    self.after = scanned.sequence;
                    self.reopened = 0;
                    return Ok(Some(scanned));
                }
                Err(error) if self.reopened >= REOPENED_MAX => return Err(error),
                Err(error) => {
                    self.reopened += 1;
                    self.messages = None;
                    tracing::debug!(%error, after = self.after, "reading on with another consumer");
                    tokio::time::sleep(REOPEN_AFTER).await;
                }
            }
        }
        self.messages = None;
        Ok(None)
    }

    async fn receive(&mut self) -> Result<Message, Error> {
        if self.messages.is_none() {
            // Opening is rare and large.
            self.messages = Some(Box::pin(self.open()).await?);
            self.expected = 1;
        }
        let messages = self.messages.as_mut().expect("it was opened");
        let received = messages.next().await;
        received.map_err(|source| self.unavailable(source))
    }

    /// Nothing between two records may be missing: the consumer's own sequence shows that.
    fn take(&mut self, message: Message) -> Result<Scanned, Error> {
        let info = message.info().map_err(|source| self.unavailable(source))?;
        if info.consumer_sequence != self.expected {
            return Err(self.unavailable("records were lost on the way"));
        }
        let (sequence, stored_at) = (info.stream_sequence, timestamp(info.published)?);
        self.expected += 1;
        Ok(Scanned {
            sequence,
            stored_at,
            headers: message.message.headers.unwrap_or_default(),
            body: message.message.payload,
        })
    }

    async fn open(&self) -> Result<Pull, Error> {
        let config = Config {
            description: Some("check of the log".to_owned()),
            filter_subject: self.subject.clone(),
            deliver_policy: DeliverPolicy::ByStartSequence {
                start_sequence: self.after + 1,
            },
            ack_policy: AckPolicy::None,
            inactive_threshold: INACTIVE_MAX,
            memory_storage: true,
            num_replicas: 1,
            ..Config::default()
        };
        let stream = get_stream(&self.log.jetstream, self.stream).await?;
        let consumer = stream
            .create_consumer(config)
            .await
            .map_err(|source| self.unavailable(source))?;
        Pull::new(&self.log, consumer)
            .await
            .map_err(|source| self.unavailable(source))
    }

    fn unavailable(&self, source: impl Into<Source>) -> Error {
        Error::unavailable(
            format!("reading {} of {}", self.subject, self.stream),
            source,
        )
    }
}
