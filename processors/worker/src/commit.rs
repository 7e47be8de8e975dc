//! What one transaction writes, and what the world hears of it.
//!
//! Invariant: the event record is a pure function of the outcomes in it, of the previous hash and of the
//! encoder version.

use std::ops::Range;

use bytes::Bytes;
use journal::{Decided, Entry, HEADERS_KEPT_MAX, Lines, link};
use ledger::{AccountKey, AccountRow, Decision};
use schemas::{DeadLettered, Encoder, Event, Outcome, Timestamp, line_to_keep};
use streams::EventRecord;

pub(crate) use journal::DeadLetter;

use crate::seam::Lease;
use crate::work::Part;

/// One line of a batch: a command (its item stands in the batch, in the same order) or a dead letter.
#[derive(Debug, Clone)]
pub(crate) enum Slot {
    Command {
        body: Bytes,
        /// The header block of its record.
        headers: Bytes,
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
    /// In the order of the log, dead letters among them.
    pub events: Vec<Decided>,
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
            rules: ledger::RULES,
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
    previous_hash: [u8; 32],
    part: Part<'_>,
    decision: Decision,
    now: Timestamp,
) -> Commit {
    let mut decided = part.batch.items.iter().zip(decision.outcomes);
    let mut dead = Vec::new();
    let mut events = Vec::with_capacity(part.slots.len());
    for slot in part.slots {
        events.push(match slot {
            Slot::Command { body, .. } => {
                let (item, (decided_at, outcome)) =
                    decided.next().expect("one outcome per command");
                Decided {
                    ledger: Some(item.ledger),
                    command: line_of(&outcome, body),
                    event: Event {
                        at: item.at,
                        ledger: Some(item.ledger_name.clone()),
                        decided_at,
                        actor: Some(item.actor.clone()),
                        outcome,
                    },
                }
            }
            Slot::Dead(letter) => {
                dead.push(to_keep(letter, dead.last()));
                Decided {
                    ledger: letter.ledger.as_ref().map(|(number, _)| *number),
                    command: None,
                    event: dead_event(letter, now),
                }
            }
        });
    }
    let encoder = Encoder::NEWEST;
    let lines = Lines::encode(encoder, events.iter().map(|decided| &decided.event));
    let record = EventRecord {
        partition: lease.partition,
        first_position: part.first,
        position: part.next,
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

/// The headers of a record stand once, and not beyond a limit: its lines may be many, and its headers long.
fn to_keep(letter: &DeadLetter, before: Option<&DeadLetter>) -> DeadLetter {
    let mut kept = letter.clone();
    if before.is_some_and(|before| before.at.position == letter.at.position) {
        kept.headers.clear();
    }
    kept.headers.truncate(HEADERS_KEPT_MAX);
    kept
}

/// The line, where the row does not say everything that it asked.
fn line_of(outcome: &Outcome, line: &[u8]) -> Option<Box<str>> {
    match outcome {
        Outcome::Decided(_) | Outcome::Replayed(_) => None,
        _ => Some(line_to_keep(line).into()),
    }
}

fn dead_event(letter: &DeadLetter, now: Timestamp) -> Event {
    Event {
        at: letter.at,
        ledger: letter.ledger.as_ref().map(|(_, name)| name.clone()),
        decided_at: now,
        actor: Some(letter.actor.clone()),
        outcome: Outcome::DeadLettered(DeadLettered {
            reason: letter.reason.clone(),
            detail: letter.detail.clone(),
        }),
    }
}
