//! The records of one subject, in order, whatever bytes they have.
//!
//! Invariant: a record is handed out only if nothing between it and the one before is missing: the consumer's own
//! sequence shows that. Where the connection breaks twice without a record between, the next ones are fetched by
//! themselves until one is sound again, so that no record stands in the way of those behind it.

use std::collections::VecDeque;
use std::time::Duration;

use async_nats::Subject;
use async_nats::jetstream::Message;
use async_nats::jetstream::consumer::AckPolicy;
use async_nats::jetstream::consumer::pull::Config;
use futures::FutureExt;
use tokio::time::timeout;

use crate::error::Source;
use crate::fetch::{Raw, Wanted};
use crate::identity::timestamp;
use crate::log::{context, get_stream_no_info};
use crate::pull::{Broken, INACTIVE_MAX, Pull};
use crate::{Error, Log, headers};

/// How often the connection may break at one record before that is fetched by itself.
const BREAKS_MAX: u32 = 2;
/// Most records that are fetched by themselves before they are handed out.
const FETCHED_MAX: usize = 64;
const FETCHED_BYTES_MAX: usize = 8 << 20;

pub(crate) struct Records {
    log: Log,
    stream: &'static str,
    subject: String,
    config: Config,
    /// Sequence in the stream of the last record handed out.
    after: u64,
    /// How often the connection broke since then.
    breaks: u32,
    /// Consumers so far.
    opened: u32,
    way: Way,
}

/// How the next record is read.
enum Way {
    /// A consumer is to be opened.
    Closed,
    Consumer(Box<Open>),
    /// One by one.
    Fetched(VecDeque<Raw>),
}

struct Open {
    pull: Pull,
    /// The next record's sequence in this consumer.
    next: u64,
}

/// A record, and what the consumer says beside it.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) record: Raw,
    /// Records that the server still holds behind this one; 0 where that is not known.
    pub(crate) pending: u64,
    pub(crate) acknowledge: Option<Subject>,
}

/// Why the next record cannot be had; the one after asks again, with another consumer.
#[derive(Debug)]
pub(crate) enum Interrupted {
    /// Something was handed to somebody else, or twice.
    Gap,
    Lost(Source),
}

/// A consumer whose place only its reader knows; the server forgets it soon after.
pub(crate) fn unnamed(description: &str) -> Config {
    Config {
        description: Some(description.to_owned()),
        ack_policy: AckPolicy::None,
        inactive_threshold: INACTIVE_MAX,
        memory_storage: true,
        num_replicas: 1,
        ..Config::default()
    }
}

impl Records {
    /// The records of `subject` after a sequence. `config` says how, all but where to begin.
    pub(crate) fn new(
        log: Log,
        stream: &'static str,
        subject: String,
        after: u64,
        config: Config,
    ) -> Self {
        Self {
            log,
            stream,
            subject,
            config,
            after,
            breaks: 0,
            opened: 0,
            way: Way::Closed,
        }
    }

    /// Waits for the next record; nothing is lost when this is dropped before it is ready.
    ///
    /// # Errors
    /// As [`Interrupted`] says.
    pub(crate) async fn next(&mut self) -> Result<Taken, Interrupted> {
        loop {
            if let Some(taken) = self.next_within(Duration::MAX).await? {
                return Ok(taken);
            }
        }
    }

    /// As [`Records::next`]; `None` when a consumer that is open brought nothing for this long. Opening one is not cut
    /// short.
    ///
    /// # Errors
    /// As [`Interrupted`] says.
    pub(crate) async fn next_within(
        &mut self,
        quiet: Duration,
    ) -> Result<Option<Taken>, Interrupted> {
        loop {
            let taken = match &mut self.way {
                Way::Closed => {
                    // Opening is rare and large.
                    Box::pin(self.open())
                        .await
                        .map_err(|error| Interrupted::Lost(error.into()))?;
                    continue;
                }
                Way::Consumer(open) => match timeout(quiet, open.pull.next()).await {
                    Ok(message) => self.take(message)?,
                    Err(_) => return Ok(None),
                },
                Way::Fetched(fetched) => {
                    if fetched.is_empty() {
                        let fetched = self.fetch().await;
                        fetched.map_err(|error| Interrupted::Lost(error.into()))?;
                    }
                    self.pop()
                }
            };
            if taken.is_some() {
                return Ok(taken);
            }
        }
    }

    /// The next record, if it is here already.
    ///
    /// # Errors
    /// As [`Records::next`].
    pub(crate) fn try_next(&mut self) -> Result<Option<Taken>, Interrupted> {
        match &mut self.way {
            Way::Closed => Ok(None),
            Way::Consumer(open) => match open.pull.next().now_or_never() {
                None => Ok(None),
                Some(message) => self.take(message),
            },
            Way::Fetched(_) => Ok(self.pop()),
        }
    }

    /// Opens a consumer over a connection of its own.
    ///
    /// # Errors
    /// When the server does not answer or the stream is missing.
    pub(crate) async fn open(&mut self) -> Result<(), Error> {
        let mut config = self.config.clone();
        config.filter_subject.clone_from(&self.subject);
        config.deliver_policy = async_nats::jetstream::consumer::DeliverPolicy::ByStartSequence {
            start_sequence: self.after + 1,
        };
        if self.opened > 0 {
            // Consumers never share a name.
            config.name = config.name.map(|name| format!("{name}-{}", self.opened));
        }
        self.opened += 1;
        let failed = |source: Source| self.unavailable(Interrupted::Lost(source));
        let apart = self.log.connection.apart().await.map_err(failed)?;
        let context = context(apart.client.clone());
        let stream = get_stream_no_info(&context, self.stream).await?;
        let consumer = stream
            .create_consumer(config)
            .await
            .map_err(|error| failed(error.into()))?;
        let pull = Pull::new(apart, context, consumer).await.map_err(failed)?;
        self.way = Way::Consumer(Box::new(Open { pull, next: 1 }));
        Ok(())
    }

    pub(crate) fn unavailable(&self, interrupted: Interrupted) -> Error {
        let doing = format!("reading {} of {}", self.subject, self.stream);
        match interrupted {
            Interrupted::Gap => Error::unavailable(doing, "records were lost on the way"),
            Interrupted::Lost(source) => Error::unavailable(doing, source),
        }
    }

    /// `None` when the record has to be read in another way.
    fn take(&mut self, message: Result<Message, Broken>) -> Result<Option<Taken>, Interrupted> {
        let taken = match message {
            Ok(message) => self.place(message),
            Err(Broken::Consumer(source)) => Err(Interrupted::Lost(source)),
            Err(Broken::Connection) => {
                self.breaks += 1;
                self.way = Way::Closed;
                if self.breaks >= BREAKS_MAX {
                    self.way = Way::Fetched(VecDeque::new());
                    tracing::warn!(
                        subject = self.subject,
                        after = self.after,
                        "the connection breaks at a record; reading on one by one"
                    );
                }
                return Ok(None);
            }
        };
        match taken {
            Ok(taken) => {
                self.after = taken.record.sequence;
                self.breaks = 0;
                Ok(Some(taken))
            }
            Err(interrupted) => {
                self.way = Way::Closed;
                Err(interrupted)
            }
        }
    }

    fn place(&mut self, message: Message) -> Result<Taken, Interrupted> {
        let Way::Consumer(open) = &mut self.way else {
            unreachable!("messages come from a consumer");
        };
        let info = message.info().map_err(Interrupted::Lost)?;
        if info.consumer_sequence != open.next || info.delivered != 1 {
            return Err(Interrupted::Gap);
        }
        open.next += 1;
        let stored_at =
            timestamp(info.published).map_err(|error| Interrupted::Lost(error.into()))?;
        let (sequence, pending) = (info.stream_sequence, info.pending);
        let message = message.message;
        let headers = message.headers.unwrap_or_default();
        Ok(Taken {
            record: Raw {
                sequence,
                subject: message.subject.into_string(),
                stored_at,
                block: headers::block(&headers),
                headers: Ok(headers),
                body: message.payload,
            },
            pending,
            acknowledge: message.reply,
        })
    }

    /// Fetches the next records, up to one that is sound.
    async fn fetch(&mut self) -> Result<(), Error> {
        let (mut last, mut bytes, mut sound) = (self.after, 0, false);
        let mut count = 0;
        while count < FETCHED_MAX && bytes < FETCHED_BYTES_MAX && !sound {
            let wanted = Wanted::after(last, &self.subject);
            let Some(record) = self.log.fetch(self.stream, &wanted).await? else {
                break;
            };
            last = record.sequence;
            bytes += record.block.len() + record.body.len();
            sound = record.headers.is_ok();
            count += 1;
            if let Way::Fetched(fetched) = &mut self.way {
                fetched.push_back(record);
            }
        }
        if count == 0 {
            self.read_on();
        }
        Ok(())
    }

    fn pop(&mut self) -> Option<Taken> {
        let Way::Fetched(fetched) = &mut self.way else {
            return None;
        };
        let record = fetched.pop_front()?;
        self.after = record.sequence;
        if record.headers.is_ok() {
            self.read_on();
        }
        Some(Taken {
            record,
            pending: 0,
            acknowledge: None,
        })
    }

    /// With a consumer again.
    fn read_on(&mut self) {
        self.breaks = 0;
        self.way = Way::Closed;
    }
}
