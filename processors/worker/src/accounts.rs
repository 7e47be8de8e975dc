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

/// The rows that a commit writes, by the statement that writes them; each in the order of their keys.
#[derive(Debug)]
pub struct AccountWrites<'a> {
    /// Accounts that did not exist.
    pub open: Vec<&'a AccountEntry>,
    /// Accounts that commands changed, and perhaps money moved on; few. Everything that can change.
    pub rewrite: Vec<&'a AccountEntry>,
    /// Accounts that only money moved on: balance, version and time; with the commit's own row.
    pub post: Vec<&'a AccountEntry>,
}

impl<'a> AccountWrites<'a> {
    pub fn of(commit: &'a Commit) -> Self {
        let rewritten = rewritten(commit);
        let is_rewritten = |key| rewritten.binary_search(key).is_ok();
        let changed = commit.changed.iter();
        let (rewrite, post) = changed.partition(|(key, _)| is_rewritten(key));
        Self {
            open: commit.opened.iter().collect(),
            rewrite,
            post,
        }
    }
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
