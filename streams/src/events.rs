//! Commits onto the log, as event records.
//!
//! Invariant: each commit stands on `EVENTS` once: a publish names the record before it, so a second copy and a
//! copy out of order are refused by the server, however late they come.

use std::fmt::Write as _;

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use schemas::{Partition, Position, Timestamp};

use crate::append::{COUNT_HEADER, SCHEMA_HEADER, is_full, server_error};
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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Published {
    pub sequence: u64,
    pub position: Position,
    pub hash: [u8; 32],
}

#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// Another record stands last: read it, to see whether it is this one or a newer one.
    #[error("the last record is not the expected one")]
    WrongLast,
    #[error("the stream {0} is full")]
    Full(&'static str),
    /// Perhaps published.
    #[error("publishing a record")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
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
                Err(PublishError::Full(EVENTS))
            }
            Err(error) => Err(PublishError::Unavailable(error.into())),
        }
    }

    /// The last event record of a partition, from the stream's leader; `None` when there is none.
    ///
    /// # Errors
    /// When the server does not answer or the record is not one of ours.
    pub async fn last_published(&self, partition: Partition) -> Result<Option<Published>, Error> {
        let subject = event_subject(partition);
        let Some(last) = self.fetch(EVENTS, &Wanted::last_of(&subject)).await? else {
            return Ok(None);
        };
        let position = last.header(POSITION_HEADER).and_then(position);
        match (position, last.header(HASH_HEADER).and_then(unhex)) {
            (Some(position), Some(hash)) => Ok(Some(Published {
                sequence: last.sequence,
                position,
                hash,
            })),
            _ => Err(Error::Misconfigured(format!(
                "record {} of {EVENTS} was not published by a processor: it has no {HASH_HEADER}",
                last.sequence
            ))),
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
