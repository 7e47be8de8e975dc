//! The double of EVENTS and DLQ, and the replies that were sent.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::{LinePosition, Partition};
use streams::{
    Copied, DeadLetterRecord, EventRecord, PublishError, Published, PublishedCommit, Reply,
};
use tokio::time::Instant;

const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

#[derive(Debug, Default)]
pub(crate) struct Events {
    /// With their sequences.
    pub(crate) stored: Vec<(u64, EventRecord)>,
    /// Published by no processor, with their sequences.
    foreign: Vec<(Partition, u64)>,
    last_sequence: u64,
    /// With sequences of DLQ from 1.
    pub(crate) dead_letters: Vec<DeadLetterRecord>,
    recent_dead: BTreeMap<LinePosition, (u64, Instant)>,
    pub(crate) replies: Vec<(String, Reply)>,
}

/// How the copying of a dead letter ended.
pub(crate) enum Stored {
    New(u64),
    /// Its id was there already.
    Duplicate(u64),
}

impl Events {
    pub(crate) fn last(&self, partition: Partition) -> Published {
        let mut stored = self.stored.iter().rev();
        let commit = stored
            .find(|(_, record)| record.partition == partition)
            .map(|(sequence, record)| PublishedCommit {
                sequence: *sequence,
                position: record.position,
                hash: record.hash,
            });
        let mut foreign = self.foreign.iter().rev();
        let foreign = foreign.find(|(of, _)| *of == partition);
        let sequence = commit.map(|commit| commit.sequence);
        Published {
            sequence: sequence
                .max(foreign.map(|(_, sequence)| *sequence))
                .unwrap_or(0),
            commit,
        }
    }

    /// Somebody else publishes a record.
    pub(crate) fn publish_foreign(&mut self, partition: Partition) {
        self.last_sequence += 1;
        self.foreign.push((partition, self.last_sequence));
    }

    pub(crate) fn publish(
        &mut self,
        record: &EventRecord,
        after: u64,
    ) -> Result<u64, PublishError> {
        if self.last(record.partition).sequence != after {
            return Err(PublishError::WrongLast);
        }
        self.last_sequence += 1;
        self.stored.push((self.last_sequence, record.clone()));
        Ok(self.last_sequence)
    }

    pub(crate) fn copied(&self, partition: Partition) -> Copied {
        let of_partition = |letter: &DeadLetterRecord| letter.at.partition == partition;
        let last = self.dead_letters.iter().rposition(of_partition);
        Copied {
            sequence: last.map_or(0, |place| place as u64 + 1),
            at: last.map(|place| self.dead_letters[place].at),
        }
    }

    pub(crate) fn publish_dead_letter(
        &mut self,
        letter: &DeadLetterRecord,
        after: u64,
    ) -> Result<Stored, PublishError> {
        self.recent_dead
            .retain(|_, (_, since)| since.elapsed() < DUPLICATE_WINDOW);
        if let Some((sequence, _)) = self.recent_dead.get(&letter.at) {
            return Ok(Stored::Duplicate(*sequence));
        }
        if self.copied(letter.at.partition).sequence != after {
            return Err(PublishError::WrongLast);
        }
        self.dead_letters.push(letter.clone());
        let sequence = self.dead_letters.len() as u64;
        self.recent_dead
            .insert(letter.at, (sequence, Instant::now()));
        Ok(Stored::New(sequence))
    }

    /// An operator purges EVENTS.
    pub(crate) fn empty(&mut self) {
        self.stored.clear();
        self.foreign.clear();
    }
}
