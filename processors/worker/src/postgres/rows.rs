//! Rows of `accounts`, locked.
//!
//! Invariant: what was written here is read back unchanged.

use journal::RowVersion;
use journal::columns::{self, exponent, metadata, parsed, timestamp, unreadable};
use ledger::{AccountKey, AccountRow};
use schemas::{Account, AccountStatus, Currency, Money, Opening};
use sqlx::Row;
use sqlx::postgres::PgRow;

use super::memory::{End, Held};

/// A row of `LOCK_ACCOUNTS` or `READ_ACCOUNTS`, if it is one of an account. By number, as names are looked up for every field of every row.
pub(super) fn account(row: &PgRow) -> Result<Option<Held>, sqlx::Error> {
    let Some(place) = row.try_get(0)? else {
        return Ok(None);
    };
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
    Ok(Some(Held {
        key,
        version: RowVersion {
            place,
            writer: row.try_get(15)?,
        },
        end: End::COMMITTED,
        row: account,
    }))
}
