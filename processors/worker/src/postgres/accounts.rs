//! What a batch does to accounts, all of them locked before.
//!
//! Invariant: as many rows are written as were decided.

use journal::{Posted, RowPlace};
use ledger::AccountRow;
use schemas::Metadata;

use super::batch::Batch;
use super::classify;
use crate::Error;
use crate::accounts::{AccountEntry, AccountWrite, account_writes};
use crate::commit::Commit;

impl Batch {
    /// Opens and rewrites accounts; gives those that only money moved on, which are written with the commit itself.
    pub(super) async fn write_accounts(&mut self, commit: &Commit) -> Result<Vec<Posted>, Error> {
        let mut posted = Vec::new();
        for write in account_writes(commit) {
            match write {
                AccountWrite::Open(rows) => self.open_accounts(&rows).await?,
                AccountWrite::Rewrite(rows) => self.rewrite_accounts(&rows).await?,
                AccountWrite::Post(rows) => posted = self.posted(&rows)?,
            }
        }
        Ok(posted)
    }

    fn posted(&self, entries: &[&AccountEntry]) -> Result<Vec<Posted>, Error> {
        let places = self.places_of(entries)?;
        let posted = entries.iter().zip(places).map(|((_, row), place)| Posted {
            place,
            balance: row.account.balance.minor,
            version: row.account.version,
            changed_at: row.changed_at,
        });
        Ok(posted.collect())
    }

    async fn rewrite_accounts(&mut self, changed: &[&AccountEntry]) -> Result<(), Error> {
        let updated = sqlx::query(REWRITE_ACCOUNTS)
            .bind(self.places_of(changed)?)
            .bind(column(changed, |row| row.account.balance.minor))
            .bind(column(changed, |row| row.account.version))
            .bind(column(changed, |row| row.changed_at.nanoseconds()))
            .bind(column(changed, |row| row.account.status.as_str()))
            .bind(column(changed, min_balance))
            .bind(column(changed, metadata))
            .execute(self.counted())
            .await
            .map_err(|error| classify("changing accounts", error))?;
        expect_rows(updated.rows_affected(), changed.len(), "accounts")
    }

    async fn open_accounts(&mut self, opened: &[&AccountEntry]) -> Result<(), Error> {
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
            .execute(self.counted())
            .await
            .map_err(|error| classify("opening accounts", error))?;
        expect_rows(inserted.rows_affected(), opened.len(), "accounts")
    }

    /// Where these accounts lie; both sides are in the order of their keys.
    fn places_of(&self, entries: &[&AccountEntry]) -> Result<Vec<RowPlace>, Error> {
        let mut locked = self.places.iter();
        let places: Option<Vec<_>> = entries
            .iter()
            .map(|(key, _)| locked.find(|(locked, _)| locked == key))
            .map(|found| found.map(|(_, place)| *place))
            .collect();
        places
            .ok_or_else(|| Error::Stopped("an account was changed that was not locked".to_owned()))
    }
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

fn expect_rows(written: u64, decided: usize, table: &str) -> Result<(), Error> {
    if usize::try_from(written) == Ok(decided) {
        return Ok(());
    }
    Err(Error::Stopped(format!(
        "{written} rows of {table} were written, {decided} were decided"
    )))
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
     WHERE a.ctid = u.place";

const OPEN_ACCOUNTS: &str = "
    INSERT INTO accounts (ledger, id, currency, exponent, type, status, balance, min_balance, version, metadata,
           opening_min_balance, opening_metadata, opened_at, changed_at)
    SELECT *
      FROM unnest($1::int[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::bigint[],
           $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::text[], $13::bigint[], $14::bigint[])";
