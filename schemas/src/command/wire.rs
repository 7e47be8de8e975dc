//! Commands as lines of a record.
//!
//! Invariant: what is written here is read back as the same command.

use std::borrow::Cow;

use serde::Serialize;

use super::{AccountChange, Command, TransferOrder};
use crate::amount::format_minor;
use crate::{
    AccountId, Actor, Currency, IdempotencyKey, LedgerName, Metadata, Timestamp, TraceParent,
};

impl TransferOrder {
    pub(super) fn to_wire<'a>(&'a self, command: &'a Command) -> TransferWire<'a> {
        TransferWire {
            ledger: &command.ledger,
            idempotency_key: &self.idempotency_key,
            debit_account: &self.debit_account,
            credit_account: &self.credit_account,
            amount: format_minor(self.amount.minor(), self.exponent),
            currency: self.currency,
            description: self.description.as_deref(),
            metadata: self.metadata.as_ref(),
            accepted_at: command.accepted_at,
            actor: command.actor.as_ref(),
            traceparent: command.traceparent.as_ref().map(TraceParent::as_str),
        }
    }
}

impl AccountChange {
    pub(super) fn to_wire<'a>(
        &'a self,
        command: &'a Command,
        id: &'a AccountId,
    ) -> AccountWire<'a> {
        let mut wire = AccountWire {
            command: self.command(),
            ledger: &command.ledger,
            id,
            currency: None,
            kind: None,
            min_balance: None,
            metadata: None,
            accepted_at: command.accepted_at,
            actor: command.actor.as_ref(),
            traceparent: command.traceparent.as_ref().map(TraceParent::as_str),
        };
        match self {
            Self::Open { opening, exponent } => {
                wire.currency = Some(opening.currency);
                wire.kind = opening.kind.as_deref();
                wire.min_balance = Some(
                    opening
                        .min_balance
                        .map(|minor| Cow::Owned(format_minor(minor, *exponent))),
                );
                wire.metadata = opening.metadata.as_ref().map(Some);
            }
            Self::Change {
                min_balance,
                metadata,
            } => {
                wire.min_balance = min_balance
                    .as_ref()
                    .map(|limit| limit.as_deref().map(Cow::Borrowed));
                wire.metadata = metadata.as_ref().map(Option::as_ref);
            }
            Self::Freeze | Self::Unfreeze | Self::Close => {}
        }
        wire
    }
}

#[derive(Serialize)]
pub(super) struct TransferWire<'a> {
    ledger: &'a LedgerName,
    idempotency_key: &'a IdempotencyKey,
    debit_account: &'a AccountId,
    credit_account: &'a AccountId,
    amount: String,
    currency: Currency,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a Actor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
}

#[derive(Serialize)]
#[expect(
    clippy::option_option,
    reason = "not given, null and a value are three things"
)]
pub(super) struct AccountWire<'a> {
    command: &'static str,
    ledger: &'a LedgerName,
    id: &'a AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<Currency>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_balance: Option<Option<Cow<'a, str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Option<&'a Metadata>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a Actor>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<&'a str>,
}
