//! A row of `transfers` and the transfer in it.
//!
//! Invariant: what was inserted is read back unchanged.

use schemas::{
    After, Amount, Currency, Funds, IdempotencyKey, LinePosition, Position, Refusal, RefusalReason,
    Seen, Transfer, TransferId, TransferOrder, Verdict,
};
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{FromRow, Row};

use crate::columns::{
    account, actor, exponent, line, metadata, parsed, partition, timestamp, unreadable,
};

/// The columns that [`TransferRow`](crate::TransferRow) is read from, of the table `t`.
#[macro_export]
macro_rules! transfer_columns {
    () => {
        "t.id, t.reason, t.detail, t.debit_account, t.credit_account, t.amount, t.exponent, t.currency, t.description, \
         t.metadata, t.idempotency_key, t.accepted_at, t.decided_at, t.partition, t.position, t.line, t.debit_version, \
         t.credit_version, t.debit_balance_after, t.credit_balance_after, t.balance_seen, t.version_seen, \
         t.min_balance_seen, t.actor"
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
}

impl FromRow<'_, PgRow> for TransferRow {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let transfer = Transfer {
            id: TransferId::from_bytes(row.try_get::<Uuid, _>("id")?.into_bytes()),
            order: order(row)?,
            accepted_at: timestamp(row, "accepted_at")?,
            decided_at: timestamp(row, "decided_at")?,
            partition: partition(row.try_get("partition")?)?,
            position: Position::from_number(row.try_get("position")?),
            actor: actor(row, "actor")?,
            verdict: verdict(row)?,
        };
        Ok(Self {
            line: line(row.try_get("line")?)?,
            transfer,
        })
    }
}

fn order(row: &PgRow) -> Result<TransferOrder, sqlx::Error> {
    let amount: i64 = row.try_get("amount")?;
    Ok(TransferOrder {
        idempotency_key: parsed(IdempotencyKey::parse(row.try_get("idempotency_key")?))?,
        debit_account: account(row, "debit_account")?,
        credit_account: account(row, "credit_account")?,
        amount: Amount::from_minor(amount).ok_or_else(|| unreadable(format!("amount {amount}")))?,
        currency: parsed(Currency::parse(row.try_get("currency")?))?,
        exponent: exponent(row.try_get("exponent")?)?,
        description: row.try_get("description")?,
        metadata: metadata(row, "metadata")?,
    })
}

fn verdict(row: &PgRow) -> Result<Verdict, sqlx::Error> {
    let Some(reason) = row.try_get::<Option<&str>, _>("reason")? else {
        return Ok(Verdict::Posted {
            debit: After {
                version: row.try_get("debit_version")?,
                balance: row.try_get("debit_balance_after")?,
            },
            credit: After {
                version: row.try_get("credit_version")?,
                balance: row.try_get("credit_balance_after")?,
            },
        });
    };
    let refusal = Refusal {
        reason: RefusalReason::parse(reason)
            .ok_or_else(|| unreadable(format!("reason {reason}")))?,
        detail: row.try_get("detail")?,
    };
    let balance: Option<i64> = row.try_get("balance_seen")?;
    let min_balance = row.try_get("min_balance_seen")?;
    let version: Option<i64> = row.try_get("version_seen")?;
    let seen = version.map(|version| Seen {
        version,
        funds: balance.map(|balance| Funds {
            balance,
            min_balance,
        }),
    });
    Ok(Verdict::Refused { refusal, seen })
}
