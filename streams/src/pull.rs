//! Records from a pull consumer, a bounded amount at a time.
//!
//! Invariant: one request is open at a time, so that what waits in this process is never more than one request asks
//! for. (The client library's own stream takes the status that ends a request by its bytes for more than it is, asks
//! again each time, and reads a whole backlog into memory.)

use std::time::Duration;

use async_nats::jetstream::consumer::Consumer;
use async_nats::jetstream::consumer::pull::{BatchConfig, Config};
use async_nats::jetstream::{Context, Message};
use async_nats::{StatusCode, Subscriber};
use futures::StreamExt;
use tokio::time::{Instant, timeout_at};

use crate::Log;
use crate::error::Source;

/// Most records that wait in this process, read but not taken.
const RECORDS_BUFFERED_MAX: usize = 1000;
/// Most bytes that wait in this process, unless one record is longer.
const BYTES_BUFFERED_MAX: usize = 8 << 20;
/// The longest record that a nats-server can be set to take.
const RECORD_BYTES_MAX: usize = 64 << 20;
/// Subject, headers and framing of a record beside its body.
const RECORD_SLACK_BYTES: usize = 64 << 10;
/// When the server forgets a consumer that nobody reads.
pub(crate) const INACTIVE_MAX: Duration = Duration::from_mins(1);
const EXPIRES: Duration = Duration::from_secs(5);
const HEARTBEAT: Duration = Duration::from_secs(1);
/// After this time without a record or a heartbeat the server or the consumer is gone.
const SILENCE_MAX: Duration = Duration::from_secs(3);

pub(crate) struct Pull {
    context: Context,
    consumer: Box<Consumer<Config>>,
    inbox: String,
    messages: Subscriber,
    bytes_max: usize,
    /// Requests so far; each has a reply subject of its own, so that a late status is not taken for another's.
    requests: u64,
    /// Records that the open request may still bring; 0 when none is open.
    open: usize,
    heard_at: Instant,
}

impl Pull {
    pub(crate) async fn new(log: &Log, consumer: Consumer<Config>) -> Result<Self, Source> {
        let inbox = log.client.new_inbox();
        let messages = log.client.subscribe(format!("{inbox}.*")).await?;
        let record_bytes_max = log.payload_bytes_max() + RECORD_SLACK_BYTES;
        Ok(Self {
            context: log.jetstream.clone(),
            consumer: Box::new(consumer),
            inbox,
            messages,
            bytes_max: BYTES_BUFFERED_MAX.max(record_bytes_max),
            requests: 0,
            open: 0,
            heard_at: Instant::now(),
        })
    }

    /// The next record; nothing is lost when this is dropped before it is ready.
    ///
    /// # Errors
    /// When the consumer is gone or the server is silent: open another one.
    pub(crate) async fn next(&mut self) -> Result<Message, Source> {
        loop {
            if self.open == 0 {
                self.request().await?;
            }
            let heard = timeout_at(self.heard_at + SILENCE_MAX, self.messages.next()).await;
            let message = heard
                .map_err(|_| "neither records nor heartbeats arrive")?
                .ok_or("the subscription ended")?;
            self.heard_at = Instant::now();
            let description = message.description.as_deref().unwrap_or_default();
            match message.status.unwrap_or(StatusCode::OK) {
                StatusCode::OK => {
                    self.open = self.open.saturating_sub(1);
                    return Ok(Message {
                        message,
                        context: self.context.clone(),
                    });
                }
                StatusCode::IDLE_HEARTBEAT => {}
                StatusCode::TIMEOUT | StatusCode::REQUEST_TERMINATED
                    if !description.starts_with("Consumer")
                        && !description.starts_with("Exceeded") =>
                {
                    if *message.subject == *self.reply_subject() {
                        self.end_request(description)?;
                    }
                }
                status => return Err(format!("the server says {status}: {description}").into()),
            }
        }
    }

    async fn request(&mut self) -> Result<(), Source> {
        let request = BatchConfig {
            batch: RECORDS_BUFFERED_MAX,
            max_bytes: self.bytes_max,
            expires: Some(EXPIRES),
            idle_heartbeat: HEARTBEAT,
            ..BatchConfig::default()
        };
        self.requests += 1;
        let reply_to = self.reply_subject().into();
        self.consumer.request_batch(request, reply_to).await?;
        self.open = RECORDS_BUFFERED_MAX;
        self.heard_at = Instant::now();
        Ok(())
    }

    /// A record that is longer than the server takes today would be asked for again and again: then ask for more.
    fn end_request(&mut self, description: &str) -> Result<(), Source> {
        let nothing_came = self.open == RECORDS_BUFFERED_MAX;
        if nothing_came && description.contains("MaxBytes") {
            if self.bytes_max >= RECORD_BYTES_MAX {
                return Err("a record is longer than a server can store".into());
            }
            self.bytes_max *= 2;
        }
        self.open = 0;
        Ok(())
    }

    fn reply_subject(&self) -> String {
        format!("{}.{}", self.inbox, self.requests)
    }
}
