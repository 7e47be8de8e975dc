//! The same rules as plainly as possible: one command at a time, no batches, no partitions.

use std::collections::BTreeMap;

use schemas::{Outcome, Verdict};

use super::scenario::{Ask, Transfer};

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) accounts: BTreeMap<&'static str, Held>,
    keys: BTreeMap<String, (Transfer, String)>,
}

pub(crate) struct Held {
    pub(crate) balance: i64,
    pub(crate) version: i64,
    status: &'static str,
    least: Option<i64>,
}

impl Model {
    /// Decides a command and says the outcome.
    pub(crate) fn decide(&mut self, ask: &Ask) -> String {
        let status = |model: &Self, id| model.accounts.get(id).map(|held| held.status);
        let said = match ask {
            Ask::Dead(reason) => return format!("dead {reason}"),
            Ask::Transfer(transfer) => return self.transfer(transfer),
            Ask::Open(id) if self.accounts.contains_key(id) => "unchanged",
            Ask::Open(id) => {
                let held = Held {
                    balance: 0,
                    version: 0,
                    status: "open",
                    least: (*id != "world").then_some(0),
                };
                self.accounts.insert(id, held);
                "opened"
            }
            Ask::Freeze(id) => match status(self, id) {
                Some("open") => self.set(id, "frozen"),
                Some("frozen") => "unchanged",
                other => refused(other),
            },
            Ask::Unfreeze(id) => match status(self, id) {
                Some("frozen") => {
                    self.set(id, "open");
                    "unfrozen"
                }
                Some("open") => "unchanged",
                other => refused(other),
            },
            Ask::Close(id) => match status(self, id) {
                None => "refused account_unknown",
                Some("closed") => "unchanged",
                Some(_) if self.accounts[id].balance != 0 => "refused balance_not_zero",
                Some(_) => self.set(id, "closed"),
            },
            Ask::Limit(id, least) => match self.accounts.get_mut(id) {
                None => "refused account_unknown",
                Some(held) if held.status == "closed" => "refused account_closed",
                Some(held) if held.balance < *least => "refused balance_below_minimum",
                Some(held) if held.least == Some(*least) => "unchanged",
                Some(held) => {
                    held.least = Some(*least);
                    "changed"
                }
            },
        };
        said.to_owned()
    }

    fn set(&mut self, id: &str, status: &'static str) -> &'static str {
        self.accounts.get_mut(id).expect("looked up before").status = status;
        status
    }

    fn transfer(&mut self, transfer: &Transfer) -> String {
        if transfer.poison {
            return "dead cannot_be_committed".to_owned();
        }
        if let Some((first, answer)) = self.keys.get(&transfer.key) {
            let fields = [
                ("debit_account", first.debit == transfer.debit),
                ("credit_account", first.credit == transfer.credit),
                ("amount", first.amount == transfer.amount),
            ];
            let differs: Vec<&str> = fields
                .iter()
                .filter(|(_, same)| !same)
                .map(|(name, _)| *name)
                .collect();
            return if differs.is_empty() {
                format!("replayed {answer}")
            } else {
                format!("key_reused {}", differs.join(","))
            };
        }
        let answer = match self.refusal(transfer) {
            Some(reason) => format!("refused {reason}"),
            None => self.post(transfer),
        };
        self.remember(transfer, &answer);
        answer
    }

    /// What was answered under this key.
    pub(crate) fn remember(&mut self, transfer: &Transfer, answer: &str) {
        self.keys
            .insert(transfer.key.clone(), (transfer.clone(), answer.to_owned()));
    }

    pub(crate) fn knows(&self, transfer: &Transfer) -> bool {
        self.keys.contains_key(&transfer.key)
    }

    fn refusal(&self, transfer: &Transfer) -> Option<&'static str> {
        if transfer.debit == transfer.credit {
            return Some("accounts_must_differ");
        }
        for id in [transfer.debit, transfer.credit] {
            match self.accounts.get(id).map(|held| held.status) {
                None => return Some("account_unknown"),
                Some("frozen") => return Some("account_frozen"),
                Some("closed") => return Some("account_closed"),
                Some(_) => {}
            }
        }
        let held = &self.accounts[transfer.debit];
        let left = held.balance - transfer.amount;
        let too_little = held.least.is_some_and(|least| left < least);
        too_little.then_some("insufficient_funds")
    }

    fn post(&mut self, transfer: &Transfer) -> String {
        let mut add = |id, amount| {
            let held = self.accounts.get_mut(id).expect("looked up before");
            held.balance += amount;
            held.version += 1;
            (held.version, held.balance)
        };
        let debit = add(transfer.debit, -transfer.amount);
        let credit = add(transfer.credit, transfer.amount);
        format!("posted {}/{} {}/{}", debit.0, credit.0, debit.1, credit.1)
    }
}

fn refused(status: Option<&str>) -> &'static str {
    match status {
        None => "refused account_unknown",
        Some(_) => "refused account_closed",
    }
}

/// Says a real outcome in the words of the model.
pub(crate) fn say(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Decided(transfer) => say_transfer(transfer),
        Outcome::Replayed(replayed) => format!("replayed {}", say_transfer(&replayed.transfer)),
        Outcome::KeyReused(reused) => format!("key_reused {}", reused.differs.join(",")),
        Outcome::AccountOpened(_) => "opened".to_owned(),
        Outcome::AccountChanged(_) => "changed".to_owned(),
        Outcome::AccountFrozen(_) => "frozen".to_owned(),
        Outcome::AccountUnfrozen(_) => "unfrozen".to_owned(),
        Outcome::AccountClosed(_) => "closed".to_owned(),
        Outcome::AccountUnchanged(_) => "unchanged".to_owned(),
        Outcome::AccountRefused(refused) => format!("refused {}", refused.reason),
        Outcome::DeadLettered(dead) => format!("dead {}", dead.reason),
    }
}

fn say_transfer(transfer: &schemas::Transfer) -> String {
    match &transfer.verdict {
        Verdict::Posted { debit, credit } => format!(
            "posted {}/{} {}/{}",
            debit.version, credit.version, debit.balance, credit.balance
        ),
        Verdict::Refused { refusal, .. } => format!("refused {}", refusal.reason),
    }
}
