//! The same rules once more, as plainly as possible: one command at a time, wide integers, no batches.

use std::collections::BTreeMap;

use schemas::{
    AccountChange, AccountStatus, Currency, Metadata, Opening, Order, TransferOrder, parse_signed,
};

use crate::words::say_posted;

#[derive(Default)]
pub(crate) struct Model {
    pub(crate) accounts: BTreeMap<(i32, String), Held>,
    keys: BTreeMap<(i32, String), (TransferOrder, String)>,
}

pub(crate) struct Held {
    opening: Opening,
    currency: Currency,
    exponent: u8,
    pub(crate) status: AccountStatus,
    pub(crate) balance: i128,
    pub(crate) min_balance: Option<i128>,
    metadata: Option<Metadata>,
    pub(crate) version: i64,
}

impl Model {
    /// Decides a command and says the outcome in the words of the scripts.
    pub(crate) fn decide(&mut self, ledger: i32, order: &Order) -> String {
        match order {
            Order::Transfer(order) => self.transfer(ledger, order),
            Order::Account(id, change) => {
                let place = (ledger, id.to_string());
                if let AccountChange::Open { opening, exponent } = change {
                    return self.open(place, opening, *exponent);
                }
                match self.accounts.get_mut(&place) {
                    None => "refused account_unknown".to_owned(),
                    Some(held) => held.change(change),
                }
            }
        }
    }

    fn open(&mut self, place: (i32, String), opening: &Opening, exponent: u8) -> String {
        if let Some(held) = self.accounts.get(&place) {
            let differs = held.opening.differs(opening).join(",");
            return match differs.as_str() {
                "" => "unchanged".to_owned(),
                differs => format!("refused account_exists {differs}"),
            };
        }
        let held = Held {
            opening: opening.clone(),
            currency: opening.currency,
            exponent,
            status: AccountStatus::Open,
            balance: 0,
            min_balance: opening.min_balance.map(i128::from),
            metadata: opening.metadata.clone(),
            version: 0,
        };
        self.accounts.insert(place, held);
        "opened".to_owned()
    }

    fn transfer(&mut self, ledger: i32, order: &TransferOrder) -> String {
        let key = (ledger, order.idempotency_key.to_string());
        if let Some((first, answer)) = self.keys.get(&key) {
            return if first == order {
                format!("replayed {answer}")
            } else {
                format!("key_reused {}", differing_fields(first, order).join(","))
            };
        }
        let answer = match self.refusal(ledger, order) {
            Some(reason) => format!("refused {reason}"),
            None => self.post(ledger, order),
        };
        self.keys.insert(key, (order.clone(), answer.clone()));
        answer
    }

    fn refusal(&self, ledger: i32, order: &TransferOrder) -> Option<&'static str> {
        if order.debit_account == order.credit_account {
            return Some("accounts_must_differ");
        }
        let held = |id: &schemas::AccountId| self.accounts.get(&(ledger, id.to_string()));
        let sides = [held(&order.debit_account), held(&order.credit_account)];
        for side in sides {
            match side.map(|held| held.status) {
                None => return Some("account_unknown"),
                Some(AccountStatus::Frozen) => return Some("account_frozen"),
                Some(AccountStatus::Closed) => return Some("account_closed"),
                Some(AccountStatus::Open) => {}
            }
        }
        let [debit, credit] = [sides[0]?, sides[1]?];
        if debit.currency != order.currency || credit.currency != order.currency {
            return Some("currency_differs");
        }
        let debit_after = debit.balance - i128::from(order.amount.minor());
        let credit_after = credit.balance + i128::from(order.amount.minor());
        if debit_after < i128::from(i64::MIN) {
            return Some("balance_overflow");
        }
        if debit.min_balance.is_some_and(|least| debit_after < least) {
            return Some("insufficient_funds");
        }
        (credit_after > i128::from(i64::MAX)).then_some("balance_overflow")
    }

    fn post(&mut self, ledger: i32, order: &TransferOrder) -> String {
        let mut add = |id: &schemas::AccountId, minor: i128| {
            let held = self.accounts.get_mut(&(ledger, id.to_string())).unwrap();
            held.balance += minor;
            held.version += 1;
            (held.version, held.balance)
        };
        let amount = i128::from(order.amount.minor());
        let debit = add(&order.debit_account, -amount);
        let credit = add(&order.credit_account, amount);
        say_posted([debit.0, credit.0], [debit.1, credit.1], order.exponent)
    }
}

impl Held {
    fn change(&mut self, change: &AccountChange) -> String {
        let said = match (change, self.status) {
            (AccountChange::Close, AccountStatus::Closed)
            | (AccountChange::Freeze, AccountStatus::Frozen)
            | (AccountChange::Unfreeze, AccountStatus::Open) => "unchanged",
            (_, AccountStatus::Closed) => "refused account_closed",
            (AccountChange::Close, _) if self.balance != 0 => "refused balance_not_zero",
            (AccountChange::Close, _) => {
                self.status = AccountStatus::Closed;
                "closed"
            }
            (AccountChange::Freeze, AccountStatus::Open) => {
                self.status = AccountStatus::Frozen;
                "frozen"
            }
            (AccountChange::Unfreeze, AccountStatus::Frozen) => {
                self.status = AccountStatus::Open;
                "unfrozen"
            }
            (
                AccountChange::Change {
                    min_balance,
                    metadata,
                },
                _,
            ) => {
                return self.limit(min_balance.as_ref(), metadata.as_ref());
            }
            (AccountChange::Open { .. }, _) => unreachable!("opening is decided elsewhere"),
        };
        said.to_owned()
    }

    fn limit(
        &mut self,
        min_balance: Option<&Option<String>>,
        metadata: Option<&Option<Metadata>>,
    ) -> String {
        let limit = match min_balance {
            None => self.min_balance,
            Some(None) => None,
            Some(Some(text)) => match parse_signed(text, self.exponent, "") {
                Err(_) => return "refused min_balance_invalid".to_owned(),
                Ok(least) if i128::from(least) > self.balance => {
                    return "refused balance_below_minimum".to_owned();
                }
                Ok(least) => Some(i128::from(least)),
            },
        };
        let metadata = metadata.unwrap_or(&self.metadata).clone();
        if (limit, &metadata) == (self.min_balance, &self.metadata) {
            return "unchanged".to_owned();
        }
        (self.min_balance, self.metadata) = (limit, metadata);
        let limit = limit.map_or("unlimited".to_owned(), |least| {
            format!(
                "min={}",
                schemas::format_minor(i64::try_from(least).unwrap(), self.exponent)
            )
        });
        let metadata = self
            .metadata
            .as_ref()
            .map(|json| format!(" metadata={}", json.as_str()));
        format!("changed {limit}{}", metadata.unwrap_or_default())
    }
}

fn differing_fields(first: &TransferOrder, second: &TransferOrder) -> Vec<&'static str> {
    let mut fields = Vec::new();
    let mut compare = |field, equal: bool| {
        if !equal {
            fields.push(field);
        }
    };
    compare("debit_account", first.debit_account == second.debit_account);
    compare(
        "credit_account",
        first.credit_account == second.credit_account,
    );
    compare("amount", first.amount == second.amount);
    compare("currency", first.currency == second.currency);
    compare("description", first.description == second.description);
    compare("metadata", first.metadata == second.metadata);
    fields
}
