//! A row of `transfers` and what it means.
//!
//! Invariant: what a processor stored is valid; a row that is not is a fault of ours, never of a client.

use schemas::{
    AccountId, Amount, Currency, IdempotencyKey, KeyReused, LinePosition, Metadata, Money,
    Partition, Position, RefusalReason, Timestamp, Transfer, TransferId, TransferOrder,
    TransferStatus,
};
use sqlx::types::Uuid;

use super::transfers::Below;
use crate::replays::Fingerprint;

/// A row of `transfers`.
#[derive(Debug, Clone, sqlx::FromRow)]
pub(crate) struct TransferRow {
    id: Uuid,
    position: i64,
    accepted_at: i64,
    pub(crate) decided_at: i64,
    amount: i64,
    pub(crate) debit_version: Option<i64>,
    pub(crate) credit_version: Option<i64>,
    debit_balance_after: Option<i64>,
    credit_balance_after: Option<i64>,
    line: i32,
    partition: i16,
    exponent: i16,
    pub(crate) debit_account: String,
    credit_account: String,
    currency: String,
    idempotency_key: String,
    reason: Option<String>,
    detail: Option<String>,
    description: Option<String>,
    metadata: Option<String>,
}

impl TransferRow {
    pub(crate) fn id(&self) -> TransferId {
        TransferId::from_bytes(self.id.into_bytes())
    }

    pub(crate) fn at(&self) -> LinePosition {
        line_position(self.partition, self.position, self.line)
    }

    pub(crate) fn below(&self) -> Below {
        Below {
            decided_at: self.decided_at,
            id: self.id.into_bytes(),
        }
    }

    /// The version that this posting gave to one of its two accounts.
    pub(crate) fn version_of(&self, account: &AccountId) -> i64 {
        let version = if self.debit_account == account.as_str() {
            self.debit_version
        } else {
            self.credit_version
        };
        version.unwrap_or_default()
    }

    /// # Errors
    /// With the fields that differ, when the stored transfer was another request.
    pub(crate) fn confirm(
        self,
        order: &TransferOrder,
        fingerprint: Fingerprint,
    ) -> Result<Transfer, KeyReused> {
        let stored = self.order();
        if stored.fingerprint() == fingerprint {
            return Ok(self.into_transfer());
        }
        // From here on also a repeat of what a version before stored with other last digits.
        let differs = [
            ("debit_account", stored.debit_account != order.debit_account),
            (
                "credit_account",
                stored.credit_account != order.credit_account,
            ),
            ("amount", stored.amount != order.amount),
            ("currency", stored.currency != order.currency),
            ("description", stored.description != order.description),
            (
                "metadata",
                !Metadata::is_repeat(stored.metadata.as_ref(), order.metadata.as_ref()),
            ),
        ];
        let differs: Vec<String> = differs
            .into_iter()
            .filter(|(_, differs)| *differs)
            .map(|(field, _)| field.to_owned())
            .collect();
        if differs.is_empty() {
            return Ok(self.into_transfer());
        }
        Err(KeyReused {
            transfer_id: self.id(),
            differs,
        })
    }

    fn order(&self) -> TransferOrder {
        TransferOrder {
            idempotency_key: IdempotencyKey::parse(&self.idempotency_key)
                .expect("stored keys are valid"),
            debit_account: account(&self.debit_account),
            credit_account: account(&self.credit_account),
            amount: Amount::from_minor(self.amount).expect("stored amounts are positive"),
            currency: Currency::parse(&self.currency).expect("stored currencies are valid"),
            exponent: exponent(self.exponent),
            description: self.description.clone(),
            metadata: self
                .metadata
                .clone()
                .map(|text| Metadata::from_stored(text).expect("stored metadata is a JSON object")),
        }
    }

    pub(crate) fn into_transfer(self) -> Transfer {
        let TransferOrder {
            idempotency_key,
            debit_account,
            credit_account,
            amount,
            currency,
            exponent,
            description,
            metadata,
        } = self.order();
        let money = |minor| Money { minor, exponent };
        let at = self.at();
        Transfer {
            id: self.id(),
            status: if self.reason.is_some() {
                TransferStatus::Refused
            } else {
                TransferStatus::Posted
            },
            reason: self
                .reason
                .map(|reason| RefusalReason::parse(&reason).expect("stored reasons are known")),
            detail: self.detail,
            debit_account,
            credit_account,
            amount: money(amount.minor()),
            currency,
            description,
            metadata,
            idempotency_key,
            accepted_at: Timestamp::from_nanoseconds(self.accepted_at),
            decided_at: Some(Timestamp::from_nanoseconds(self.decided_at)),
            partition: at.partition,
            position: at.position,
            debit_version: self.debit_version,
            credit_version: self.credit_version,
            debit_balance_after: self.debit_balance_after.map(money),
            credit_balance_after: self.credit_balance_after.map(money),
        }
    }
}

pub(super) fn account(id: &str) -> AccountId {
    AccountId::parse(id).expect("stored account ids are valid")
}

pub(super) fn exponent(stored: i16) -> u8 {
    u8::try_from(stored).expect("stored exponents are 0 to 12")
}

pub(super) fn line_position(partition: i16, position: i64, line: i32) -> LinePosition {
    LinePosition {
        partition: Partition(u16::try_from(partition).expect("partitions count from 0")),
        position: Position::from_number(position),
        line: u32::try_from(line).expect("lines count from 0"),
    }
}

/// As the column has it.
pub(super) fn partition_number(partition: Partition) -> i16 {
    i16::try_from(partition.0).unwrap_or(i16::MAX)
}
