//! Rows of `accounts`, locked.
//!
//! Invariant: what was written here is read back unchanged.

use journal::columns::{self, exponent, metadata, parsed, timestamp, unreadable};
use ledger::{AccountKey, AccountRow};
use schemas::{Account, AccountStatus, Currency, Money, Opening};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgHasArrayType, PgRow, PgTypeInfo, PgValueRef, Postgres as Database,
};
use sqlx::{Decode, Encode, Row, Type};

/// A row of `LOCK_ACCOUNTS`: an account and where it lies. By number, as names are looked up for every field of every row.
pub(super) fn account(row: &PgRow) -> Result<(AccountKey, RowPlace, AccountRow), sqlx::Error> {
    let id = columns::account(row, 2)?;
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
            metadata: metadata(row, 12)?,
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
            metadata: metadata(row, 10)?,
            opened_at: timestamp(row, 13)?,
        },
        changed_at: timestamp(row, 14)?,
    };
    Ok((key, row.try_get(0)?, account))
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
