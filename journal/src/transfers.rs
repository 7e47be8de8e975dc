//! A row of `transfers` and the transfer in it.
//!
//! Invariant: what was inserted is read back unchanged.

use schemas::{
    Currency, IdempotencyKey, LinePosition, Money, Outcome, Position, RefusalReason, Transfer,
    TransferId, TransferStatus,
};
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{FromRow, Row};

use crate::columns::{account, exponent, line, metadata, parsed, partition, timestamp, unreadable};

/// The columns that [`TransferRow`](crate::TransferRow) is read from, of the table `t`.
#[macro_export]
macro_rules! transfer_columns {
    () => {
        "t.id, t.reason, t.detail, t.debit_account, t.credit_account, t.amount, t.exponent, t.currency, t.description, \
         t.metadata, t.idempotency_key, t.accepted_at, t.decided_at, t.partition, t.position, t.line, t.debit_version, \
         t.credit_version, t.debit_balance_after, t.credit_balance_after"
    };
}

/// A query for [`TransferRow`](crate::TransferRow)s.
#[macro_export]
macro_rules! select_transfers {
    ($($rest:literal),* $(,)?) => {
        concat!("SELECT ", $crate::transfer_columns!(), " FROM transfers t ", $($rest),*)
    };
}

/// A first decision and its line in the record at `transfer.position`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferRow {
    pub line: u32,
    pub transfer: Transfer,
}

impl TransferRow {
    pub fn at(&self) -> LinePosition {
        LinePosition {
            partition: self.transfer.partition,
            position: self.transfer.position,
            line: self.line,
        }
    }

    pub(crate) fn into_outcome(self) -> Outcome {
        if self.transfer.reason.is_none() {
            Outcome::Posted(self.transfer)
        } else {
            Outcome::Refused(self.transfer)
        }
    }
}

impl FromRow<'_, PgRow> for TransferRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let exponent = exponent(row.try_get("exponent")?)?;
        let money = |minor| Money { minor, exponent };
        let balance = |column| -> Result<Option<Money>, sqlx::Error> {
            Ok(row.try_get::<Option<i64>, _>(column)?.map(money))
        };
        let reason: Option<&str> = row.try_get("reason")?;
        let reason = reason
            .map(|reason| {
                RefusalReason::parse(reason).ok_or_else(|| unreadable(format!("reason {reason}")))
            })
            .transpose()?;
        let transfer = Transfer {
            id: TransferId::from_bytes(row.try_get::<Uuid, _>("id")?.into_bytes()),
            status: if reason.is_some() {
                TransferStatus::Refused
            } else {
                TransferStatus::Posted
            },
            reason,
            detail: row.try_get("detail")?,
            debit_account: account(row, "debit_account")?,
            credit_account: account(row, "credit_account")?,
            amount: money(row.try_get("amount")?),
            currency: parsed(Currency::parse(row.try_get("currency")?))?,
            description: row.try_get("description")?,
            metadata: metadata(row, "metadata")?,
            idempotency_key: parsed(IdempotencyKey::parse(row.try_get("idempotency_key")?))?,
            accepted_at: timestamp(row, "accepted_at")?,
            decided_at: Some(timestamp(row, "decided_at")?),
            partition: partition(row.try_get("partition")?)?,
            position: Position::from_number(row.try_get("position")?),
            debit_version: row.try_get("debit_version")?,
            credit_version: row.try_get("credit_version")?,
            debit_balance_after: balance("debit_balance_after")?,
            credit_balance_after: balance("credit_balance_after")?,
        };
        Ok(Self {
            line: line(row.try_get("line")?)?,
            transfer,
        })
    }
}
