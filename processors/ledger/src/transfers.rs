//! One transfer against its two accounts.
//!
//! Invariant: a posting moves the same amount out of one balance and into another, or nothing at all.

use schemas::{
    Account, AccountId, AccountStatus, After, Funds, KeyReused, Outcome, Refusal, RefusalReason,
    Replayed, Timestamp, Transfer, TransferOrder, Verdict,
};

use crate::AccountRow;
use crate::batch::Item;
use crate::decide::State;

/// Where a transfer's rows stand.
#[derive(Clone, Copy)]
pub(crate) struct Places {
    pub(crate) debit: usize,
    pub(crate) credit: usize,
    pub(crate) transfer: usize,
}

/// Whether a key was used before.
pub(crate) enum Seen {
    Never,
    /// Before this batch.
    Stored(Box<Transfer>),
    /// Earlier in this batch, at this place among the outcomes.
    Here(usize),
}

pub(crate) fn decide(
    state: &mut State,
    item: &Item,
    order: &TransferOrder,
    places: Places,
) -> (Timestamp, Outcome) {
    if let Some(first) = first_answer(state, places.transfer) {
        return (state.now, repeat(first, order));
    }
    let decided_at = [places.debit, places.credit]
        .into_iter()
        .filter_map(|place| state.accounts[place].as_ref())
        .fold(state.now, |at, row| at.max(row.changed_at));
    let verdict = match check(state, order, places) {
        Ok(after) => post(state, places, after, decided_at),
        Err(refusal) => Verdict::Refused {
            refusal,
            seen: state.accounts[places.debit]
                .as_ref()
                .map(|row| seen(&row.account, order)),
        },
    };
    let outcome = Outcome::Decided(Transfer {
        id: order.id(&item.ledger_name),
        order: order.clone(),
        accepted_at: item.accepted_at,
        decided_at,
        partition: item.at.partition,
        position: item.at.position,
        actor: Some(item.actor.clone()),
        verdict,
    });
    state.seen[places.transfer] = Seen::Here(state.outcomes.len());
    (decided_at, outcome)
}

fn first_answer(state: &State, place: usize) -> Option<&Transfer> {
    match &state.seen[place] {
        Seen::Never => None,
        Seen::Stored(transfer) => Some(transfer),
        Seen::Here(place) => match &state.outcomes[*place].1 {
            Outcome::Decided(transfer) => Some(transfer),
            _ => unreachable!("only a first decision is remembered"),
        },
    }
}

/// The same request gets the first answer; another request under the same key gets nothing but an explanation.
fn repeat(first: &Transfer, order: &TransferOrder) -> Outcome {
    let differs = first.order.differs(order);
    if differs.is_empty() {
        Outcome::Replayed(Replayed {
            transfer: first.clone(),
        })
    } else {
        Outcome::KeyReused(KeyReused {
            transfer_id: first.id,
            differs,
        })
    }
}

/// What a refusal tells of the debit account.
fn seen(account: &Account, order: &TransferOrder) -> schemas::Seen {
    let comparable = account.balance.exponent == order.exponent;
    schemas::Seen {
        version: account.version,
        funds: comparable.then(|| Funds {
            balance: account.balance.minor,
            min_balance: account.min_balance.map(|least| least.minor),
        }),
    }
}

/// The two balances after the posting, or why there is none.
fn check(state: &State, order: &TransferOrder, places: Places) -> Result<(i64, i64), Refusal> {
    if places.debit == places.credit {
        return Err(refusal(
            RefusalReason::AccountsMustDiffer,
            format!(
                "the debit account and the credit account are both {}",
                order.debit_account
            ),
        ));
    }
    let debit = usable(
        state.accounts[places.debit].as_ref(),
        "debit",
        &order.debit_account,
    )?;
    let credit = usable(
        state.accounts[places.credit].as_ref(),
        "credit",
        &order.credit_account,
    )?;
    for account in [debit, credit] {
        if account.currency != order.currency || account.balance.exponent != order.exponent {
            return Err(refusal(
                RefusalReason::CurrencyDiffers,
                format!(
                    "account {} holds {}, not {}",
                    account.id, account.currency, order.currency
                ),
            ));
        }
    }
    let overflow = |account: &Account| {
        refusal(
            RefusalReason::BalanceOverflow,
            format!(
                "the balance of account {} would not fit 64 bits",
                account.id
            ),
        )
    };
    let amount = order.amount.minor();
    let debit_after = debit
        .balance
        .minor
        .checked_sub(amount)
        .ok_or_else(|| overflow(debit))?;
    if let Some(least) = debit.min_balance.filter(|least| debit_after < least.minor) {
        return Err(refusal(
            RefusalReason::InsufficientFunds,
            format!(
                "account {} has {} and may not fall below {least}",
                debit.id, debit.balance
            ),
        ));
    }
    let credit_after = credit
        .balance
        .minor
        .checked_add(amount)
        .ok_or_else(|| overflow(credit))?;
    Ok((debit_after, credit_after))
}

fn usable<'a>(
    row: Option<&'a AccountRow>,
    side: &str,
    id: &AccountId,
) -> Result<&'a Account, Refusal> {
    let Some(row) = row else {
        return Err(refusal(
            RefusalReason::AccountUnknown,
            format!("there is no {side} account {id}"),
        ));
    };
    match row.account.status {
        AccountStatus::Open => Ok(&row.account),
        AccountStatus::Frozen => Err(refusal(
            RefusalReason::AccountFrozen,
            format!("the {side} account {id} is frozen"),
        )),
        AccountStatus::Closed => Err(refusal(
            RefusalReason::AccountClosed,
            format!("the {side} account {id} is closed"),
        )),
    }
}

fn refusal(reason: RefusalReason, detail: String) -> Refusal {
    Refusal { reason, detail }
}

fn post(state: &mut State, places: Places, after: (i64, i64), decided_at: Timestamp) -> Verdict {
    let mut move_to = |place: usize, balance: i64| {
        let row = state.accounts[place].as_mut().expect("checked to exist");
        row.account.balance.minor = balance;
        row.account.version += 1;
        row.changed_at = decided_at;
        state.touched[place] = true;
        After {
            version: row.account.version,
            balance,
        }
    };
    Verdict::Posted {
        debit: move_to(places.debit, after.0),
        credit: move_to(places.credit, after.1),
    }
}
