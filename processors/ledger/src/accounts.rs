//! One change of one account.
//!
//! Invariant: a change that would break the account's own limits is refused; a repeat changes nothing.

use schemas::{
    Account, AccountChange, AccountId, AccountRefused, AccountStatus, Metadata, Money, Opening,
    Outcome, RefusalReason, Timestamp, min_balance_field,
};

use crate::AccountRow;
use crate::decide::State;

pub(crate) fn decide(
    state: &mut State,
    place: usize,
    id: &AccountId,
    change: &AccountChange,
) -> (Timestamp, Outcome) {
    let row = &mut state.accounts[place];
    let decided_at = row
        .as_ref()
        .map_or(state.now, |row| row.changed_at.max(state.now));
    let decided = match (change, row.as_mut()) {
        (AccountChange::Open { opening, exponent }, None) => {
            let account = open(id, opening, *exponent, decided_at);
            *row = Some(AccountRow {
                account: account.clone(),
                opening: opening.clone(),
                changed_at: decided_at,
            });
            Ok(Outcome::AccountOpened(account))
        }
        (AccountChange::Open { opening, .. }, Some(row)) => open_again(row, opening),
        (_, None) => Err((
            RefusalReason::AccountUnknown,
            format!("there is no account {id}"),
            vec![],
        )),
        (
            AccountChange::Change {
                min_balance,
                metadata,
            },
            Some(row),
        ) => change_limits(row, min_balance.as_ref(), metadata.as_ref()),
        (AccountChange::Freeze, Some(row)) => freeze(&mut row.account),
        (AccountChange::Unfreeze, Some(row)) => unfreeze(&mut row.account),
        (AccountChange::Close, Some(row)) => close(&mut row.account),
    };
    let outcome = decided.unwrap_or_else(|(reason, detail, differs)| {
        Outcome::AccountRefused(AccountRefused {
            id: id.clone(),
            command: change.command().to_owned(),
            reason,
            detail,
            differs,
        })
    });
    let changed = !matches!(
        outcome,
        Outcome::AccountRefused(_) | Outcome::AccountUnchanged(_)
    );
    if changed && let Some(row) = row {
        row.changed_at = decided_at;
        state.touched[place] = true;
    }
    (decided_at, outcome)
}

type Refused = (RefusalReason, String, Vec<String>);

fn open(id: &AccountId, opening: &Opening, exponent: u8, opened_at: Timestamp) -> Account {
    Account {
        id: id.clone(),
        currency: opening.currency,
        kind: opening.kind.clone(),
        status: AccountStatus::Open,
        balance: Money { minor: 0, exponent },
        min_balance: opening.min_balance.map(|minor| Money { minor, exponent }),
        version: 0,
        metadata: opening.metadata.clone(),
        opened_at,
    }
}

fn open_again(row: &AccountRow, opening: &Opening) -> Result<Outcome, Refused> {
    let differs = row.opening.differs(opening);
    if differs.is_empty() {
        return Ok(Outcome::AccountUnchanged(row.account.clone()));
    }
    Err((
        RefusalReason::AccountExists,
        format!(
            "account {} was opened with another {}",
            row.account.id,
            differs.join(", ")
        ),
        differs.into_iter().map(str::to_owned).collect(),
    ))
}

fn change_limits(
    row: &mut AccountRow,
    min_balance: Option<&Option<String>>,
    metadata: Option<&Option<Metadata>>,
) -> Result<Outcome, Refused> {
    let account = &mut row.account;
    if account.status == AccountStatus::Closed {
        return Err(closed(account));
    }
    let before = account.clone();
    if let Some(limit) = min_balance {
        account.min_balance = checked_limit(&before, limit.as_deref())?;
    }
    if let Some(metadata) = metadata {
        account.metadata.clone_from(metadata);
    }
    Ok(if *account == before {
        Outcome::AccountUnchanged(before)
    } else {
        Outcome::AccountChanged(account.clone())
    })
}

fn checked_limit(account: &Account, limit: Option<&str>) -> Result<Option<Money>, Refused> {
    let Some(limit) = limit else { return Ok(None) };
    let exponent = account.balance.exponent;
    let minor = min_balance_field(limit, exponent)
        .map_err(|invalid| (RefusalReason::MinBalanceInvalid, invalid.detail, vec![]))?;
    if account.balance.minor < minor {
        return Err((
            RefusalReason::BalanceBelowMinimum,
            format!(
                "account {} has {}, less than the new min_balance",
                account.id, account.balance
            ),
            vec![],
        ));
    }
    Ok(Some(Money { minor, exponent }))
}

fn freeze(account: &mut Account) -> Result<Outcome, Refused> {
    match account.status {
        AccountStatus::Open => {
            account.status = AccountStatus::Frozen;
            Ok(Outcome::AccountFrozen(account.clone()))
        }
        AccountStatus::Frozen => Ok(Outcome::AccountUnchanged(account.clone())),
        AccountStatus::Closed => Err(closed(account)),
    }
}

fn unfreeze(account: &mut Account) -> Result<Outcome, Refused> {
    match account.status {
        AccountStatus::Frozen => {
            account.status = AccountStatus::Open;
            Ok(Outcome::AccountUnfrozen(account.clone()))
        }
        AccountStatus::Open => Ok(Outcome::AccountUnchanged(account.clone())),
        AccountStatus::Closed => Err(closed(account)),
    }
}

fn close(account: &mut Account) -> Result<Outcome, Refused> {
    if account.status == AccountStatus::Closed {
        return Ok(Outcome::AccountUnchanged(account.clone()));
    }
    if account.balance.minor != 0 {
        return Err((
            RefusalReason::BalanceNotZero,
            format!(
                "account {} has {}; only an empty account can be closed",
                account.id, account.balance
            ),
            vec![],
        ));
    }
    account.status = AccountStatus::Closed;
    Ok(Outcome::AccountClosed(account.clone()))
}

fn closed(account: &Account) -> Refused {
    (
        RefusalReason::AccountClosed,
        format!("account {} is closed", account.id),
        vec![],
    )
}
