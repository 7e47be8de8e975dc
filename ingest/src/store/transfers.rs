//! Transfers, by id, in pages and by their time line.
//!
//! Invariant: a page is a range of one index, newest first.

use std::collections::HashSet;

use journal::{TransferRow, partition_number, select_transfers};
use schemas::{AccountId, LinePosition, Transfer, TransferId, TransferStatus};
use sqlx::types::Uuid;

use super::{Store, Unavailable};

/// The last row seen of a list by time: the next page begins below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Below {
    pub(crate) decided_at: i64,
    pub(crate) id: [u8; 16],
}

impl Below {
    /// Above everything.
    pub(crate) const START: Self = Self {
        decided_at: i64::MAX,
        id: [0xff; 16],
    };

    pub(crate) fn of(transfer: &Transfer) -> Self {
        Self {
            decided_at: transfer.decided_at.nanoseconds(),
            id: transfer.id.to_bytes(),
        }
    }
}

/// Which list of refused transfers of one account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusedSide {
    Debit,
    Credit,
}

/// The commit in which a transfer was decided.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct CommitRow {
    pub(crate) first_position: i64,
    pub(crate) position: i64,
    pub(crate) epoch: i64,
    pub(crate) hash: Vec<u8>,
}

impl Store {
    pub(crate) async fn transfer(
        &self,
        ledger: i32,
        id: TransferId,
    ) -> Result<Option<TransferRow>, Unavailable> {
        const SQL: &str = select_transfers!("WHERE id = $1 AND ledger = $2");
        let query = sqlx::query_as(SQL)
            .bind(Uuid::from_bytes(id.to_bytes()))
            .bind(ledger)
            .fetch_optional(&self.pool);
        self.read("reading a transfer", query).await
    }

    /// Those of `ids` that are decided, in no order.
    pub(crate) async fn transfers(
        &self,
        ledger: i32,
        ids: &[TransferId],
    ) -> Result<Vec<TransferRow>, Unavailable> {
        const SQL: &str = select_transfers!("WHERE id = ANY($1) AND ledger = $2");
        let ids: Vec<Uuid> = ids
            .iter()
            .map(|id| Uuid::from_bytes(id.to_bytes()))
            .collect();
        let query = sqlx::query_as(SQL)
            .bind(ids)
            .bind(ledger)
            .fetch_all(&self.pool);
        self.read("reading transfers", query).await
    }

    /// Those of these transfers, each of its ledger, that are decided or dead letters.
    pub(crate) async fn decided_among(
        &self,
        asked: &[(i32, TransferId)],
    ) -> Result<HashSet<(i32, TransferId)>, Unavailable> {
        const SQL: &str = "SELECT ledger, id
               FROM unnest($1::int[], $2::uuid[]) asked (ledger, id)
              WHERE EXISTS (SELECT FROM transfers
                             WHERE transfers.id = asked.id AND transfers.ledger = asked.ledger)
                 OR EXISTS (SELECT FROM dead_letters
                             WHERE dead_letters.transfer_id = asked.id AND dead_letters.ledger = asked.ledger)";
        let (ledgers, ids): (Vec<i32>, Vec<Uuid>) = asked
            .iter()
            .map(|(ledger, id)| (ledger, Uuid::from_bytes(id.to_bytes())))
            .unzip();
        let query = sqlx::query_as::<_, (i32, Uuid)>(SQL)
            .bind(ledgers)
            .bind(ids)
            .fetch_all(&self.pool);
        let rows = self
            .read("looking whether transfers are decided", query)
            .await?;
        let decided = rows
            .into_iter()
            .map(|(ledger, id)| (ledger, TransferId::from_bytes(id.into_bytes())));
        Ok(decided.collect())
    }

    /// Posted and refused transfers of a ledger, newest first.
    pub(crate) async fn decided_transfers(
        &self,
        ledger: i32,
        status: Option<TransferStatus>,
        below: Below,
        limit: i64,
    ) -> Result<Vec<TransferRow>, Unavailable> {
        const ALL: &str = select_transfers!(
            "WHERE ledger = $1 AND decided_at <= $2 AND (decided_at, id) < ($2, $3)
              ORDER BY decided_at DESC, id DESC LIMIT $4"
        );
        const POSTED: &str = select_transfers!(
            "WHERE ledger = $1 AND decided_at <= $2 AND (decided_at, id) < ($2, $3) AND reason IS NULL
              ORDER BY decided_at DESC, id DESC LIMIT $4"
        );
        const REFUSED: &str = select_transfers!(
            "WHERE ledger = $1 AND decided_at <= $2 AND (decided_at, id) < ($2, $3) AND reason IS NOT NULL
              ORDER BY decided_at DESC, id DESC LIMIT $4"
        );
        let sql = match status {
            None => ALL,
            Some(TransferStatus::Posted) => POSTED,
            Some(TransferStatus::Refused) => REFUSED,
            Some(TransferStatus::Pending) => return Ok(Vec::new()),
        };
        let query = sqlx::query_as(sql)
            .bind(ledger)
            .bind(below.decided_at)
            .bind(Uuid::from_bytes(below.id))
            .bind(limit)
            .fetch_all(&self.pool);
        self.read("listing transfers", query).await
    }

    /// Posted transfers of an account on both sides, newest first, below one of its versions.
    pub(crate) async fn posted_transfers_of(
        &self,
        ledger: i32,
        account: &AccountId,
        below_version: i64,
        limit: i64,
    ) -> Result<Vec<TransferRow>, Unavailable> {
        const DEBITS: &str = select_transfers!(
            "WHERE ledger = $1 AND debit_account = $2 AND debit_version < $3 AND reason IS NULL
              ORDER BY debit_version DESC LIMIT $4"
        );
        const CREDITS: &str = select_transfers!(
            "WHERE ledger = $1 AND credit_account = $2 AND credit_version < $3 AND reason IS NULL
              ORDER BY credit_version DESC LIMIT $4"
        );
        let side = |sql: &'static str| {
            sqlx::query_as(sql)
                .bind(ledger)
                .bind(account.as_str())
                .bind(below_version)
                .bind(limit)
                .fetch_all(&self.pool)
        };
        let both = async { futures::try_join!(side(DEBITS), side(CREDITS)) };
        let (mut rows, credits): (Vec<TransferRow>, Vec<TransferRow>) =
            self.read("listing an account's transfers", both).await?;
        rows.extend(credits);
        rows.sort_unstable_by_key(|row| std::cmp::Reverse(row.transfer.version_of(account)));
        rows.truncate(usize::try_from(limit).unwrap_or(0));
        Ok(rows)
    }

    /// Refused transfers of an account, newest first. One from an account to itself is on the debit side only.
    pub(crate) async fn refused_transfers_of(
        &self,
        ledger: i32,
        account: &AccountId,
        side: RefusedSide,
        below: Below,
        limit: i64,
    ) -> Result<Vec<TransferRow>, Unavailable> {
        const DEBITS: &str = select_transfers!(
            "WHERE ledger = $1 AND debit_account = $2 AND decided_at <= $3 AND (decided_at, id) < ($3, $4)
                AND reason IS NOT NULL
              ORDER BY decided_at DESC, id DESC LIMIT $5"
        );
        const CREDITS: &str = select_transfers!(
            "WHERE ledger = $1 AND credit_account = $2 AND decided_at <= $3 AND (decided_at, id) < ($3, $4)
                AND reason IS NOT NULL AND debit_account <> credit_account
              ORDER BY decided_at DESC, id DESC LIMIT $5"
        );
        let sql = match side {
            RefusedSide::Debit => DEBITS,
            RefusedSide::Credit => CREDITS,
        };
        let query = sqlx::query_as(sql)
            .bind(ledger)
            .bind(account.as_str())
            .bind(below.decided_at)
            .bind(Uuid::from_bytes(below.id))
            .bind(limit)
            .fetch_all(&self.pool);
        self.read("listing an account's refused transfers", query)
            .await
    }

    /// The commit that holds a position.
    pub(crate) async fn commit_of(
        &self,
        at: LinePosition,
    ) -> Result<Option<CommitRow>, Unavailable> {
        const SQL: &str = "SELECT first_position, position, epoch, hash
               FROM commits
              WHERE partition = $1 AND position >= $2
              ORDER BY position LIMIT 1";
        let query = sqlx::query_as(SQL)
            .bind(partition_number(at.partition))
            .bind(at.position.number())
            .fetch_optional(&self.pool);
        self.read("reading a commit", query).await
    }
}
