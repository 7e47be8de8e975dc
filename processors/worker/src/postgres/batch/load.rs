//! What a batch is decided from.
//!
//! Invariant: the clock is read behind all locks, or, for accounts that are remembered, behind BEGIN, and behind those that
//! are read without a lock: nobody else changed them between then and their confirmation.

use std::collections::HashMap;
use std::iter::Peekable;
use std::vec;

use journal::{TransferRow, select_transfers};
use ledger::{AccountKey, AccountRow, Reads};
use schemas::{Timestamp, Transfer, TransferId};
use sqlx::postgres::PgRow;
use sqlx::{FromRow as _, Row as _};
use uuid::Uuid;

use crate::postgres::classify;
use crate::postgres::counted::Counted;
use crate::postgres::memory::Held;
use crate::postgres::rows::account;
use crate::postgres::session::Prepared;
use crate::{Error, metrics};

/// What came with BEGIN.
pub(super) struct FirstLook {
    pub(super) now: Timestamp,
    /// Keys of the batch that are taken; one that is taken by now is met when it is inserted.
    pub(super) taken: Vec<Uuid>,
}

impl FirstLook {
    /// From the rows of `FIND_KEYS`.
    pub(super) fn read(rows: &[PgRow]) -> Result<Self, Error> {
        let failed = |error| classify("looking for the keys of a batch", error);
        let first = rows.first().ok_or(sqlx::Error::RowNotFound);
        let now = first.and_then(|row| row.try_get(0)).map_err(failed)?;
        let taken = rows.iter().map(|row| row.try_get(1));
        let taken: Vec<Option<Uuid>> = taken.collect::<Result<_, _>>().map_err(failed)?;
        Ok(Self {
            now: microseconds(now),
            taken: taken.into_iter().flatten().collect(),
        })
    }
}

/// The accounts of a batch.
pub(in crate::postgres) struct Accounts {
    /// Those that exist, in the order of their keys.
    pub(in crate::postgres) held: Vec<Held>,
    /// One for each key.
    pub(in crate::postgres) rows: Vec<Option<AccountRow>>,
    pub(in crate::postgres) now: Timestamp,
}

impl Accounts {
    /// From memory as far as they were `taken` there, one for each key; the others are read. All are to be confirmed.
    pub(super) async fn believe(
        transaction: &mut Counted,
        keys: &[AccountKey],
        taken: Vec<Option<Held>>,
        now: Timestamp,
    ) -> Result<Self, Error> {
        let pairs = keys.iter().zip(&taken);
        let missing = pairs.filter_map(|(key, taken)| taken.is_none().then_some(key));
        let missing: Vec<&AccountKey> = missing.collect();
        metrics::accounts_remembered(keys.len() - missing.len());
        if missing.is_empty() {
            return Ok(Self::of(taken, now));
        }
        let mut read = Found::ask(transaction, READ_ACCOUNTS, &missing).await?;
        let pairs = keys.iter().zip(taken);
        let found = pairs.map(|(key, taken)| taken.or_else(|| read.next_if(key)));
        let found = found.collect();
        Ok(Self::of(found, read.end().max(now)))
    }

    pub(in crate::postgres) async fn lock(
        transaction: &mut Counted,
        keys: &[AccountKey],
    ) -> Result<Self, Error> {
        let all: Vec<&AccountKey> = keys.iter().collect();
        let mut locked = Found::ask(transaction, LOCK_ACCOUNTS, &all).await?;
        let found = keys.iter().map(|key| locked.next_if(key)).collect();
        Ok(Self::of(found, locked.end()))
    }

    fn of(found: Vec<Option<Held>>, now: Timestamp) -> Self {
        let row = |held: &Option<Held>| held.as_ref().map(|held| held.row.clone());
        Self {
            rows: found.iter().map(row).collect(),
            held: found.into_iter().flatten().collect(),
            now,
        }
    }
}

/// Rows of accounts, in the order of their keys.
struct Found {
    held: Peekable<vec::IntoIter<Held>>,
    now: Timestamp,
}

impl Found {
    async fn ask(
        transaction: &mut Counted,
        statement: &'static str,
        keys: &[&AccountKey],
    ) -> Result<Self, Error> {
        let failed = |error| classify("reading the accounts of a batch", error);
        let rows = sqlx::query(statement)
            .bind(column(keys, |key| key.ledger))
            .bind(column(keys, |key| key.id.as_str()))
            .fetch_all(transaction.ask())
            .await
            .map_err(failed)?;
        let now = rows.first().ok_or(sqlx::Error::RowNotFound);
        let now = now.and_then(|row| row.try_get(16)).map_err(failed)?;
        let held = rows.iter().filter_map(|row| account(row).transpose());
        let held: Vec<Held> = held.collect::<Result<_, _>>().map_err(failed)?;
        metrics::accounts_read(held.len());
        Ok(Self {
            held: held.into_iter().peekable(),
            now: microseconds(now),
        })
    }

    fn next_if(&mut self, key: &AccountKey) -> Option<Held> {
        self.held.next_if(|held| held.key == *key)
    }

    /// The clock behind the rows.
    fn end(self) -> Timestamp {
        assert_eq!(
            self.held.len(),
            0,
            "accounts come back in the order of their keys"
        );
        self.now
    }
}

/// The transfers that own the keys of the batch, of which at most these are `taken`.
pub(in crate::postgres) async fn transfers(
    transaction: &mut Counted,
    reads: &Reads,
    taken: Vec<Uuid>,
) -> Result<Vec<Option<Transfer>>, Error> {
    let mut known = HashMap::new();
    if !taken.is_empty() {
        let failed = |error| classify("reading the transfers of a batch", error);
        let rows = sqlx::query(TRANSFERS)
            .bind(taken)
            .fetch_all(transaction.ask())
            .await
            .map_err(failed)?;
        for row in &rows {
            let TransferRow { transfer, .. } = TransferRow::from_row(row).map_err(failed)?;
            known.insert(transfer.id, transfer);
        }
    }
    let mut transfer = |id: &TransferId| known.remove(id);
    Ok(reads.transfers.iter().map(&mut transfer).collect())
}

/// Locks accounts that are believed; whether they are what was believed.
pub(super) async fn confirm(transaction: &mut Counted, held: &[Held]) -> Result<bool, Error> {
    let confirmed: i64 = sqlx::query_scalar(CONFIRM_ACCOUNTS)
        .bind(column(held, |held| held.key.ledger))
        .bind(column(held, |held| held.key.id.as_str()))
        .bind(column(held, |held| held.version.place))
        .bind(column(held, |held| held.version.writer))
        .fetch_one(transaction.ask())
        .await
        .map_err(|error| classify("confirming the accounts of a batch", error))?;
    Ok(usize::try_from(confirmed) == Ok(held.len()))
}

fn column<'r, R, V>(rows: &'r [R], get: impl Fn(&'r R) -> V) -> Vec<V> {
    rows.iter().map(get).collect()
}

fn microseconds(since_1970: i64) -> Timestamp {
    Timestamp::from_nanoseconds(since_1970 * 1000)
}

/// A clock, and which of the keys are taken: never before the time of a decision that it sees.
pub(in crate::postgres) const FIND_KEYS: Prepared = Prepared {
    name: "find_keys",
    text: "
    SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_microseconds, t.id
      FROM (SELECT) AS clock
      LEFT JOIN transfers t ON t.id = ANY ($1)",
};

const TRANSFERS: &str = select_transfers!("WHERE t.id = ANY ($1)");

/// Accounts by their keys, with a clock beside an aggregate, which reads its input to the end. `rows::account` reads the
/// columns by number.
macro_rules! select_accounts {
    ($lock:literal) => {
        concat!(
            "
    WITH found AS MATERIALIZED (
        SELECT a.ctid AS place, a.ledger, a.id, a.currency, a.exponent, a.type, a.status, a.balance, a.min_balance,
               a.version, a.metadata, a.opening_min_balance, a.opening_metadata, a.opened_at, a.changed_at,
               a.xmin AS writer
          FROM unnest($1::int[], $2::text[]) AS k (ledger, id)
          JOIN accounts a ON a.ledger = k.ledger AND a.id = k.id
         ORDER BY a.ledger, a.id
           ",
            $lock,
            "
    ), clock AS MATERIALIZED (
        SELECT count(*) AS found, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_microseconds
          FROM found
    )
    SELECT f.place, f.ledger, f.id, f.currency, f.exponent, f.type, f.status, f.balance, f.min_balance, f.version,
           f.metadata, f.opening_min_balance, f.opening_metadata, f.opened_at, f.changed_at, f.writer,
           clock.now_microseconds
      FROM clock
      LEFT JOIN found f ON clock.found > 0
     ORDER BY f.ledger, f.id"
        )
    };
}

/// A sorted UPDATE … FROM gives no lock order; this does.
const LOCK_ACCOUNTS: &str = select_accounts!("FOR NO KEY UPDATE OF a");

const READ_ACCOUNTS: &str = select_accounts!("");

/// In one order, that of `number`.
const CONFIRM_ACCOUNTS: &str = "
    SELECT count(*)
      FROM (SELECT
              FROM unnest($1::int[], $2::text[], $3::tid[], $4::xid[])
                   WITH ORDINALITY AS u (ledger, id, place, writer, number)
              JOIN accounts a ON a.ctid = u.place AND a.xmin = u.writer
                              AND (a.ledger, a.id) IS NOT DISTINCT FROM (u.ledger, u.id)
             ORDER BY u.number
               FOR NO KEY UPDATE OF a) AS confirmed";
