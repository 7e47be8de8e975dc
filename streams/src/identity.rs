//! Whether a stream is the stream that it was.
//!
//! Invariant: two streams with the same name but another life never pass for one.

use async_nats::jetstream::stream::Info;
use schemas::Timestamp;

use crate::error::Error;

/// What tells one life of a stream from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamIdentity {
    pub created: Timestamp,
    pub last_sequence: u64,
}

impl StreamIdentity {
    pub(crate) fn of(info: &Info) -> Result<Self, Error> {
        Ok(Self {
            created: timestamp(info.created)?,
            last_sequence: info.state.last_sequence,
        })
    }
}

pub(crate) fn timestamp(at: async_nats::datetime::DateTime) -> Result<Timestamp, Error> {
    i64::try_from(at.unix_timestamp_nanos())
        .map(Timestamp::from_nanoseconds)
        .map_err(|source| Error::unavailable("reading a time of the log", source))
}
