//! What a batch does to accounts, all of them locked before.
//!
//! Invariant: as many rows are written as were decided.

use journal::Decided;
use ledger::{AccountKey, AccountRow};
use schemas::{Metadata, Outcome};

use super::batch::Batch;
use super::classify;
use crate::Error;
use crate::commit::Commit;

impl Batch {
    pub(super) async fn update_balances(
        &mut self,
        changed: &[(AccountKey, AccountRow)],
    ) -> Result<(), Error> {
        if changed.is_empty() {
            return Ok(());
        }
        // Both sides are in the order of their keys.
        let mut locked = self.places.iter();
        let places: Option<Vec<_>> = changed
            .iter()
            .map(|(key, _)| locked.find(|(locked, _)| locked == key))
            .map(|found| found.map(|(_, place)| *place))
            .collect();
        let places = places.ok_or_else(|| {
            Error::Stopped("an account was changed that was not locked".to_owned())
        })?;
        let updated = sqlx::query(UPDATE_BALANCES)
            .bind(places)
            .bind(
                changed
                    .iter()
                    .map(|(_, row)| row.account.balance.minor)
                    .collect::<Vec<_>>(),
            )
            .bind(
                changed
                    .iter()
                    .map(|(_, row)| row.account.version)
                    .collect::<Vec<_>>(),
            )
            .bind(
                changed
                    .iter()
                    .map(|(_, row)| row.changed_at.nanoseconds())
                    .collect::<Vec<_>>(),
            )
            .execute(&mut *self.transaction)
            .await
            .map_err(|error| classify("updating balances", error))?;
        expect_rows(updated.rows_affected(), changed.len(), "accounts")
    }

    /// Accounts whose limits, status or metadata were changed; few.
    pub(super) async fn rewrite_accounts(&mut self, commit: &Commit) -> Result<(), Error> {
        let mut rewritten: Vec<_> = commit
            .events
            .iter()
            .filter_map(|Decided { ledger, event, .. }| match &event.outcome {
                Outcome::AccountChanged(account)
                | Outcome::AccountFrozen(account)
                | Outcome::AccountUnfrozen(account)
                | Outcome::AccountClosed(account) => Some(AccountKey {
                    ledger: (*ledger)?,
                    id: account.id.clone(),
                }),
                _ => None,
            })
            .collect();
        rewritten.sort_unstable();
        rewritten.dedup();
        for (key, row) in &commit.changed {
            if rewritten.binary_search(key).is_err() {
                continue;
            }
            sqlx::query(REWRITE_ACCOUNT)
                .bind(key.ledger)
                .bind(key.id.as_str())
                .bind(row.account.status.as_str())
                .bind(row.account.min_balance.map(|money| money.minor))
                .bind(row.account.metadata.as_ref().map(Metadata::as_str))
                .execute(&mut *self.transaction)
                .await
                .map_err(|error| classify("changing an account", error))?;
        }
        Ok(())
    }

    pub(super) async fn open_accounts(
        &mut self,
        opened: &[(AccountKey, AccountRow)],
    ) -> Result<(), Error> {
        if opened.is_empty() {
            return Ok(());
        }
        let text = |get: fn(&AccountRow) -> Option<&str>| -> Vec<Option<&str>> {
            opened.iter().map(|(_, row)| get(row)).collect()
        };
        let number64 = |get: fn(&AccountRow) -> Option<i64>| -> Vec<Option<i64>> {
            opened.iter().map(|(_, row)| get(row)).collect()
        };
        let inserted = sqlx::query(OPEN_ACCOUNTS)
            .bind(opened.iter().map(|(key, _)| key.ledger).collect::<Vec<_>>())
            .bind(text(|row| Some(row.account.id.as_str())))
            .bind(text(|row| Some(row.account.currency.as_str())))
            .bind(
                opened
                    .iter()
                    .map(|(_, row)| i16::from(row.account.balance.exponent))
                    .collect::<Vec<_>>(),
            )
            .bind(text(|row| row.account.kind.as_deref()))
            .bind(text(|row| Some(row.account.status.as_str())))
            .bind(number64(|row| Some(row.account.balance.minor)))
            .bind(number64(|row| {
                row.account.min_balance.map(|money| money.minor)
            }))
            .bind(number64(|row| Some(row.account.version)))
            .bind(text(|row| {
                row.account.metadata.as_ref().map(Metadata::as_str)
            }))
            .bind(number64(|row| row.opening.min_balance))
            .bind(text(|row| {
                row.opening.metadata.as_ref().map(Metadata::as_str)
            }))
            .bind(number64(|row| Some(row.account.opened_at.nanoseconds())))
            .bind(number64(|row| Some(row.changed_at.nanoseconds())))
            .execute(&mut *self.transaction)
            .await
            .map_err(|error| classify("opening accounts", error))?;
        expect_rows(inserted.rows_affected(), opened.len(), "accounts")
    }
}

pub(super) fn expect_rows(written: u64, decided: usize, table: &str) -> Result<(), Error> {
    if usize::try_from(written) == Ok(decided) {
        return Ok(());
    }
    Err(Error::Stopped(format!(
        "{written} rows of {table} were written, {decided} were decided"
    )))
}

const UPDATE_BALANCES: &str = "
    UPDATE accounts a
       SET balance = u.balance,
           version = u.version,
           changed_at = u.changed_at
      FROM unnest($1::tid[], $2::bigint[], $3::bigint[], $4::bigint[]) AS u (place, balance, version, changed_at)
     WHERE a.ctid = u.place";

const REWRITE_ACCOUNT: &str = "
    UPDATE accounts
       SET status = $3,
           min_balance = $4,
           metadata = $5
     WHERE ledger = $1 AND id = $2";

const OPEN_ACCOUNTS: &str = "
    INSERT INTO accounts (ledger, id, currency, exponent, type, status, balance, min_balance, version, metadata,
           opening_min_balance, opening_metadata, opened_at, changed_at)
    SELECT *
      FROM unnest($1::int[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::bigint[],
           $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::text[], $13::bigint[], $14::bigint[])";
