//! Rows of Postgres as our types.
//!
//! Invariant: what was written here is read back unchanged.

use ledger::AccountRow;
use schemas::{
    Account, AccountId, AccountStatus, Currency, IdempotencyKey, Invalid, Metadata, Money, Opening,
    Partition, Position, RefusalReason, Timestamp, Transfer, TransferId, TransferStatus,
};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

/// Columns of `transfers` in the order that [`transfer`] reads them by name.
pub(super) const TRANSFER_COLUMNS: &str = "t.id, t.ledger, t.reason, t.detail, t.debit_account, t.credit_account, t.amount, t.exponent, \
     t.currency, t.description, t.metadata, t.idempotency_key, t.accepted_at, t.decided_at, t.partition, \
     t.position, t.line, t.debit_version, t.credit_version, t.debit_balance_after, t.credit_balance_after";

pub(super) fn account(row: &PgRow) -> Result<AccountRow, sqlx::Error> {
    let exponent = exponent(row)?;
    let money = |minor| Money { minor, exponent };
    let currency = parsed(Currency::parse(row.try_get("currency")?))?;
    let kind: Option<String> = row.try_get("type")?;
    let status: &str = row.try_get("status")?;
    Ok(AccountRow {
        opening: Opening {
            currency,
            kind: kind.clone(),
            min_balance: row.try_get("opening_min_balance")?,
            metadata: metadata(row, "opening_metadata")?,
        },
        account: Account {
            id: parsed(AccountId::parse(row.try_get("id")?))?,
            currency,
            kind,
            status: AccountStatus::parse(status)
                .ok_or_else(|| unreadable(format!("status {status}")))?,
            balance: money(row.try_get("balance")?),
            min_balance: row.try_get::<Option<i64>, _>("min_balance")?.map(money),
            version: row.try_get("version")?,
            metadata: metadata(row, "metadata")?,
            opened_at: timestamp(row, "opened_at")?,
        },
        changed_at: timestamp(row, "changed_at")?,
    })
}

pub(super) fn transfer(row: &PgRow) -> Result<Transfer, sqlx::Error> {
    let exponent = exponent(row)?;
    let money = |minor| Money { minor, exponent };
    let reason: Option<&str> = row.try_get("reason")?;
    let reason = reason
        .map(|reason| {
            RefusalReason::parse(reason).ok_or_else(|| unreadable(format!("reason {reason}")))
        })
        .transpose()?;
    let partition: i16 = row.try_get("partition")?;
    Ok(Transfer {
        id: TransferId::from_bytes(row.try_get::<Uuid, _>("id")?.into_bytes()),
        status: if reason.is_some() {
            TransferStatus::Refused
        } else {
            TransferStatus::Posted
        },
        reason,
        detail: row.try_get("detail")?,
        debit_account: parsed(AccountId::parse(row.try_get("debit_account")?))?,
        credit_account: parsed(AccountId::parse(row.try_get("credit_account")?))?,
        amount: money(row.try_get("amount")?),
        currency: parsed(Currency::parse(row.try_get("currency")?))?,
        description: row.try_get("description")?,
        metadata: metadata(row, "metadata")?,
        idempotency_key: parsed(IdempotencyKey::parse(row.try_get("idempotency_key")?))?,
        accepted_at: timestamp(row, "accepted_at")?,
        decided_at: Some(timestamp(row, "decided_at")?),
        partition: Partition(u16::try_from(partition).unwrap_or_default()),
        position: Position::from_number(row.try_get("position")?),
        debit_version: row.try_get("debit_version")?,
        credit_version: row.try_get("credit_version")?,
        debit_balance_after: row
            .try_get::<Option<i64>, _>("debit_balance_after")?
            .map(money),
        credit_balance_after: row
            .try_get::<Option<i64>, _>("credit_balance_after")?
            .map(money),
    })
}

pub(super) fn timestamp(row: &PgRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    Ok(Timestamp::from_nanoseconds(row.try_get(column)?))
}

fn metadata(row: &PgRow, column: &str) -> Result<Option<Metadata>, sqlx::Error> {
    row.try_get::<Option<String>, _>(column)?
        .map(|text| parsed(Metadata::from_stored(text)))
        .transpose()
}

fn exponent(row: &PgRow) -> Result<u8, sqlx::Error> {
    let exponent: i16 = row.try_get("exponent")?;
    u8::try_from(exponent).map_err(|_| unreadable(format!("exponent {exponent}")))
}

pub(super) fn parsed<T>(value: Result<T, Invalid>) -> Result<T, sqlx::Error> {
    value.map_err(|invalid| unreadable(invalid.detail))
}

pub(super) fn unreadable(what: String) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}
