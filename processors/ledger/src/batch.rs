//! What goes into a decision.
//!
//! Invariant: `Rows` answers `Reads` place by place, so that no look-up is needed while deciding.

use schemas::{
    Account, AccountId, Actor, LedgerName, LinePosition, Opening, Order, Timestamp, Transfer,
    TransferId,
};

/// Commands in the order of the log.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    pub items: Vec<Item>,
}

/// One command and where it stands.
#[derive(Debug, Clone)]
pub struct Item {
    pub at: LinePosition,
    /// Number of the ledger in the store.
    pub ledger: i32,
    pub ledger_name: LedgerName,
    pub accepted_at: Timestamp,
    /// Who asked for it.
    pub actor: Actor,
    pub order: Order,
}

/// An account across ledgers; the order is the one in which rows are locked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AccountKey {
    pub ledger: i32,
    pub id: AccountId,
}

/// What a batch touches: both lists sorted, without repeats.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reads {
    pub accounts: Vec<AccountKey>,
    pub transfers: Vec<TransferId>,
    /// For each item, its places in the two lists.
    pub(crate) touches: Vec<Touch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Touch {
    Transfer {
        debit: usize,
        credit: usize,
        transfer: usize,
    },
    Account(usize),
}

/// An account as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    pub account: Account,
    /// The request that opened it.
    pub opening: Opening,
    /// When it last changed; refusals and repeats leave no trace here.
    pub changed_at: Timestamp,
}

/// What is stored for `Reads`, place by place; `None` where there is nothing.
#[derive(Debug, Clone, Default)]
pub struct Rows {
    pub accounts: Vec<Option<AccountRow>>,
    pub transfers: Vec<Option<Transfer>>,
}
