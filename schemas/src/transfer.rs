//! A transfer as the world sees it.
//!
//! Invariant: a decided transfer never changes.

use serde::{Deserialize, Serialize};

use crate::{
    AccountId, Amount, Currency, IdempotencyKey, Metadata, Money, Partition, Position,
    RefusalReason, Timestamp, TransferId, TransferOrder,
};

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TransferStatus {
    /// On the log, not decided yet.
    Pending,
    /// Applied to both balances.
    Posted,
    /// Decided against, for `reason`; no balance changed.
    Refused,
}

impl TransferStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Posted => "posted",
            Self::Refused => "refused",
        }
    }
}

/// Money from one account to another. A ledger is one tenant and sees both sides.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema,
)]
pub struct Transfer {
    pub id: TransferId,
    pub status: TransferStatus,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<RefusalReason>,
    /// The refusal in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Money leaves this account.
    pub debit_account: AccountId,
    /// Money enters this account.
    pub credit_account: AccountId,
    /// Decimal string in the currency's units.
    pub amount: Money,
    pub currency: Currency,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    pub idempotency_key: IdempotencyKey,
    pub accepted_at: Timestamp,
    pub decided_at: Option<Timestamp>,
    pub partition: Partition,
    pub position: Position,
    /// The debit account's version after this posting.
    pub debit_version: Option<i64>,
    pub credit_version: Option<i64>,
    pub debit_balance_after: Option<Money>,
    pub credit_balance_after: Option<Money>,
}

impl Transfer {
    /// What was asked for.
    pub fn order(&self) -> TransferOrder {
        TransferOrder {
            idempotency_key: self.idempotency_key.clone(),
            debit_account: self.debit_account.clone(),
            credit_account: self.credit_account.clone(),
            amount: Amount::from_minor(self.amount.minor).expect("transfers move something"),
            currency: self.currency,
            exponent: self.amount.exponent,
            description: self.description.clone(),
            metadata: self.metadata.clone(),
        }
    }
}
