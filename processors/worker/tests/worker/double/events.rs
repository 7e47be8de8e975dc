//! The double of EVENTS and DLQ, and the replies that were sent.

use std::collections::BTreeMap;
use std::time::Duration;

use schemas::Partition;
use streams::{DeadLetterRecord, EventRecord, PublishError, Published, Reply};
use tokio::time::Instant;

const DUPLICATE_WINDOW: Duration = Duration::from_mins(2);

#[derive(Debug, Default)]
pub(crate) struct Events {
    /// With their sequences.
    pub(crate) stored: Vec<(u64, EventRecord)>,
    last_sequence: u64,
    recent: BTreeMap<[u8; 32], (u64, Instant)>,
    pub(crate) dead_letters: Vec<DeadLetterRecord>,
    recent_dead: BTreeMap<String, Instant>,
    pub(crate) replies: Vec<(String, Reply)>,
}

/// How a publication ended.
pub(crate) enum Stored {
    New(u64),
    /// Its id was there already.
    Duplicate(u64),
}

impl Events {
    pub(crate) fn last(&self, partition: Partition) -> Option<Published> {
        let (sequence, record) = self
            .stored
            .iter()
            .rev()
            .find(|(_, record)| record.partition == partition)?;
        Some(Published {
            sequence: *sequence,
            position: record.position,
            hash: record.hash,
        })
    }

    pub(crate) fn publish(
        &mut self,
        record: &EventRecord,
        after: u64,
    ) -> Result<Stored, PublishError> {
        self.recent
            .retain(|_, (_, since)| since.elapsed() < DUPLICATE_WINDOW);
        if let Some((sequence, _)) = self.recent.get(&record.hash) {
            return Ok(Stored::Duplicate(*sequence));
        }
        let last = self.last(record.partition).map_or(0, |last| last.sequence);
        if last != after {
            return Err(PublishError::WrongLast);
        }
        self.last_sequence += 1;
        self.stored.push((self.last_sequence, record.clone()));
        self.recent
            .insert(record.hash, (self.last_sequence, Instant::now()));
        Ok(Stored::New(self.last_sequence))
    }

    /// False when its id was there already.
    pub(crate) fn publish_dead_letter(&mut self, letter: &DeadLetterRecord) -> bool {
        self.recent_dead
            .retain(|_, since| since.elapsed() < DUPLICATE_WINDOW);
        let id = letter.at.to_string();
        if self.recent_dead.insert(id, Instant::now()).is_some() {
            return false;
        }
        self.dead_letters.push(letter.clone());
        true
    }

    /// An operator purges EVENTS; ids are forgotten with the records.
    pub(crate) fn empty(&mut self) {
        self.stored.clear();
        self.recent.clear();
    }
}
