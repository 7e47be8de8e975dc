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

use crate::connect::Apart;
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

/// What every record's reply subject begins with; what the server says itself has none.
const RECORD_REPLY: &str = "$JS.ACK.";

pub(crate) struct Pull {
    apart: Apart,
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

/// Why no more records come.
#[derive(Debug)]
pub(crate) enum Broken {
    /// The connection; perhaps at a record that the client library cannot read.
    Connection,
    /// The consumer is gone or the server is silent.
    Consumer(Source),
}

impl From<&str> for Broken {
    fn from(why: &str) -> Self {
        Self::Consumer(why.into())
    }
}

impl Pull {
    /// Over `apart`, on which `context` and `consumer` are too.
    pub(crate) async fn new(
        apart: Apart,
        context: Context,
        consumer: Consumer<Config>,
    ) -> Result<Self, Source> {
        let inbox = apart.client.new_inbox();
        let messages = apart.client.subscribe(format!("{inbox}.*")).await?;
        let record_bytes_max = apart.client.server_info().max_payload + RECORD_SLACK_BYTES;
        Ok(Self {
            apart,
            context,
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
    /// As [`Broken`] says: open another one.
    pub(crate) async fn next(&mut self) -> Result<Message, Broken> {
        loop {
            if self.open == 0 {
                self.request().await?;
            }
            let arrives = async {
                tokio::select! {
                    biased;
                    // What came before the connection broke.
                    message = self.messages.next() => message,
                    () = self.apart.lost() => None,
                }
            };
            let heard = timeout_at(self.heard_at + SILENCE_MAX, arrives).await;
            let message = heard
                .map_err(|_| "neither records nor heartbeats arrive")?
                .ok_or(Broken::Connection)?;
            self.heard_at = Instant::now();
            // Whatever status its publisher wrote into it.
            let is_record = |reply: &async_nats::Subject| reply.starts_with(RECORD_REPLY);
            if message.reply.as_ref().is_some_and(is_record) {
                self.open = self.open.saturating_sub(1);
                return Ok(Message {
                    message,
                    context: self.context.clone(),
                });
            }
            let description = message.description.as_deref().unwrap_or_default();
            match message.status.unwrap_or(StatusCode::OK) {
                StatusCode::IDLE_HEARTBEAT => {}
                StatusCode::TIMEOUT | StatusCode::REQUEST_TERMINATED
                    if !description.starts_with("Consumer")
                        && !description.starts_with("Exceeded") =>
                {
                    if *message.subject == *self.reply_subject() {
                        self.end_request(description)?;
                    }
                }
                status => {
                    let why = format!("the server says {status}: {description}");
                    return Err(Broken::Consumer(why.into()));
                }
            }
        }
    }

    async fn request(&mut self) -> Result<(), Broken> {
        let request = BatchConfig {
            batch: RECORDS_BUFFERED_MAX,
            max_bytes: self.bytes_max,
            expires: Some(EXPIRES),
            idle_heartbeat: HEARTBEAT,
            ..BatchConfig::default()
        };
        self.requests += 1;
        let reply_to = self.reply_subject().into();
        let requested = self.consumer.request_batch(request, reply_to).await;
        requested.map_err(|_| Broken::Connection)?;
        self.open = RECORDS_BUFFERED_MAX;
        self.heard_at = Instant::now();
        Ok(())
    }

    /// A record that is longer than the server takes today would be asked for again and again: then ask for more.
    fn end_request(&mut self, description: &str) -> Result<(), Broken> {
        let nothing_came = self.open == RECORDS_BUFFERED_MAX;
        if nothing_came && description.contains("MaxBytes") {
            if self.bytes_max >= RECORD_BYTES_MAX {
                return Err(Broken::from("a record is longer than a server can store"));
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
