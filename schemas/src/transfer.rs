//! A transfer as it was decided.
//!
//! Invariant: a decided transfer never changes, and what it says of its end belongs together: a posted one has both
//! versions and balances, a refused one its reason.

mod wire;

use crate::{
    AccountId, Actor, EventKind, Money, Partition, Position, Refusal, Timestamp, TransferId,
    TransferOrder,
};

pub use wire::TransferStatus;
pub(crate) use wire::Wire;

/// A decided transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transfer {
    pub id: TransferId,
    /// What was asked for.
    pub order: TransferOrder,
    pub accepted_at: Timestamp,
    pub decided_at: Timestamp,
    pub partition: Partition,
    pub position: Position,
    /// Who asked first; `None` where a version before this one decided.
    pub actor: Option<Actor>,
    pub verdict: Verdict,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Applied to both balances.
    Posted { debit: After, credit: After },
    /// Decided against; no balance changed.
    Refused {
        refusal: Refusal,
        /// The debit account then; `None` where there was none.
        seen: Option<Seen>,
    },
}

/// One of the two accounts after a posting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    pub version: i64,
    /// In minor units.
    pub balance: i64,
}

/// An account as a refusal saw it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    pub version: i64,
    /// `None` where the account counts with other decimals than the transfer.
    pub funds: Option<Funds>,
}

/// In minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Funds {
    pub balance: i64,
    /// `None` is unlimited.
    pub min_balance: Option<i64>,
}

impl Transfer {
    pub fn kind(&self) -> EventKind {
        match self.verdict {
            Verdict::Posted { .. } => EventKind::TransferPosted,
            Verdict::Refused { .. } => EventKind::TransferRefused,
        }
    }

    pub fn status(&self) -> TransferStatus {
        match self.verdict {
            Verdict::Posted { .. } => TransferStatus::Posted,
            Verdict::Refused { .. } => TransferStatus::Refused,
        }
    }

    /// Why it was refused.
    pub fn refusal(&self) -> Option<&Refusal> {
        match &self.verdict {
            Verdict::Posted { .. } => None,
            Verdict::Refused { refusal, .. } => Some(refusal),
        }
    }

    /// The version that this posting gave to one of its two accounts.
    pub fn version_of(&self, account: &AccountId) -> Option<i64> {
        match &self.verdict {
            Verdict::Posted { debit, .. } if self.order.debit_account == *account => {
                Some(debit.version)
            }
            Verdict::Posted { credit, .. } => Some(credit.version),
            Verdict::Refused { .. } => None,
        }
    }
}

/// A transfer on the log that nobody has decided yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingTransfer {
    pub id: TransferId,
    pub order: TransferOrder,
    pub accepted_at: Timestamp,
    pub partition: Partition,
    pub position: Position,
}

impl TransferOrder {
    /// Minor units of the transfer's currency.
    pub fn money(&self, minor: i64) -> Money {
        Money {
            minor,
            exponent: self.exponent,
        }
    }
}
