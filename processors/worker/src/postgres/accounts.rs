//! What a batch does to accounts.
//!
//! Invariant: as many rows are written as were decided, each the version that was decided from.

use journal::columns;
use journal::{Posted, RowPlace, RowVersion};
use ledger::{AccountKey, AccountRow};
use schemas::Metadata;
use sqlx::Row as _;
use sqlx::postgres::PgRow;

use super::classify;
use super::counted::Counted;
use super::memory::{End, Held};
use crate::Error;
use crate::accounts::AccountEntry;

/// The rows as they are to be, beside the versions that were decided from.
pub(super) fn posted<'a>(
    held: &[Held],
    entries: &[&'a AccountEntry],
) -> Result<Vec<Posted<'a>>, Error> {
    let versions = versions_of(held, entries)?.into_iter();
    let posted = entries
        .iter()
        .zip(versions)
        .map(|((key, row), decided_from)| Posted {
            ledger: key.ledger,
            id: &key.id,
            decided_from,
            balance: row.account.balance.minor,
            version: row.account.version,
            changed_at: row.changed_at,
        });
    Ok(posted.collect())
}

/// Gives them as they lie now, as `open_accounts` does.
pub(super) async fn rewrite_accounts(
    transaction: &mut Counted,
    held: &[Held],
    changed: &[&AccountEntry],
    end: &End,
) -> Result<Vec<Held>, Error> {
    if changed.is_empty() {
        return Ok(Vec::new());
    }
    let versions = versions_of(held, changed)?.into_iter();
    let places: Vec<RowPlace> = versions.map(|version| version.place).collect();
    let updated = sqlx::query(REWRITE_ACCOUNTS)
        .bind(places)
        .bind(column(changed, |row| row.account.balance.minor))
        .bind(column(changed, |row| row.account.version))
        .bind(column(changed, |row| row.changed_at.nanoseconds()))
        .bind(column(changed, |row| row.account.status.as_str()))
        .bind(column(changed, min_balance))
        .bind(column(changed, metadata))
        .fetch_all(transaction.ask())
        .await
        .map_err(|error| classify("changing accounts", error))?;
    wrote_rows(changed, &updated, end)
}

pub(super) async fn open_accounts(
    transaction: &mut Counted,
    opened: &[&AccountEntry],
    end: &End,
) -> Result<Vec<Held>, Error> {
    if opened.is_empty() {
        return Ok(Vec::new());
    }
    let ledgers: Vec<i32> = opened.iter().map(|(key, _)| key.ledger).collect();
    let inserted = sqlx::query(OPEN_ACCOUNTS)
        .bind(ledgers)
        .bind(column(opened, |row| row.account.id.as_str()))
        .bind(column(opened, |row| row.account.currency.as_str()))
        .bind(column(opened, |row| {
            i16::from(row.account.balance.exponent)
        }))
        .bind(column(opened, |row| row.account.kind.as_deref()))
        .bind(column(opened, |row| row.account.status.as_str()))
        .bind(column(opened, |row| row.account.balance.minor))
        .bind(column(opened, min_balance))
        .bind(column(opened, |row| row.account.version))
        .bind(column(opened, metadata))
        .bind(column(opened, |row| row.opening.min_balance))
        .bind(column(opened, |row| {
            row.opening.metadata.as_ref().map(Metadata::as_str)
        }))
        .bind(column(opened, |row| row.account.opened_at.nanoseconds()))
        .bind(column(opened, |row| row.changed_at.nanoseconds()))
        .fetch_all(transaction.ask())
        .await
        .map_err(|error| classify("opening accounts", error))?;
    wrote_rows(opened, &inserted, end)
}

/// The versions of these accounts that were loaded; both sides are in the order of their keys.
fn versions_of(held: &[Held], entries: &[&AccountEntry]) -> Result<Vec<RowVersion>, Error> {
    let mut held = held.iter();
    let mut versions = Vec::with_capacity(entries.len());
    for (key, _) in entries {
        let held = held.find(|held| held.key == *key).ok_or_else(|| {
            Error::Stopped("an account was changed that was not loaded".to_owned())
        })?;
        versions.push(held.version);
    }
    Ok(versions)
}

/// Each row says which account it is, in whatever order.
fn wrote_rows(entries: &[&AccountEntry], rows: &[PgRow], end: &End) -> Result<Vec<Held>, Error> {
    if rows.len() != entries.len() {
        return Err(Error::Stopped(format!(
            "{} rows of accounts were written, {} were decided",
            rows.len(),
            entries.len()
        )));
    }
    rows.iter()
        .map(|written| written_account(written, entries, end))
        .collect::<Result<_, _>>()
        .map_err(|error| classify("reading where accounts lie", error))
}

fn column<'a, T>(entries: &[&'a AccountEntry], value: impl Fn(&'a AccountRow) -> T) -> Vec<T> {
    entries.iter().map(|(_, row)| value(row)).collect()
}

fn min_balance(row: &AccountRow) -> Option<i64> {
    row.account.min_balance.map(|money| money.minor)
}

fn metadata(row: &AccountRow) -> Option<&str> {
    row.account.metadata.as_ref().map(Metadata::as_str)
}

/// A row of `REWRITE_ACCOUNTS` or `OPEN_ACCOUNTS`.
fn written_account(
    written: &PgRow,
    entries: &[&AccountEntry],
    end: &End,
) -> Result<Held, sqlx::Error> {
    let key = AccountKey {
        ledger: written.try_get(0)?,
        id: columns::account(written, 1)?,
    };
    let entry = entries.binary_search_by(|(entry, _)| entry.cmp(&key));
    let entry = entry.map_err(|_| sqlx::Error::RowNotFound)?;
    Ok(Held {
        key,
        version: RowVersion {
            place: written.try_get(2)?,
            writer: written.try_get(3)?,
        },
        end: end.clone(),
        row: entries[entry].1.clone(),
    })
}

const REWRITE_ACCOUNTS: &str = "
    UPDATE accounts a
       SET balance = u.balance,
           version = u.version,
           changed_at = u.changed_at,
           status = u.status,
           min_balance = u.min_balance,
           metadata = u.metadata
      FROM unnest($1::tid[], $2::bigint[], $3::bigint[], $4::bigint[], $5::text[], $6::bigint[], $7::text[])
           AS u (place, balance, version, changed_at, status, min_balance, metadata)
     WHERE a.ctid = u.place
 RETURNING a.ledger, a.id, a.ctid, a.xmin";

const OPEN_ACCOUNTS: &str = "
    INSERT INTO accounts (ledger, id, currency, exponent, type, status, balance, min_balance, version, metadata,
           opening_min_balance, opening_metadata, opened_at, changed_at)
    SELECT *
      FROM unnest($1::int[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::bigint[],
           $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::text[], $13::bigint[], $14::bigint[])
 RETURNING ledger, id, ctid, xmin";
