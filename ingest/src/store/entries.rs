//! The postings of one account, by version.
//!
//! Invariant: versions run 1..n without a gap and their times never fall, so a time is found by bisection:
//! each step is one index look-up, however many postings the account has.

use journal::columns::{self, exponent};
use schemas::{AccountId, Money, Timestamp, TransferId};
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{FromRow, Row};

use super::{Store, Unavailable};

/// One posting as its account sees it.
#[derive(Debug)]
pub(crate) struct Posting {
    pub(crate) version: i64,
    pub(crate) transfer_id: TransferId,
    pub(crate) at: Timestamp,
    pub(crate) counterparty: AccountId,
    pub(crate) amount: Money,
    pub(crate) balance_after: Money,
    pub(crate) description: Option<String>,
}

impl Store {
    /// Postings with `after < version < before`, oldest first.
    pub(crate) async fn postings(
        &self,
        ledger: i32,
        account: &AccountId,
        after: i64,
        before: i64,
        limit: i64,
    ) -> Result<Vec<Posting>, Unavailable> {
        const SQL: &str =
            "SELECT version, transfer_id, decided_at, counterparty, amount, balance_after, exponent, description
               FROM entries
              WHERE ledger = $1 AND account = $2 AND version > $3 AND version < $4
              ORDER BY version LIMIT $5";
        let query = sqlx::query_as(SQL)
            .bind(ledger)
            .bind(account.as_str())
            .bind(after)
            .bind(before)
            .bind(limit)
            .fetch_all(&self.pool);
        self.read("reading a statement", query).await
    }

    /// The first of the versions `1..=version` that was posted at `at` or later, else `version + 1`.
    pub(crate) async fn first_version_at(
        &self,
        ledger: i32,
        account: &AccountId,
        version: i64,
        at: Timestamp,
    ) -> Result<i64, Unavailable> {
        let (mut low, mut high) = (1, version + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.posted_at(ledger, account, middle).await? < at.nanoseconds() {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    async fn posted_at(
        &self,
        ledger: i32,
        account: &AccountId,
        version: i64,
    ) -> Result<i64, Unavailable> {
        const SQL: &str =
            "SELECT decided_at FROM entries WHERE ledger = $1 AND account = $2 AND version = $3";
        let query = sqlx::query_scalar(SQL)
            .bind(ledger)
            .bind(account.as_str())
            .bind(version)
            .fetch_one(&self.pool);
        self.read("looking for a time in a statement", query).await
    }
}

impl FromRow<'_, PgRow> for Posting {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let exponent = exponent(row.try_get("exponent")?)?;
        let money = |minor| Money { minor, exponent };
        Ok(Self {
            version: row.try_get("version")?,
            transfer_id: TransferId::from_bytes(
                row.try_get::<Uuid, _>("transfer_id")?.into_bytes(),
            ),
            at: columns::timestamp(row, "decided_at")?,
            counterparty: columns::account(row, "counterparty")?,
            amount: money(row.try_get("amount")?),
            balance_after: money(row.try_get("balance_after")?),
            description: row.try_get("description")?,
        })
    }
}
