//! The records of one transaction.
//!
//! Invariant: whole records, in the order of the log: a commit never ends inside one.

use std::ops::Range;

use ledger::Batch;
use schemas::{Position, Timestamp};
use streams::ReplyTo;

use crate::commit::Slot;
use crate::decode::{Decoded, Line};

/// The records of one transaction.
pub(crate) struct Work {
    pub(crate) batch: Batch,
    pub(crate) slots: Vec<Slot>,
    pub(crate) replies: Vec<Waiting>,
    pub(crate) first_accepted: Timestamp,
    pub(crate) records: usize,
    /// Most bytes that the event record of this work may have.
    pub(crate) event_bytes_max: usize,
    pub(crate) first: Position,
    pub(crate) next: Position,
    pub(crate) next_at: Timestamp,
}

/// A record whose outcomes somebody waits for.
pub(crate) struct Waiting {
    pub(crate) to: ReplyTo,
    /// The `Nats-Msg-Id` of the record.
    pub(crate) record: String,
    pub(crate) position: Position,
    /// Its places among the slots.
    pub(crate) lines: Range<usize>,
}

impl Work {
    pub(crate) fn new(first: Decoded) -> Self {
        let mut work = Self {
            batch: Batch::default(),
            slots: Vec::new(),
            replies: Vec::new(),
            first_accepted: first.stored_at,
            records: 0,
            event_bytes_max: 0,
            first: first.position,
            next: first.position,
            next_at: first.stored_at,
        };
        work.add(first);
        work
    }

    /// Adds a whole record.
    pub(crate) fn add(&mut self, decoded: Decoded) {
        let from = self.slots.len();
        for line in decoded.lines {
            match line {
                Line::Command(item, text) => {
                    self.first_accepted = self.first_accepted.min(item.accepted_at);
                    self.batch.items.push(*item);
                    self.slots.push(Slot::Command {
                        body: text,
                        headers: decoded.headers.clone(),
                        recorded_at: decoded.stored_at,
                    });
                }
                Line::Dead(letter) => self.slots.push(Slot::Dead(letter)),
            }
        }
        if let Some((to, record)) = decoded.reply {
            self.replies.push(Waiting {
                to,
                record,
                position: decoded.position,
                lines: from..self.slots.len(),
            });
        }
        self.records += 1;
        self.event_bytes_max += decoded.event_bytes_max;
        self.next = decoded.position;
        self.next_at = decoded.stored_at;
    }
}
