//! What one transaction writes, and what the world hears of it.
//!
//! Invariant: the event record is a pure function of the outcomes in it, of the previous hash and of the
//! encoder version.

use std::ops::Range;

use bytes::Bytes;
use ledger::{AccountKey, AccountRow, Batch, Decision};
use schemas::{
    DeadLettered, ENCODER, Event, LedgerName, LinePosition, Outcome, Position, Timestamp,
    TransferId,
};
use streams::{DeadLetterRecord, EventRecord};

use crate::seam::Lease;

/// A command that can never be decided, with its bytes and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadLetter {
    pub at: LinePosition,
    /// The record as a whole, not one line of it.
    pub whole: bool,
    pub recorded_at: Timestamp,
    /// Number and name, when the line names a ledger that exists.
    pub ledger: Option<(i32, LedgerName)>,
    pub transfer_id: Option<TransferId>,
    pub reason: String,
    pub detail: String,
    pub body: Bytes,
    /// The header block of its record; empty when that had none.
    pub headers: Bytes,
}

impl DeadLetter {
    pub fn to_record(&self) -> DeadLetterRecord {
        DeadLetterRecord {
            at: self.at,
            whole: self.whole,
            recorded_at: self.recorded_at,
            reason: self.reason.clone(),
            detail: self.detail.clone(),
            body: self.body.clone(),
        }
    }
}

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
    let mut body = Vec::with_capacity(events.len() * 768);
    let mut line_ends = Vec::with_capacity(events.len());
    for (_, event) in &events {
        event.encode(&mut body);
        line_ends.push(body.len());
    }
    let record = EventRecord {
        partition: lease.partition,
        first_position: span.0,
        position: span.1,
        count: u32::try_from(events.len()).expect("a batch holds fewer than 2^32 commands"),
        encoder: ENCODER,
        previous_hash,
        committed_at: None,
        hash: link(&previous_hash, &body),
        body: body.into(),
    };
    Commit {
        lease,
        decided_at: now,
        events,
        dead,
        opened: decision.opened,
        changed: decision.changed,
        record,
        line_ends,
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

/// A commit's hash: BLAKE3 over the previous commit's hash and the event record.
pub fn link(previous: &[u8; 32], body: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(previous);
    hasher.update(body);
    *hasher.finalize().as_bytes()
}
