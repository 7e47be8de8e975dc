//! What one transaction writes, and what the world hears of it.
//!
//! Invariant: the event record is a pure function of the outcomes in it, of the previous hash and of the
//! encoder version.

use std::ops::Range;

use bytes::Bytes;
use journal::{Entry, Lines, link};
use ledger::{AccountKey, AccountRow, Batch, Decision};
use schemas::{DeadLettered, Encoder, Event, Outcome, Position, Timestamp};
use streams::EventRecord;

pub(crate) use journal::DeadLetter;

use crate::seam::Lease;

/// One line of a batch: a command (its item stands in the batch, in the same order) or a dead letter.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    Command {
        body: Bytes,
        /// When the log stored its record.
        recorded_at: Timestamp,
    },
    Dead(DeadLetter),
}

/// Everything that one transaction writes beside the position.
#[derive(Debug, Clone)]
pub struct Commit {
    pub lease: Lease,
    pub decided_at: Timestamp,
    /// In the order of the log, dead letters among them; with the number of the ledger.
    pub events: Vec<(Option<i32>, Event)>,
    pub dead: Vec<DeadLetter>,
    pub opened: Vec<(AccountKey, AccountRow)>,
    /// Accounts that existed and changed.
    pub changed: Vec<(AccountKey, AccountRow)>,
    pub record: EventRecord,
    /// Where each event's line ends in the record's body.
    pub line_ends: Vec<usize>,
}

impl Commit {
    /// What the journal keeps of it.
    pub(crate) fn entry(&self) -> Entry<'_> {
        Entry {
            epoch: self.lease.epoch,
            decided_at: self.decided_at,
            events: &self.events,
            dead: &self.dead,
            record: &self.record,
        }
    }

    /// The event lines of these slots.
    pub(crate) fn event_lines(&self, slots: &Range<usize>) -> Bytes {
        let before = slots.start.checked_sub(1);
        let from = before.map_or(0, |slot| self.line_ends[slot]);
        self.record.body.slice(from..self.line_ends[slots.end - 1])
    }
}

/// Puts the decision and the dead letters back into the order of the log, and encodes the events.
pub(crate) fn build(
    lease: Lease,
    span: (Position, Position),
    previous_hash: [u8; 32],
    (batch, slots): (&Batch, &[Slot]),
    decision: Decision,
    now: Timestamp,
) -> Commit {
    let mut decided = batch.items.iter().zip(decision.outcomes);
    let mut dead = Vec::new();
    let mut events = Vec::with_capacity(slots.len());
    for slot in slots {
        events.push(match slot {
            Slot::Command { .. } => {
                let (item, (decided_at, outcome)) =
                    decided.next().expect("one outcome per command");
                let ledger = Some(item.ledger_name.clone());
                (
                    Some(item.ledger),
                    Event {
                        at: item.at,
                        ledger,
                        decided_at,
                        outcome,
                    },
                )
            }
            Slot::Dead(letter) => {
                dead.push(letter.clone());
                (
                    letter.ledger.as_ref().map(|(number, _)| *number),
                    dead_event(letter, now),
                )
            }
        });
    }
    let encoder = Encoder::NEWEST;
    let lines = Lines::encode(encoder, events.iter().map(|(_, event)| event));
    let record = EventRecord {
        partition: lease.partition,
        first_position: span.0,
        position: span.1,
        count: u32::try_from(events.len()).expect("a batch holds fewer than 2^32 commands"),
        encoder: encoder.number(),
        previous_hash,
        committed_at: None,
        hash: link(&previous_hash, &lines.body),
        body: lines.body,
    };
    Commit {
        lease,
        decided_at: now,
        events,
        dead,
        opened: decision.opened,
        changed: decision.changed,
        record,
        line_ends: lines.ends,
    }
}

fn dead_event(letter: &DeadLetter, now: Timestamp) -> Event {
    Event {
        at: letter.at,
        ledger: letter.ledger.as_ref().map(|(_, name)| name.clone()),
        decided_at: now,
        outcome: Outcome::DeadLettered(DeadLettered {
            reason: letter.reason.clone(),
            detail: letter.detail.clone(),
        }),
    }
}
