//! The records of one transaction.
//!
//! Invariant: whole records, in the order of the log: a commit never ends inside one.

use std::collections::BTreeMap;
use std::ops::Range;

use ledger::Batch;
use schemas::{LinePosition, Order, Position, Timestamp};
use streams::ReplyTo;

use crate::commit::{DeadLetter, Slot};
use crate::decode::{Decoded, Line, shorten};

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

/// What one transaction decides: commands and the dead letters between them.
#[derive(Clone, Copy)]
pub(crate) struct Part<'w> {
    /// Of the first record.
    pub(crate) first: Position,
    /// Where the transaction moves its partition to.
    pub(crate) next: Position,
    pub(crate) batch: &'w Batch,
    pub(crate) slots: &'w [Slot],
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

    pub(crate) fn whole(&self) -> Part<'_> {
        Part {
            first: self.first,
            next: self.next,
            batch: &self.batch,
            slots: &self.slots,
        }
    }

    /// The slot of the command with this number, counted from the first; behind the last slot when there are fewer.
    fn slot_of(&self, number: usize) -> usize {
        let mut commands = self
            .slots
            .iter()
            .enumerate()
            .filter(|(_, slot)| is_command(slot));
        commands
            .nth(number)
            .map_or(self.slots.len(), |(slot, _)| slot)
    }

    /// These commands, with the dead letters between them.
    pub(crate) fn part(&self, commands: Range<usize>) -> (Batch, &[Slot]) {
        let from = if commands.start == 0 {
            0
        } else {
            self.slot_of(commands.start)
        };
        let to = match commands.end.checked_sub(1) {
            Some(last) if last >= commands.start => self.slot_of(last) + 1,
            _ => from,
        };
        let items = self.batch.items[commands].to_vec();
        (Batch { items }, &self.slots[from..to])
    }

    /// Makes the command with this number a dead letter, as it can never be committed; says where it stood.
    pub(crate) fn bury(&mut self, number: usize, why: &str) -> LinePosition {
        let place = self.slot_of(number);
        let Slot::Command {
            body,
            headers,
            recorded_at,
        } = self.slots[place].clone()
        else {
            unreachable!("the slot of a command holds a command");
        };
        let item = self.batch.items.remove(number);
        self.slots[place] = Slot::Dead(DeadLetter {
            at: item.at,
            whole: false,
            recorded_at,
            transfer_id: match &item.order {
                Order::Transfer(order) => Some(order.id(&item.ledger_name)),
                Order::Account(..) => None,
            },
            ledger: Some((item.ledger, item.ledger_name)),
            actor: item.actor,
            reason: "cannot_be_committed".to_owned(),
            detail: shorten(why),
            body,
            headers,
        });
        item.at
    }

    /// Buries those that are known to be culprits.
    pub(crate) fn bury_known(&mut self, culprits: &BTreeMap<LinePosition, String>) {
        if culprits.is_empty() {
            return;
        }
        for number in (0..self.batch.items.len()).rev() {
            if let Some(why) = culprits.get(&self.batch.items[number].at) {
                self.bury(number, why);
            }
        }
    }
}

fn is_command(slot: &Slot) -> bool {
    matches!(slot, Slot::Command { .. })
}
