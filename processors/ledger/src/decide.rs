//! A batch, command by command.
//!
//! Invariant: each command sees what the ones before it left behind, as if it came alone.

use schemas::{Order, Outcome, Timestamp};

use crate::batch::Touch;
use crate::transfers::Seen;
use crate::{AccountKey, AccountRow, Batch, Reads, Rows, accounts, transfers};

/// Version of the rules by which commands are decided, kept with every commit: one that decides any command otherwise
/// has another number, so that it does not judge what was decided before it.
pub const RULES: i16 = 1;

/// What a batch comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// One outcome per item, in their order, each with the time of its decision.
    pub outcomes: Vec<(Timestamp, Outcome)>,
    /// Accounts that did not exist before.
    pub opened: Vec<(AccountKey, AccountRow)>,
    /// Accounts that existed and changed, in the order of `Reads::accounts`.
    pub changed: Vec<(AccountKey, AccountRow)>,
}

/// The rows that a batch touches.
pub fn reads(batch: &Batch) -> Reads {
    let mut accounts = Vec::with_capacity(2 * batch.items.len());
    let mut ids = Vec::with_capacity(batch.items.len());
    for item in &batch.items {
        let key = |id: &schemas::AccountId| AccountKey {
            ledger: item.ledger,
            id: id.clone(),
        };
        match &item.order {
            Order::Transfer(order) => {
                accounts.push(key(&order.debit_account));
                accounts.push(key(&order.credit_account));
                ids.push(order.id(&item.ledger_name));
            }
            Order::Account(id, _) => accounts.push(key(id)),
        }
    }
    let keys = accounts.clone();
    accounts.sort_unstable();
    accounts.dedup();
    let mut transfers = ids.clone();
    transfers.sort_unstable();
    transfers.dedup();

    let (mut keys, mut ids) = (keys.iter(), ids.iter());
    let mut account = || {
        let key = keys.next().expect("as many keys as were pushed above");
        accounts
            .binary_search(key)
            .expect("every key was sorted in above")
    };
    let mut transfer = || {
        let id = ids.next().expect("as many ids as were pushed above");
        transfers
            .binary_search(id)
            .expect("every id was sorted in above")
    };
    let touches = batch
        .items
        .iter()
        .map(|item| match &item.order {
            Order::Transfer(_) => Touch::Transfer {
                debit: account(),
                credit: account(),
                transfer: transfer(),
            },
            Order::Account(..) => Touch::Account(account()),
        })
        .collect();
    Reads {
        accounts,
        transfers,
        touches,
    }
}

/// Decides a batch at `now`, against the rows that are stored for `reads(&batch)`.
///
/// # Panics
/// When `rows` does not answer `reads` place by place.
pub fn apply(reads: &Reads, rows: Rows, batch: &Batch, now: Timestamp) -> Decision {
    assert_eq!(
        reads.touches.len(),
        batch.items.len(),
        "reads of another batch"
    );
    assert_eq!(
        reads.accounts.len(),
        rows.accounts.len(),
        "rows of other reads"
    );
    assert_eq!(
        reads.transfers.len(),
        rows.transfers.len(),
        "rows of other reads"
    );
    let existed: Vec<bool> = rows.accounts.iter().map(Option::is_some).collect();
    let mut state = State {
        touched: vec![false; rows.accounts.len()],
        accounts: rows.accounts,
        seen: rows
            .transfers
            .into_iter()
            .map(|stored| stored.map_or(Seen::Never, |first| Seen::Stored(Box::new(first))))
            .collect(),
        outcomes: Vec::with_capacity(batch.items.len()),
        now,
    };
    for (item, touch) in batch.items.iter().zip(&reads.touches) {
        let decided = match (&item.order, *touch) {
            (
                Order::Transfer(order),
                Touch::Transfer {
                    debit,
                    credit,
                    transfer,
                },
            ) => transfers::decide(
                &mut state,
                item,
                order,
                transfers::Places {
                    debit,
                    credit,
                    transfer,
                },
            ),
            (Order::Account(id, change), Touch::Account(place)) => {
                accounts::decide(&mut state, place, id, change)
            }
            _ => unreachable!("touches follow the items"),
        };
        state.outcomes.push(decided);
    }
    state.into_decision(reads, &existed)
}

/// The rows while a batch is decided.
pub(crate) struct State {
    pub(crate) accounts: Vec<Option<AccountRow>>,
    pub(crate) touched: Vec<bool>,
    pub(crate) seen: Vec<Seen>,
    pub(crate) outcomes: Vec<(Timestamp, Outcome)>,
    pub(crate) now: Timestamp,
}

impl State {
    fn into_decision(self, reads: &Reads, existed: &[bool]) -> Decision {
        let (mut opened, mut changed) = (Vec::new(), Vec::new());
        for (place, row) in self.accounts.into_iter().enumerate() {
            if let (true, Some(row)) = (self.touched[place], row) {
                let list = if existed[place] {
                    &mut changed
                } else {
                    &mut opened
                };
                list.push((reads.accounts[place].clone(), row));
            }
        }
        Decision {
            outcomes: self.outcomes,
            opened,
            changed,
        }
    }
}
