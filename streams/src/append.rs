//! Command records onto the log.
//!
//! Invariant: `Ok` means that the server acknowledged the record, on disk where it syncs always. A record is
//! tried again only under the same `Nats-Msg-Id`, so that a lost acknowledgement does not double it. "Certainly not on
//! the log" is said of a first try only.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_nats::jetstream::ErrorCode;
use async_nats::jetstream::context::{PublishError, PublishErrorKind};
use async_nats::jetstream::message::PublishMessage;
use bytes::Bytes;
use schemas::Partition;
use tokio::time::Instant;

use crate::Log;
use crate::replies::ReplyTo;
use crate::streams::{COMMANDS, command_subject};

/// How long an append whose outcome is unknown is tried again; far below the duplicate window.
const RETRY_TIME_MAX: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_millis(50);

/// `JSStreamStoreFailedF`: the stream is full, among others.
const STORE_FAILED: ErrorCode = ErrorCode(10077);

pub(crate) const SCHEMA_HEADER: &str = "Sluice-Schema";
pub(crate) const COUNT_HEADER: &str = "Sluice-Count";
pub(crate) const REPLY_HEADER: &str = "Sluice-Reply";
pub(crate) const COMMAND_SCHEMA: &str = "cmd.v1";

/// A record to append: NDJSON, one command a line.
#[derive(Debug, Clone)]
pub struct CommandRecord {
    pub partition: Partition,
    /// From [`RecordIds`]; the same for every try.
    pub id: String,
    pub body: Bytes,
    /// Number of lines.
    pub count: u32,
    /// Where the outcomes may be sent, when somebody waits.
    pub reply_to: Option<ReplyTo>,
}

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// Certainly not on the log.
    #[error("the log cannot be reached; nothing was sent")]
    NotSent,
    /// Certainly not on the log.
    #[error("the log is full")]
    Full,
    /// Certainly not on the log.
    #[error("the log refused the record: {0}")]
    Refused(String),
    /// Certainly not on the log.
    #[error("an acknowledgement of the log would not mean that the record is on disk")]
    NotDurable,
    /// Perhaps on the log: retry under the same idempotency key only.
    #[error("the log did not acknowledge in time")]
    Unknown,
}

/// Ids of records: 128 random bits of this process and a counter. They absorb repeated appends of one
/// record and are not the idempotency mechanism.
#[derive(Debug)]
pub struct RecordIds {
    prefix: String,
    next: AtomicU64,
}

impl RecordIds {
    /// # Panics
    /// When the operating system has no random numbers.
    pub fn random() -> Self {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).expect("the operating system has random numbers");
        Self {
            prefix: format!("{:032x}", u128::from_be_bytes(bits)),
            next: AtomicU64::new(0),
        }
    }

    pub fn next(&self) -> String {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        format!("{}.{number}", self.prefix)
    }
}

impl Log {
    /// Appends a record and waits until the server acknowledged it; gives its sequence.
    ///
    /// # Errors
    /// As [`AppendError`] says; only `Unknown` leaves open whether the record is on the log.
    pub async fn append(&self, record: &CommandRecord) -> Result<u64, AppendError> {
        if !self.is_connected() {
            return Err(AppendError::NotSent);
        }
        let started = Instant::now();
        let mut first = true;
        loop {
            match self.append_once(record, first).await {
                Ok(sequence) => return Ok(sequence),
                Err(AppendError::Unknown) => first = false,
                Err(error) if first => return Err(error),
                // The first try may be on the log, whatever a later one meets: another leader, a full stream.
                Err(error) => tracing::debug!(record = record.id, %error, "a retried append"),
            }
            if started.elapsed() >= RETRY_TIME_MAX {
                return Err(AppendError::Unknown);
            }
            while !self.is_connected() && started.elapsed() < RETRY_TIME_MAX {
                tokio::time::sleep(RETRY_PAUSE).await;
            }
            tokio::time::sleep(RETRY_PAUSE).await;
        }
    }

    async fn append_once(&self, record: &CommandRecord, first: bool) -> Result<u64, AppendError> {
        if !self.is_durable() {
            return Err(AppendError::NotDurable);
        }
        let acknowledged = async {
            let sent = self
                .jetstream
                .send_publish(command_subject(record.partition), message(record))
                .await?;
            sent.await
        };
        match acknowledged.await {
            Ok(ack) if ack.duplicate && first => Err(AppendError::Refused(
                "another record has the same Nats-Msg-Id".to_owned(),
            )),
            // Over a connection that came meanwhile.
            Ok(_) if !self.is_durable() => Err(AppendError::Unknown),
            Ok(ack) => Ok(ack.sequence),
            Err(error) => Err(classify(&error)),
        }
    }
}

fn message(record: &CommandRecord) -> PublishMessage {
    let mut message = PublishMessage::build()
        .payload(record.body.clone())
        .message_id(&record.id)
        .expected_stream(COMMANDS)
        .header(SCHEMA_HEADER, COMMAND_SCHEMA)
        .header(COUNT_HEADER, record.count.to_string());
    if let Some(reply_to) = &record.reply_to {
        message = message.header(REPLY_HEADER, reply_to.subject());
    }
    message
}

fn classify(error: &PublishError) -> AppendError {
    match error.kind() {
        PublishErrorKind::TimedOut | PublishErrorKind::BrokenPipe => AppendError::Unknown,
        // No responders: the server has no such stream now, or JetStream is starting up.
        PublishErrorKind::StreamNotFound | PublishErrorKind::MaxAckPending => AppendError::NotSent,
        PublishErrorKind::MaxPayloadExceeded => AppendError::Refused(error.to_string()),
        _ => match server_error(error) {
            Some(cause) if is_full(cause) => AppendError::Full,
            Some(cause) => AppendError::Refused(cause.to_string()),
            None => AppendError::Unknown,
        },
    }
}

pub(crate) fn server_error(error: &PublishError) -> Option<&async_nats::jetstream::Error> {
    std::error::Error::source(error)?.downcast_ref()
}

pub(crate) fn is_full(error: &async_nats::jetstream::Error) -> bool {
    [
        STORE_FAILED,
        ErrorCode::STORAGE_RESOURCES_EXCEEDED,
        ErrorCode::INSUFFICIENT_RESOURCES,
    ]
    .contains(&error.error_code())
}
