//! An account as the world sees it.
//!
//! Invariant: balances are credit-normal (credits minus debits) and written with every decimal of the currency.

use serde::{Deserialize, Serialize};

use crate::{AccountId, Currency, Metadata, Money, Timestamp};

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
pub enum AccountStatus {
    Open,
    /// Refuses transfers on either side until it is unfrozen.
    Frozen,
    /// Refuses transfers on either side for ever.
    Closed,
}

impl AccountStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Frozen => "frozen",
            Self::Closed => "closed",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::Open, Self::Frozen, Self::Closed]
            .into_iter()
            .find(|status| status.as_str() == text)
    }
}

/// An account with its balance after the last posting.
#[derive(
    Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema,
)]
pub struct Account {
    pub id: AccountId,
    pub currency: Currency,
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    pub status: AccountStatus,
    /// Decimal string in the currency's units: credits minus debits.
    pub balance: Money,
    /// The balance may not fall below this; `null` is unlimited.
    pub min_balance: Option<Money>,
    /// Number of postings so far.
    pub version: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<Metadata>,
    pub opened_at: Timestamp,
}

/// The request that opened an account: a repeat of it is answered with the account, another one conflicts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opening {
    pub currency: Currency,
    pub kind: Option<String>,
    /// In minor units; `None` is unlimited.
    pub min_balance: Option<i64>,
    pub metadata: Option<Metadata>,
}

impl Opening {
    /// Names of the fields in which `other` asks for something else.
    pub fn differs(&self, other: &Self) -> Vec<&'static str> {
        [
            ("currency", self.currency != other.currency),
            ("type", self.kind != other.kind),
            ("min_balance", self.min_balance != other.min_balance),
            (
                "metadata",
                !Metadata::is_repeat(self.metadata.as_ref(), other.metadata.as_ref()),
            ),
        ]
        .into_iter()
        .filter_map(|(field, differs)| differs.then_some(field))
        .collect()
    }
}
