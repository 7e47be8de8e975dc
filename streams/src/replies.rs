//! Outcomes sent straight to the process whose clients wait for them.
//!
//! Invariant: a reply is a courtesy. It may be lost; the rows in Postgres cannot. Only `sluice.reply.<token>`
//! is ever honoured, whatever a record asks for.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{HeaderMap, Subscriber};
use bytes::Bytes;
use futures::StreamExt;

use crate::connect::Apart;
use crate::error::Source;
use crate::{Connection, Error, Log};

const RECONNECT_PAUSE: Duration = Duration::from_millis(200);

const PREFIX: &str = "sluice.reply.";
const RECORD_HEADER: &str = "Sluice-Record";
const POSITION_HEADER: &str = "Sluice-Position";

/// A subject below `sluice.reply.` with one token of letters and digits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyTo(Arc<str>);

impl ReplyTo {
    /// `None` for a subject that must not be honoured.
    pub fn parse(subject: &str) -> Option<Self> {
        let token = subject.strip_prefix(PREFIX)?;
        let honoured = (1..=64).contains(&token.len())
            && token.bytes().all(|byte| byte.is_ascii_alphanumeric());
        honoured.then(|| Self(subject.into()))
    }

    pub fn subject(&self) -> &str {
        &self.0
    }
}

/// The outcomes of one record.
#[derive(Debug, Clone)]
pub struct Reply {
    /// The `Nats-Msg-Id` of the record.
    pub record: String,
    /// Position of the record, as the processor numbers it.
    pub position: i64,
    /// The event lines of the record, in the order of its commands.
    pub events: Bytes,
}

/// Replies to this process, over a connection apart: whoever reads the log may send anything there.
#[derive(Debug)]
pub struct Replies {
    connection: Connection,
    to: ReplyTo,
    open: Option<(Apart, Subscriber)>,
}

impl Replies {
    pub fn to(&self) -> &ReplyTo {
        &self.to
    }

    /// The next reply. What comes while the connection is away is lost.
    pub async fn next(&mut self) -> Reply {
        loop {
            let Some((apart, subscription)) = &mut self.open else {
                match subscribe(&self.connection, &self.to).await {
                    Ok(open) => self.open = Some(open),
                    Err(error) => {
                        tracing::debug!(%error, "replies cannot be listened to yet");
                        tokio::time::sleep(RECONNECT_PAUSE).await;
                    }
                }
                continue;
            };
            let message = tokio::select! {
                biased;
                message = subscription.next() => message,
                () = apart.lost() => None,
            };
            let Some(message) = message else {
                self.open = None;
                continue;
            };
            let header = |name| Some(message.headers.as_ref()?.get(name)?.as_str().to_owned());
            let position = header(POSITION_HEADER).and_then(|position| position.parse().ok());
            if let (Some(record), Some(position)) = (header(RECORD_HEADER), position) {
                return Reply {
                    record,
                    position,
                    events: message.payload,
                };
            }
        }
    }
}

async fn subscribe(connection: &Connection, to: &ReplyTo) -> Result<(Apart, Subscriber), Error> {
    let failed = |source: Source| Error::unavailable("subscribing to replies", source);
    let apart = connection.apart().await.map_err(failed)?;
    let subject = to.subject().to_owned();
    let subscription = apart.client.subscribe(subject).await;
    let subscription = subscription.map_err(|error| failed(error.into()))?;
    Ok((apart, subscription))
}

impl Log {
    /// Subscribes to a subject of this process's own.
    ///
    /// # Errors
    /// When the connection is closed.
    ///
    /// # Panics
    /// When the operating system has no random numbers.
    pub async fn replies(&self) -> Result<Replies, Error> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).expect("the operating system has random numbers");
        let subject = format!("{PREFIX}{:032x}", u128::from_be_bytes(bits));
        let to = ReplyTo(subject.into());
        let open = subscribe(&self.connection, &to).await?;
        Ok(Replies {
            connection: self.connection.clone(),
            to,
            open: Some(open),
        })
    }

    /// Sends the outcomes of a record to whoever waits; too large a reply is left out.
    ///
    /// # Errors
    /// When the connection is closed.
    pub async fn reply(&self, to: &ReplyTo, reply: Reply) -> Result<(), Error> {
        if reply.events.len() + 1024 > self.payload_bytes_max() {
            return Ok(());
        }
        let mut headers = HeaderMap::new();
        headers.insert(RECORD_HEADER, reply.record);
        headers.insert(POSITION_HEADER, reply.position.to_string());
        self.connection
            .client
            .publish_with_headers(to.subject().to_owned(), headers, reply.events)
            .await
            .map_err(|source| Error::unavailable("sending outcomes to a waiting client", source))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reply_subjects_are_honoured() {
        for refused in [
            "",
            "sluice.reply.",
            "sluice.cmd.1",
            "sluice.reply.a.b",
            "sluice.reply.*",
            "$JS.API.STREAM.DELETE.COMMANDS",
        ] {
            assert_eq!(ReplyTo::parse(refused), None, "{refused}");
        }
        assert!(ReplyTo::parse("sluice.reply.7f3a").is_some());
    }
}
