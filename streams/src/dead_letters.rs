//! Dead letters onto the log.
//!
//! Invariant: the row in Postgres is the dead letter, what stands on `DLQ` is its copy. Copies of a partition stand
//! there once each and in order: a publish names the record before it, as event records do.

use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use schemas::{LinePosition, Partition, Timestamp};

use crate::append::{is_full, server_error};
use crate::fetch::Wanted;
use crate::streams::{
    COMMANDS, DLQ, command_subject, dead_letter_subject, dead_letter_subject_before,
};
use crate::{Error, Log, PublishError, Scan, Scanned};

/// Room for headers below the server's limit.
const HEADER_BYTES_MAX: usize = 4096;
const DETAIL_BYTES_MAX: usize = 1024;
const ID_HEADER: &str = "Nats-Msg-Id";

/// A command that can never be decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetterRecord {
    pub at: LinePosition,
    /// The record as a whole, not one line of it.
    pub whole: bool,
    pub recorded_at: Timestamp,
    pub reason: String,
    pub detail: String,
    pub body: Bytes,
}

/// How far the dead letters of a partition are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Copied {
    /// Sequence of the last record on the partition's subject, whoever published it; 0 when there is none.
    pub sequence: u64,
    /// The last dead letter that is there, `None` when there is none.
    pub at: Option<LinePosition>,
}

impl Log {
    /// Copies a dead letter of `stage` to `DLQ` behind the record with sequence `after` (0: none); gives its sequence.
    /// One that is too long for the log is cut, and says where the rest is.
    ///
    /// # Errors
    /// As [`PublishError`] says.
    pub async fn publish_dead_letter(
        &self,
        stage: &str,
        letter: &DeadLetterRecord,
        after: u64,
    ) -> Result<u64, PublishError> {
        let subject = dead_letter_subject(stage, letter.at.partition);
        let message =
            message(stage, letter, self.payload_bytes_max()).expected_last_subject_sequence(after);
        let acknowledged = async { self.jetstream.send_publish(subject, message).await?.await };
        match acknowledged.await {
            Ok(ack) => Ok(ack.sequence),
            Err(error) if error.kind() == PublishErrorKind::WrongLastSequence => {
                Err(PublishError::WrongLast)
            }
            Err(error) if server_error(&error).is_some_and(is_full) => {
                let (stream, source) = (DLQ, error.into());
                Err(PublishError::Full { stream, source })
            }
            Err(error) => Err(PublishError::Unavailable(error.into())),
        }
    }

    /// How far the dead letters of a partition are copied. Copies of the version before, which stand on one subject
    /// for all partitions, count.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn dead_letters_copied(
        &self,
        stage: &str,
        partition: Partition,
    ) -> Result<Copied, Error> {
        let subject = dead_letter_subject(stage, partition);
        let last = self.fetch(DLQ, &Wanted::last_of(&subject)).await?;
        let sequence = last.as_ref().map_or(0, |last| last.sequence);
        let mut at = last.and_then(|last| place(stage, last.header(ID_HEADER)?, partition));
        if sequence > 0 && at.is_none() {
            // Somebody else's record stands last.
            at = self.last_of(stage, partition, subject, 0).await?;
        }
        let before = dead_letter_subject_before(stage);
        let before = self.last_of(stage, partition, before, sequence).await?;
        Ok(Copied {
            sequence,
            at: at.max(before),
        })
    }

    /// The copies of a partition's dead letters: those of the version before, among those of all partitions, and its
    /// own. [`Scanned::dead_letter`] says whose each is.
    ///
    /// # Errors
    /// When the server does not answer or the stream is missing.
    pub async fn scan_dead_letters(
        &self,
        stage: &str,
        partition: Partition,
    ) -> Result<(Scan, Scan), Error> {
        let before = self.scan(DLQ, dead_letter_subject_before(stage), 0).await?;
        let own = dead_letter_subject(stage, partition);
        Ok((before, self.scan(DLQ, own, 0).await?))
    }

    async fn last_of(
        &self,
        stage: &str,
        partition: Partition,
        subject: String,
        after: u64,
    ) -> Result<Option<LinePosition>, Error> {
        let mut last = None;
        let mut scan = self.scan(DLQ, subject, after).await?;
        while let Some(record) = scan.next().await? {
            last = last.max(
                record
                    .header(ID_HEADER)
                    .and_then(|id| place(stage, id, partition)),
            );
        }
        Ok(last)
    }
}

impl Scanned {
    /// The dead letter that this is a copy of, if it is one of this partition.
    pub fn dead_letter(&self, stage: &str, partition: Partition) -> Option<LinePosition> {
        place(stage, self.header(ID_HEADER)?, partition)
    }
}

/// The dead letter that a copy's id names, if it is of this partition.
fn place(stage: &str, id: &str, partition: Partition) -> Option<LinePosition> {
    let id = id.strip_prefix("dlq.")?.strip_prefix(stage)?;
    let at: LinePosition = id.strip_prefix('.')?.parse().ok()?;
    (at.partition == partition).then_some(at)
}

fn message(stage: &str, letter: &DeadLetterRecord, payload_bytes_max: usize) -> PublishMessage {
    let room = payload_bytes_max.saturating_sub(HEADER_BYTES_MAX);
    let body = letter.body.slice(..letter.body.len().min(room));
    let at = letter.at;
    let mut message = PublishMessage::build()
        .message_id(format!("dlq.{stage}.{at}"))
        .expected_stream(DLQ)
        .header("Sluice-Reason", one_line(&letter.reason))
        .header("Sluice-Detail", one_line(&letter.detail))
        .header("Sluice-Stage", stage)
        .header("Sluice-Origin-Stream", COMMANDS)
        .header("Sluice-Origin-Subject", command_subject(at.partition))
        .header("Sluice-Origin-Sequence", at.position.sequence().to_string())
        .header("Sluice-Origin-Time", letter.recorded_at.to_string());
    if !letter.whole {
        message = message.header("Sluice-Origin-Line", at.line.to_string());
    }
    if body.len() < letter.body.len() {
        message = message
            .header("Sluice-Truncated", letter.body.len().to_string())
            .header("Sluice-Dead-Letter", at.to_string());
    }
    message.payload(body)
}

/// Header values hold no line breaks.
fn one_line(text: &str) -> String {
    let mut line = String::new();
    for character in text.chars() {
        if line.len() + character.len_utf8() > DETAIL_BYTES_MAX {
            break;
        }
        line.push(if character.is_control() {
            ' '
        } else {
            character
        });
    }
    line
}
