//! One batch's transaction.
//!
//! Invariant: every account that the batch touches is locked in one order before anything is read, and what
//! was inserted is as many rows as were decided.

use std::collections::HashMap;

use journal::{AppendError, RowPlace, TransferRow, transfer_columns};
use ledger::{AccountKey, AccountRow, Reads, Rows};
use schemas::{Timestamp, TransferId};
use sqlx::{FromRow, PgConnection, Row};
use uuid::Uuid;

use super::classify;
use super::rows::account;
use super::session::OpenTransaction;
use crate::commit::Commit;
use crate::seam::Transaction;
use crate::{Error, metrics};

pub struct Batch {
    pub(super) transaction: OpenTransaction,
    /// Of the accounts that are locked, in their order.
    pub(super) places: Vec<(AccountKey, RowPlace)>,
    /// Every account of the batch is locked: a serial that is drawn now stands behind those of all commits that had
    /// one of them before.
    is_locked: bool,
    /// Nothing is decided before this time, whatever the clock says.
    certain_at: Timestamp,
}

impl Batch {
    pub(super) fn new(transaction: OpenTransaction, certain_at: Timestamp) -> Self {
        Self {
            transaction,
            places: Vec::new(),
            is_locked: false,
            certain_at,
        }
    }

    /// The session, for one statement.
    pub(super) fn counted(&mut self) -> &mut PgConnection {
        metrics::statements(1);
        &mut self.transaction
    }

    async fn lock_accounts(
        &mut self,
        keys: &[AccountKey],
    ) -> Result<Vec<Option<AccountRow>>, sqlx::Error> {
        let ledgers: Vec<i32> = keys.iter().map(|key| key.ledger).collect();
        let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
        let rows = sqlx::query(LOCK_ACCOUNTS)
            .bind(ledgers)
            .bind(ids)
            .fetch_all(self.counted())
            .await?;
        self.is_locked = true;
        self.places.clear();
        let mut accounts = Vec::with_capacity(keys.len());
        // Both sides are in the order of (ledger, id).
        let mut missing = keys.iter();
        for row in &rows {
            let (key, place, row) = account(row)?;
            accounts.extend(missing.by_ref().take_while(|k| **k != key).map(|_| None));
            accounts.push(Some(row));
            self.places.push((key, place));
        }
        accounts.extend(missing.map(|_| None));
        assert_eq!(
            accounts.len(),
            keys.len(),
            "accounts come back in the order of their keys"
        );
        Ok(accounts)
    }

    async fn transfers_and_clock(
        &mut self,
        ids: &[TransferId],
    ) -> Result<(Vec<Option<schemas::Transfer>>, Timestamp), sqlx::Error> {
        let uuids: Vec<Uuid> = ids
            .iter()
            .map(|id| Uuid::from_bytes(id.to_bytes()))
            .collect();
        let rows = sqlx::query(TRANSFERS_AND_CLOCK)
            .bind(uuids)
            .fetch_all(self.counted())
            .await?;
        let microseconds: i64 = rows
            .first()
            .ok_or(sqlx::Error::RowNotFound)?
            .try_get("now_microseconds")?;
        let mut known = HashMap::new();
        for row in &rows {
            if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
                let TransferRow { transfer, .. } = TransferRow::from_row(row)?;
                known.insert(transfer.id, transfer);
            }
        }
        let transfers = ids.iter().map(|id| known.remove(id)).collect();
        Ok((transfers, Timestamp::from_nanoseconds(microseconds * 1000)))
    }
}

impl Transaction for Batch {
    async fn load(&mut self, reads: &Reads) -> Result<(Rows, Timestamp), Error> {
        let accounts = self
            .lock_accounts(&reads.accounts)
            .await
            .map_err(|error| classify("locking the accounts of a batch", error))?;
        let (transfers, now) = self
            .transfers_and_clock(&reads.transfers)
            .await
            .map_err(|error| classify("reading the transfers of a batch", error))?;
        Ok((
            Rows {
                accounts,
                transfers,
            },
            now.max(self.certain_at),
        ))
    }

    async fn write(&mut self, commit: &Commit) -> Result<(), Error> {
        assert!(
            self.is_locked,
            "the commit's serial is drawn after the locks"
        );
        let posted = self.write_accounts(commit).await?;
        let statements = journal::append(&mut self.transaction, commit.entry(), &posted)
            .await
            .map_err(|error| match error {
                AppendError::Postgres { doing, source } => classify(doing, source),
                AppendError::Rows { .. } => Error::Stopped(error.to_string()),
            })?;
        metrics::statements(statements);
        Ok(())
    }

    async fn commit(self) -> Result<(), Error> {
        metrics::statements(1);
        self.transaction
            .commit()
            .await
            .map_err(|error| Error::unavailable("committing a batch", error))
    }
}

const TRANSFERS_AND_CLOCK: &str = concat!(
    "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_microseconds, ",
    transfer_columns!(),
    "  FROM (SELECT) AS clock
       LEFT JOIN transfers t ON t.id = ANY ($1)"
);

/// A sorted UPDATE … FROM gives no lock order; this does. `rows::account` reads the columns by number.
const LOCK_ACCOUNTS: &str = "
    SELECT a.ctid, a.ledger, a.id, a.currency, a.exponent, a.type, a.status, a.balance, a.min_balance, a.version,
           a.metadata, a.opening_min_balance, a.opening_metadata, a.opened_at, a.changed_at
      FROM unnest($1::int[], $2::text[]) AS k (ledger, id)
      JOIN accounts a ON a.ledger = k.ledger AND a.id = k.id
     ORDER BY a.ledger, a.id
       FOR NO KEY UPDATE OF a";
