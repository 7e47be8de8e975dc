//! Dead letters onto the log.
//!
//! Invariant: the row in Postgres is the dead letter; what stands on `DLQ` is its copy, possibly twice, and
//! `Nats-Msg-Id` recognises the second.

use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use schemas::{LinePosition, Timestamp};

use crate::streams::{COMMANDS, DLQ, command_subject, dead_letter_subject};
use crate::{Error, Log};

/// Room for headers below the server's limit.
const HEADER_BYTES_MAX: usize = 4096;
const DETAIL_BYTES_MAX: usize = 1024;

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

impl Log {
    /// Copies a dead letter of `stage` to `DLQ`. One that is too long for the log is cut, and says where the rest is.
    ///
    /// # Errors
    /// When the server does not acknowledge.
    pub async fn publish_dead_letter(
        &self,
        stage: &str,
        letter: &DeadLetterRecord,
    ) -> Result<(), Error> {
        let room = self.payload_bytes_max().saturating_sub(HEADER_BYTES_MAX);
        let body = letter.body.slice(..letter.body.len().min(room));
        let mut message = PublishMessage::build()
            .message_id(format!("dlq.{stage}.{}", letter.at))
            .expected_stream(DLQ)
            .header("Sluice-Reason", letter.reason.as_str())
            .header("Sluice-Detail", one_line(&letter.detail))
            .header("Sluice-Stage", stage)
            .header("Sluice-Origin-Stream", COMMANDS)
            .header(
                "Sluice-Origin-Subject",
                command_subject(letter.at.partition),
            )
            .header(
                "Sluice-Origin-Sequence",
                letter.at.position.sequence().to_string(),
            )
            .header("Sluice-Origin-Time", letter.recorded_at.to_string());
        if !letter.whole {
            message = message.header("Sluice-Origin-Line", letter.at.line.to_string());
        }
        if body.len() < letter.body.len() {
            message = message
                .header("Sluice-Truncated", letter.body.len().to_string())
                .header("Sluice-Dead-Letter", letter.at.to_string());
        }
        let doing = || format!("publishing the dead letter {}", letter.at);
        self.jetstream
            .send_publish(dead_letter_subject(stage), message.payload(body))
            .await
            .map_err(|source| Error::unavailable(doing(), source))?
            .await
            .map(drop)
            .map_err(|source| Error::unavailable(doing(), source))
    }
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
