//! One command against its outcome.
//!
//! Invariant: an outcome says nothing about the client's request that the command on the log does not say.

use std::fmt::Debug;

use journal::Ledgers;
use schemas::{
    AccountChange, AccountId, Command, Event, Metadata, Order, Outcome, Timestamp, Transfer,
    TransferOrder, partition_of,
};
use sha2::{Digest, Sha256};

use crate::journal::DeadRow;

/// A line of a record on COMMANDS.
pub(crate) struct Line<'a> {
    pub(crate) text: &'a [u8],
    /// When the log stored its record.
    pub(crate) stored_at: Timestamp,
    /// P.
    pub(crate) partitions: u16,
}

/// How an outcome differs from its command, field by field; usually nothing.
pub(crate) fn differences(
    line: &Line,
    ledgers: &Ledgers,
    event: &Event,
    dead: Option<&DeadRow>,
) -> Vec<String> {
    let mut differences = Differences(Vec::new());
    if let Outcome::DeadLettered(_) = event.outcome {
        differences.dead_letter(line, dead);
        return differences.0;
    }
    let command = match Command::decode(line.text, |ledger| {
        ledgers.get(ledger).map(|ledger| &ledger.units)
    }) {
        Ok(command) => command,
        Err(invalid) => return vec![format!("the line is no command: {invalid}")],
    };
    differences.field("ledger", &Some(&command.ledger), &event.ledger.as_ref());
    let partition = partition_of(command.account(), line.partitions);
    differences.field("partition", &partition, &event.at.partition);
    match &command.order {
        Order::Transfer(order) => differences.transfer(line, &command, order, event),
        Order::Account(id, change) => differences.account(id, change, &event.outcome),
    }
    differences.0
}

struct Differences(Vec<String>);

impl Differences {
    fn field<T: PartialEq + Debug>(&mut self, name: &str, expected: &T, found: &T) {
        if expected != found {
            self.0
                .push(format!("{name} is {found:?}, expected {expected:?}"));
        }
    }

    fn dead_letter(&mut self, line: &Line, dead: Option<&DeadRow>) {
        let Some(dead) = dead else {
            self.0.push("its row is gone".to_owned());
            return;
        };
        if dead.digest[..] != Sha256::digest(line.text)[..] {
            self.0.push("other bytes were kept".to_owned());
        }
        self.field("recorded_at", &line.stored_at, &dead.recorded_at);
    }

    fn transfer(&mut self, line: &Line, command: &Command, order: &TransferOrder, event: &Event) {
        match &event.outcome {
            Outcome::Decided(transfer) => {
                self.request(command, order, transfer);
                let accepted_at = command
                    .accepted_at
                    .map_or(line.stored_at, |at| at.min(line.stored_at));
                self.field("accepted_at", &accepted_at, &transfer.accepted_at);
            }
            Outcome::Replayed(replayed) => {
                let first = &replayed.transfer;
                self.request(command, order, first);
                if first.partition == event.at.partition && first.position > event.at.position {
                    self.0
                        .push(format!("it repeats a later decision at {}", first.position));
                }
            }
            Outcome::KeyReused(reused) => {
                self.field(
                    "transfer_id",
                    &order.id(&command.ledger),
                    &reused.transfer_id,
                );
            }
            _ => self.0.push("the command is a transfer".to_owned()),
        }
    }

    fn request(&mut self, command: &Command, order: &TransferOrder, transfer: &Transfer) {
        let found = &transfer.order;
        self.field("id", &order.id(&command.ledger), &transfer.id);
        self.field("key", &order.idempotency_key, &found.idempotency_key);
        self.field("debit_account", &order.debit_account, &found.debit_account);
        self.field(
            "credit_account",
            &order.credit_account,
            &found.credit_account,
        );
        let amount = |order: &TransferOrder| order.money(order.amount.minor());
        if amount(order) != amount(found) {
            self.0.push(format!(
                "amount is {}, expected {}",
                amount(found),
                amount(order)
            ));
        }
        self.field("currency", &order.currency, &found.currency);
        self.field("description", &order.description, &found.description);
        // Versions before this one kept numbers a little beside those of the line.
        if !Metadata::is_repeat(order.metadata.as_ref(), found.metadata.as_ref()) {
            self.field("metadata", &order.metadata, &found.metadata);
        }
    }

    fn account(&mut self, id: &AccountId, change: &AccountChange, outcome: &Outcome) {
        let found = match (change, outcome) {
            (_, Outcome::AccountRefused(refused)) => {
                self.field("command", &change.command(), &refused.command.as_str());
                &refused.id
            }
            (_, Outcome::AccountUnchanged(account))
            | (AccountChange::Open { .. }, Outcome::AccountOpened(account))
            | (AccountChange::Change { .. }, Outcome::AccountChanged(account))
            | (AccountChange::Freeze, Outcome::AccountFrozen(account))
            | (AccountChange::Unfreeze, Outcome::AccountUnfrozen(account))
            | (AccountChange::Close, Outcome::AccountClosed(account)) => &account.id,
            _ => {
                self.0.push(format!("the command is {}", change.command()));
                return;
            }
        };
        self.field("account", id, found);
    }
}
