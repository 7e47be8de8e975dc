//! Event records and the hashes that link them.
//!
//! Invariant: a record is a pure function of its outcomes, of the previous hash and of the encoder kept with the
//! commit; what is made again has the hash that was committed, or it is not handed out.

use bytes::Bytes;
use schemas::{Encoder, Event, Partition, Position};
use streams::EventRecord;

use crate::CommitRow;

/// Bytes of a usual event's line.
const LINE_BYTES: usize = 768;

/// The lines of an event record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lines {
    pub body: Bytes,
    /// Where each event's line ends in the body.
    pub ends: Vec<usize>,
}

impl Lines {
    pub fn encode<'a>(encoder: Encoder, events: impl IntoIterator<Item = &'a Event>) -> Self {
        let events = events.into_iter();
        let count = events.size_hint().0;
        let mut body = Vec::with_capacity(count * LINE_BYTES);
        let mut ends = Vec::with_capacity(count);
        for event in events {
            event.encode(encoder, &mut body);
            ends.push(body.len());
        }
        Self {
            body: body.into(),
            ends,
        }
    }
}

/// A commit's hash: BLAKE3 over the previous commit's hash and the event record.
pub fn link(previous: &[u8; 32], body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous);
    hasher.update(body);
    *hasher.finalize().as_bytes()
}

/// Why a commit's record cannot be made again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    #[error(
        "commit {position} of partition {partition} was encoded by version {encoder}, this program knows {}: run a newer program",
        Encoder::NEWEST.number()
    )]
    Encoder {
        partition: Partition,
        position: Position,
        encoder: i16,
    },
    #[error(
        "the rows of commit {position} of partition {partition} do not have the committed hash: transfers, outcomes or dead_letters were changed"
    )]
    Hash {
        partition: Partition,
        position: Position,
    },
}

/// The event record of a commit, from its outcomes.
///
/// # Errors
/// When the rows no longer give the record that was committed.
pub fn rebuild(
    partition: Partition,
    commit: &CommitRow,
    events: &[Event],
) -> Result<EventRecord, Broken> {
    let position = commit.position;
    let encoder = Encoder::parse(commit.encoder).ok_or(Broken::Encoder {
        partition,
        position,
        encoder: commit.encoder,
    })?;
    let Lines { body, .. } = Lines::encode(encoder, events);
    if link(&commit.previous_hash, &body) != commit.hash {
        return Err(Broken::Hash {
            partition,
            position,
        });
    }
    Ok(EventRecord {
        partition,
        first_position: commit.first_position,
        position,
        count: commit.commands,
        encoder: commit.encoder,
        previous_hash: commit.previous_hash,
        hash: commit.hash,
        committed_at: None,
        body,
    })
}
