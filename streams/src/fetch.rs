//! One record of a stream, by itself.
//!
//! Invariant: no bytes that somebody published are parsed by the client library: the stream's leader answers with JSON
//! that holds headers and body in base64. (A direct get would answer with the headers themselves.)

use async_nats::HeaderMap;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use schemas::Timestamp;
use serde::{Deserialize, Serialize};

use crate::error::Source;
use crate::{Error, Log, headers};

/// `JSNoMessageFoundErr`.
const NO_MESSAGE_FOUND: u64 = 10037;
/// `JSStreamNotFoundErr`.
const STREAM_NOT_FOUND: u64 = 10059;

/// Which record.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Wanted<'a> {
    #[serde(rename = "seq", skip_serializing_if = "Option::is_none")]
    sequence: Option<u64>,
    #[serde(rename = "next_by_subj", skip_serializing_if = "Option::is_none")]
    next: Option<&'a str>,
    #[serde(rename = "last_by_subj", skip_serializing_if = "Option::is_none")]
    last: Option<&'a str>,
}

impl<'a> Wanted<'a> {
    pub(crate) fn at(sequence: u64) -> Self {
        Self {
            sequence: Some(sequence),
            ..Self::default()
        }
    }

    /// The first of `subject` behind `sequence`.
    pub(crate) fn after(sequence: u64, subject: &'a str) -> Self {
        Self {
            sequence: Some(sequence + 1),
            next: Some(subject),
            last: None,
        }
    }

    pub(crate) fn last_of(subject: &'a str) -> Self {
        Self {
            last: Some(subject),
            ..Self::default()
        }
    }
}

/// A record as the stream keeps it.
#[derive(Debug, Clone)]
pub(crate) struct Raw {
    pub(crate) sequence: u64,
    pub(crate) subject: String,
    pub(crate) stored_at: Timestamp,
    /// The header block; empty when there is none.
    pub(crate) block: Bytes,
    /// Its headers, or why they cannot be read.
    pub(crate) headers: Result<HeaderMap, &'static str>,
    pub(crate) body: Bytes,
}

impl Raw {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let headers = self.headers.as_ref().ok()?;
        headers.get(name).map(async_nats::HeaderValue::as_str)
    }
}

#[derive(Deserialize)]
struct Answer {
    message: Option<Message>,
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Message {
    subject: String,
    seq: u64,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    data: String,
    time: String,
}

#[derive(Deserialize)]
struct Refusal {
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

impl Log {
    /// The record, from the stream's leader; `None` when there is none.
    ///
    /// # Errors
    /// When the server does not answer or the stream is missing.
    pub(crate) async fn fetch(
        &self,
        stream: &'static str,
        wanted: &Wanted<'_>,
    ) -> Result<Option<Raw>, Error> {
        let failed =
            |source: Source| Error::unavailable(format!("reading a record of {stream}"), source);
        let request = serde_json::to_vec(wanted).map_err(|error| failed(error.into()))?;
        let subject = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let answer = self
            .connection
            .client
            .request(subject, request.into())
            .await
            .map_err(|error| failed(error.into()))?;
        let answer: Answer =
            serde_json::from_slice(&answer.payload).map_err(|error| failed(error.into()))?;
        match (answer.message, answer.error) {
            (Some(message), _) => message.raw().map(Some).map_err(failed),
            (None, Some(refusal)) if refusal.err_code == NO_MESSAGE_FOUND => Ok(None),
            (None, Some(refusal)) if refusal.err_code == STREAM_NOT_FOUND => {
                Err(Error::StreamMissing(stream))
            }
            (None, Some(refusal)) => Err(failed(refusal.description.into())),
            (None, None) => Err(failed("the answer is empty".into())),
        }
    }
}

impl Message {
    fn raw(self) -> Result<Raw, Source> {
        let block: Bytes = BASE64_STANDARD.decode(self.hdrs)?.into();
        Ok(Raw {
            sequence: self.seq,
            subject: self.subject,
            stored_at: Timestamp::parse(&self.time, "").map_err(|invalid| invalid.detail)?,
            headers: headers::parse(&block),
            block,
            body: BASE64_STANDARD.decode(self.data)?.into(),
        })
    }
}
