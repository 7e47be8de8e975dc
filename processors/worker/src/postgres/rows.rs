//! Rows of Postgres as our types.
//!
//! Invariant: what was written here is read back unchanged.

use ledger::{AccountKey, AccountRow};
use schemas::{
    Account, AccountId, AccountStatus, Currency, IdempotencyKey, Invalid, Metadata, Money, Opening,
    Partition, Position, RefusalReason, Timestamp, Transfer, TransferId, TransferStatus,
};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgHasArrayType, PgRow, PgTypeInfo, PgValueRef, Postgres as Database,
};
use sqlx::{Decode, Encode, Row, Type};
use uuid::Uuid;

/// Columns of `transfers` in the order that [`transfer`] reads them by name.
pub(super) const TRANSFER_COLUMNS: &str = "t.id, t.ledger, t.reason, t.detail, t.debit_account, t.credit_account, t.amount, t.exponent, \
     t.currency, t.description, t.metadata, t.idempotency_key, t.accepted_at, t.decided_at, t.partition, \
     t.position, t.line, t.debit_version, t.credit_version, t.debit_balance_after, t.credit_balance_after";

/// A row of `LOCK_ACCOUNTS`: an account and where it lies. By number, as names are looked up for every field of every row.
pub(super) fn account(row: &PgRow) -> Result<(AccountKey, RowPlace, AccountRow), sqlx::Error> {
    let id = parsed(AccountId::parse(row.try_get(2)?))?;
    let currency = parsed(Currency::parse(row.try_get(3)?))?;
    let exponent = exponent(row.try_get(4)?)?;
    let money = |minor| Money { minor, exponent };
    let kind: Option<String> = row.try_get(5)?;
    let status: &str = row.try_get(6)?;
    let key = AccountKey {
        ledger: row.try_get(1)?,
        id: id.clone(),
    };
    let account = AccountRow {
        opening: Opening {
            currency,
            kind: kind.clone(),
            min_balance: row.try_get(11)?,
            metadata: metadata(row.try_get(12)?)?,
        },
        account: Account {
            id,
            currency,
            kind,
            status: AccountStatus::parse(status)
                .ok_or_else(|| unreadable(format!("status {status}")))?,
            balance: money(row.try_get(7)?),
            min_balance: row.try_get::<Option<i64>, _>(8)?.map(money),
            version: row.try_get(9)?,
            metadata: metadata(row.try_get(10)?)?,
            opened_at: Timestamp::from_nanoseconds(row.try_get(13)?),
        },
        changed_at: Timestamp::from_nanoseconds(row.try_get(14)?),
    };
    Ok((key, row.try_get(0)?, account))
}

pub(super) fn transfer(row: &PgRow) -> Result<Transfer, sqlx::Error> {
    let exponent = exponent(row.try_get("exponent")?)?;
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
        metadata: metadata(row.try_get("metadata")?)?,
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

fn timestamp(row: &PgRow, column: &str) -> Result<Timestamp, sqlx::Error> {
    Ok(Timestamp::from_nanoseconds(row.try_get(column)?))
}

fn metadata(stored: Option<String>) -> Result<Option<Metadata>, sqlx::Error> {
    stored
        .map(|text| parsed(Metadata::from_stored(text)))
        .transpose()
}

fn exponent(exponent: i16) -> Result<u8, sqlx::Error> {
    u8::try_from(exponent).map_err(|_| unreadable(format!("exponent {exponent}")))
}

pub(super) fn parsed<T>(value: Result<T, Invalid>) -> Result<T, sqlx::Error> {
    value.map_err(|invalid| unreadable(invalid.detail))
}

pub(super) fn unreadable(what: String) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}

/// Where a row version lies in its table (`tid`: block and line in it). It holds only while the row is locked; then
/// it finds the row without an index.
#[derive(Debug, Clone, Copy)]
pub(super) struct RowPlace([u8; 6]);

impl Type<Database> for RowPlace {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TID)
    }
}

impl PgHasArrayType for RowPlace {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TID_ARRAY)
    }
}

impl Encode<'_, Database> for RowPlace {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
}

impl Decode<'_, Database> for RowPlace {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(value.as_bytes()?.try_into()?))
    }
}

/// Fixed in Postgres's catalogue (`pg_type.dat`).
const TID: Oid = Oid(27);
const TID_ARRAY: Oid = Oid(1010);
