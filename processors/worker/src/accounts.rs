//! What a commit does to the rows of accounts, statement by statement.
//!
//! Invariant: each row is written by one statement, with everything about it: a table checks its constraints at every
//! statement, and what an account holds may break the limit that it had before.

use journal::Decided;
use ledger::{AccountKey, AccountRow};
use schemas::Outcome;

use crate::commit::Commit;

/// An account's row, as it is to be.
pub type AccountEntry = (AccountKey, AccountRow);

/// One statement; rows in the order of their keys.
#[derive(Debug)]
pub enum AccountWrite<'a> {
    /// Accounts that did not exist.
    Open(Vec<&'a AccountEntry>),
    /// Accounts that commands changed, and perhaps money moved on; few. Everything that can change.
    Rewrite(Vec<&'a AccountEntry>),
    /// Accounts that only money moved on: balance, version and time; with the commit's own row.
    Post(Vec<&'a AccountEntry>),
}

/// The statements that a commit makes of its accounts.
pub fn account_writes(commit: &Commit) -> Vec<AccountWrite<'_>> {
    let rewritten = rewritten(commit);
    let (rewrite, post): (Vec<_>, Vec<_>) = commit
        .changed
        .iter()
        .partition(|(key, _)| rewritten.binary_search(key).is_ok());
    let open: Vec<_> = commit.opened.iter().collect();
    [
        (!open.is_empty()).then_some(AccountWrite::Open(open)),
        (!rewrite.is_empty()).then_some(AccountWrite::Rewrite(rewrite)),
        (!post.is_empty()).then_some(AccountWrite::Post(post)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Accounts whose limit, status or metadata were changed, sorted.
fn rewritten(commit: &Commit) -> Vec<AccountKey> {
    let mut rewritten: Vec<_> = commit
        .events
        .iter()
        .filter_map(|Decided { ledger, event, .. }| match &event.outcome {
            Outcome::AccountChanged(account)
            | Outcome::AccountFrozen(account)
            | Outcome::AccountUnfrozen(account)
            | Outcome::AccountClosed(account) => Some(AccountKey {
                ledger: (*ledger)?,
                id: account.id.clone(),
            }),
            Outcome::Decided(_)
            | Outcome::Replayed(_)
            | Outcome::KeyReused(_)
            | Outcome::AccountOpened(_)
            | Outcome::AccountUnchanged(_)
            | Outcome::AccountRefused(_)
            | Outcome::DeadLettered(_) => None,
        })
        .collect();
    rewritten.sort_unstable();
    rewritten.dedup();
    rewritten
}
