//! Event records, made again from the rows.
//!
//! Invariant: what is rebuilt has the hash that was committed, or it is not handed out.

use schemas::{ENCODER, Event, Partition};
use streams::EventRecord;

use crate::Error;

pub use crate::commit::link;
pub use crate::decode::lines_of;
pub use crate::postgres::journal::{commits_after, events_of};
pub use crate::seam::CommitRow;

/// The event record of a commit, from its outcomes.
///
/// # Errors
/// `Stopped` when the rows no longer give the record that was committed.
pub fn rebuild(
    partition: Partition,
    commit: &CommitRow,
    events: &[Event],
) -> Result<EventRecord, Error> {
    if commit.encoder != ENCODER {
        return Err(Error::Stopped(format!(
            "commit {} of partition {partition} was encoded by version {}, this program knows {ENCODER}: run a newer program",
            commit.position, commit.encoder
        )));
    }
    let mut body = Vec::with_capacity(events.len() * 768);
    for event in events {
        event.encode(&mut body);
    }
    if link(&commit.previous_hash, &body) != commit.hash {
        return Err(Error::Stopped(format!(
            "the rows of commit {} of partition {partition} do not have the committed hash: transfers, outcomes or dead_letters were changed",
            commit.position
        )));
    }
    Ok(EventRecord {
        partition,
        first_position: commit.first_position,
        position: commit.position,
        count: commit.commands,
        encoder: commit.encoder,
        previous_hash: commit.previous_hash,
        hash: commit.hash,
        committed_at: None,
        body: body.into(),
    })
}
