//! Commits onto the log, as event records.
//!
//! Invariant: each commit stands on `EVENTS` once: a publish names the record before it, so a second copy and a
//! copy out of order are refused by the server, however late they come.

use std::fmt::Write as _;
use std::ops::Range;

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use schemas::{Partition, Position, Timestamp};

use crate::append::{COUNT_HEADER, SCHEMA_HEADER, is_full, server_error};
use crate::error::Source;
use crate::fetch::Wanted;
use crate::streams::{EVENTS, event_subject};
use crate::{Error, Log};

const EVENT_SCHEMA: &str = "evt.v1";
const HASH_HEADER: &str = "Sluice-Hash";
const PREVIOUS_HASH_HEADER: &str = "Sluice-Previous-Hash";
const POSITION_HEADER: &str = "Sluice-Position";
const FIRST_POSITION_HEADER: &str = "Sluice-First-Position";
const COMMITTED_AT_HEADER: &str = "Sluice-Committed-At";
const ENCODER_HEADER: &str = "Sluice-Encoder";

/// How many sequences are looked through first for the last commit; then twice as many, and so on.
const BACKWARDS_FIRST: u64 = 64;

/// One commit as the world hears of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRecord {
    pub partition: Partition,
    pub first_position: Position,
    /// The commit's last position.
    pub position: Position,
    /// Number of event lines.
    pub count: u32,
    pub encoder: i16,
    pub previous_hash: [u8; 32],
    /// BLAKE3 over the previous hash and the body.
    pub hash: [u8; 32],
    /// When the worker's COMMIT returned, by its own clock; not known of a record that is made again.
    pub committed_at: Option<Timestamp>,
    pub body: Bytes,
}

/// What stands last on a partition's event subject.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Published {
    /// Sequence of the last record, whoever published it; 0 when there is none.
    pub sequence: u64,
    /// The last commit that is there.
    pub commit: Option<PublishedCommit>,
}

/// A commit on `EVENTS`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PublishedCommit {
    pub sequence: u64,
    pub position: Position,
    pub hash: [u8; 32],
}

impl Published {
    /// Up to which position commits are there.
    pub fn position(&self) -> Option<Position> {
        self.commit.map(|commit| commit.position)
    }

    /// Sequence of a record behind the last commit that no processor published.
    pub fn foreign(&self) -> Option<u64> {
        let own = self.commit.map_or(0, |commit| commit.sequence);
        (self.sequence > own).then_some(self.sequence)
    }
}

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Another record stands last: read it, to see whether it is this one or a newer one.
    #[error("the last record is not the expected one")]
    WrongLast,
    #[error("the stream {stream} is full")]
    Full {
        stream: &'static str,
        #[source]
        source: Source,
    },
    /// Perhaps published.
    #[error("publishing a record")]
    Unavailable(#[source] Source),
}

impl Log {
    /// Publishes a commit behind the record with sequence `after` (0: none); gives its sequence.
    ///
    /// # Errors
    /// As [`PublishError`] says.
    pub async fn publish(&self, record: &EventRecord, after: u64) -> Result<u64, PublishError> {
        let hash = hex(&record.hash);
        let mut message = PublishMessage::build()
            .payload(record.body.clone())
            .expected_stream(EVENTS)
            .expected_last_subject_sequence(after)
            .header(SCHEMA_HEADER, EVENT_SCHEMA)
            .header(COUNT_HEADER, record.count.to_string())
            .header(ENCODER_HEADER, record.encoder.to_string())
            .header(FIRST_POSITION_HEADER, record.first_position.to_string())
            .header(POSITION_HEADER, record.position.to_string())
            .header(PREVIOUS_HASH_HEADER, hex(&record.previous_hash))
            .header(HASH_HEADER, hash);
        if let Some(at) = record.committed_at {
            message = message.header(COMMITTED_AT_HEADER, at.to_string());
        }
        let acknowledged = async {
            self.jetstream
                .send_publish(event_subject(record.partition), message)
                .await?
                .await
        };
        match acknowledged.await {
            Ok(ack) => Ok(ack.sequence),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                Err(PublishError::WrongLast)
            }
            Err(error) if server_error(&error).is_some_and(is_full) => {
                let (stream, source) = (EVENTS, error.into());
                Err(PublishError::Full { stream, source })
            }
            Err(error) => Err(PublishError::Unavailable(error.into())),
        }
    }

    /// What stands last for a partition, from the stream's leader: records that no processor published are passed over,
    /// backwards.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn last_published(&self, partition: Partition) -> Result<Published, Error> {
        let subject = event_subject(partition);
        let Some(last) = self.fetch(EVENTS, &Wanted::last_of(&subject)).await? else {
            return Ok(Published::default());
        };
        let headers = last.headers.as_ref().ok();
        let mut commit = headers
            .and_then(|headers| event_record(partition, headers, &last.body))
            .map(|record| record.at(last.sequence));
        let (mut behind, mut window) = (last.sequence, BACKWARDS_FIRST);
        while commit.is_none() && behind > 1 {
            let from = behind.saturating_sub(window).max(1);
            commit = self.last_commit(partition, from..behind).await?;
            (behind, window) = (from, window.saturating_mul(2));
        }
        Ok(Published {
            sequence: last.sequence,
            commit,
        })
    }

    /// The last commit of a partition among these sequences.
    async fn last_commit(
        &self,
        partition: Partition,
        sequences: Range<u64>,
    ) -> Result<Option<PublishedCommit>, Error> {
        let mut last = None;
        let mut scan = self.scan_events(partition, sequences.start - 1).await?;
        while let Some(record) = scan.next().await? {
            if record.sequence >= sequences.end {
                break;
            }
            let commit = record.event_record(partition);
            last = commit.map(|commit| commit.at(record.sequence)).or(last);
        }
        Ok(last)
    }
}

impl EventRecord {
    fn at(&self, sequence: u64) -> PublishedCommit {
        PublishedCommit {
            sequence,
            position: self.position,
            hash: self.hash,
        }
    }
}

/// The commit that headers and body are of.
pub(crate) fn event_record(
    partition: Partition,
    headers: &async_nats::HeaderMap,
    body: &Bytes,
) -> Option<EventRecord> {
    let header = |name: &str| headers.get(name).map(async_nats::HeaderValue::as_str);
    Some(EventRecord {
        partition,
        first_position: Position::from_number(header(FIRST_POSITION_HEADER)?.parse().ok()?),
        position: position_of(headers)?,
        count: header(COUNT_HEADER)?.parse().ok()?,
        encoder: header(ENCODER_HEADER)?.parse().ok()?,
        previous_hash: unhex(header(PREVIOUS_HASH_HEADER)?)?,
        hash: hash_of(headers)?,
        committed_at: committed_at(headers),
        body: body.clone(),
    })
}

pub(crate) fn hash_of(headers: &async_nats::HeaderMap) -> Option<[u8; 32]> {
    headers
        .get(HASH_HEADER)
        .and_then(|value| unhex(value.as_str()))
}

pub(crate) fn position_of(headers: &async_nats::HeaderMap) -> Option<Position> {
    let text = headers.get(POSITION_HEADER)?.as_str();
    position(text)
}

fn position(text: &str) -> Option<Position> {
    let number = text.parse().ok().filter(|number| *number >= 0);
    number.map(Position::from_number)
}

pub(crate) fn committed_at(headers: &async_nats::HeaderMap) -> Option<Timestamp> {
    let text = headers.get(COMMITTED_AT_HEADER)?.as_str();
    Timestamp::parse(text, "").ok()
}

fn hex(bytes: &[u8; 32]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(64), |mut text, byte| {
            write!(text, "{byte:02x}").expect("a string takes all text");
            text
        })
}

fn unhex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).ok()?;
    }
    Some(bytes)
}
