//! What can be decided about a command.
//!
//! Invariant: every command has exactly one outcome, and a refusal is an outcome, never an error.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{Account, AccountId, Metadata, Transfer, TransferId};

macro_rules! reasons {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// Why a command was refused; stable text for programs.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum RefusalReason { $($(#[$doc])* $name,)* }

        impl RefusalReason {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|reason| reason.as_str() == text)
            }
        }
    };
}

reasons! {
    AccountUnknown = "account_unknown",
    AccountFrozen = "account_frozen",
    AccountClosed = "account_closed",
    AccountsMustDiffer = "accounts_must_differ",
    CurrencyDiffers = "currency_differs",
    InsufficientFunds = "insufficient_funds",
    BalanceOverflow = "balance_overflow",
    /// The account exists and was opened by a different request.
    AccountExists = "account_exists",
    /// Only an account with a zero balance can be closed.
    BalanceNotZero = "balance_not_zero",
    /// The new `min_balance` does not fit the currency.
    MinBalanceInvalid = "min_balance_invalid",
    /// The new `min_balance` is above the balance.
    BalanceBelowMinimum = "balance_below_minimum",
}

impl fmt::Display for RefusalReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A reason and the sentence that goes with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub reason: RefusalReason,
    pub detail: String,
}

/// The key was seen before with the same request: the first answer again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct Replayed {
    pub transfer: Transfer,
}

/// The key was seen before with another request: nothing happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct KeyReused {
    /// The transfer that owns the key.
    pub transfer_id: TransferId,
    /// Names of the fields in which the two requests differ.
    pub differs: Vec<String>,
}

/// A change of an account that was not made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct AccountRefused {
    pub id: AccountId,
    /// What was asked: `open_account`, `change_account`, `freeze_account`, …
    pub command: String,
    pub reason: RefusalReason,
    pub detail: String,
    /// For `account_exists`: the fields in which the two requests differ.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub differs: Vec<String>,
}

/// A command that can never be decided; its bytes are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
pub struct DeadLettered {
    /// Stable name of the fault, such as `json_malformed`.
    pub reason: String,
    pub detail: String,
}

/// The one outcome of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// For the first time under its key: posted or refused.
    Decided(Transfer),
    Replayed(Replayed),
    KeyReused(KeyReused),
    AccountOpened(Account),
    AccountChanged(Account),
    AccountFrozen(Account),
    AccountUnfrozen(Account),
    AccountClosed(Account),
    /// The account already is as asked.
    AccountUnchanged(Account),
    AccountRefused(AccountRefused),
    DeadLettered(DeadLettered),
}

/// Text that a client attached, for size accounting.
pub(crate) fn text_bytes(description: Option<&str>, metadata: Option<&Metadata>) -> usize {
    description.map_or(0, json_text_bytes) + metadata.map_or(0, |metadata| metadata.as_str().len())
}

/// Bytes of a string once it is written as JSON, without the quotes.
fn json_text_bytes(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
            0..0x20 => 6,
            _ => 1,
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_text_bytes_is_what_the_encoder_writes() {
        let text: String = (0..0x250).filter_map(char::from_u32).collect();
        let written = serde_json::to_string(&text).unwrap().len() - 2;
        assert_eq!(json_text_bytes(&text), written);
    }

    #[test]
    fn the_text_of_a_reason_is_its_json() {
        for reason in RefusalReason::ALL {
            assert_eq!(serde_json::to_value(reason).unwrap(), reason.as_str());
            assert_eq!(RefusalReason::parse(reason.as_str()), Some(*reason));
        }
    }
}
