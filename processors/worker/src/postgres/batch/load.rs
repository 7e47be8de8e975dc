//! What a batch is decided from.
//!
//! Invariant: the clock is read behind all locks, or, for accounts that are remembered, behind BEGIN: nobody else changed
//! them between then and their confirmation.

use std::collections::HashMap;

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
    pub(super) fn read(rows: &[PgRow]) -> Result<Self, sqlx::Error> {
        let first = rows.first().ok_or(sqlx::Error::RowNotFound)?;
        let taken = rows.iter().map(|row| row.try_get(1));
        let taken: Vec<Option<Uuid>> = taken.collect::<Result<_, _>>()?;
        Ok(Self {
            now: microseconds(first.try_get(0)?),
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
    /// From memory: to be confirmed.
    pub(super) fn believed(held: Vec<Held>, now: Timestamp) -> Self {
        metrics::accounts_remembered(held.len());
        let rows = held.iter().map(|held| Some(held.row.clone()));
        Self {
            rows: rows.collect(),
            held,
            now,
        }
    }

    pub(in crate::postgres) async fn lock(
        transaction: &mut Counted,
        keys: &[AccountKey],
    ) -> Result<Self, Error> {
        let ledgers: Vec<i32> = keys.iter().map(|key| key.ledger).collect();
        let ids: Vec<&str> = keys.iter().map(|key| key.id.as_str()).collect();
        let failed = |error| classify("locking the accounts of a batch", error);
        let locked = sqlx::query(LOCK_ACCOUNTS)
            .bind(ledgers)
            .bind(ids)
            .fetch_all(transaction.ask())
            .await
            .map_err(failed)?;
        let now = locked.first().ok_or(sqlx::Error::RowNotFound);
        let now = now.and_then(|row| row.try_get(16)).map_err(failed)?;
        let held = locked.iter().filter_map(|row| account(row).transpose());
        let held: Vec<Held> = held.collect::<Result<_, _>>().map_err(failed)?;
        metrics::accounts_read(held.len());
        let mut rows = Vec::with_capacity(keys.len());
        // Both sides are in the order of (ledger, id).
        let mut missing = keys.iter();
        for Held { key, row, .. } in &held {
            rows.extend(missing.by_ref().take_while(|k| *k != key).map(|_| None));
            rows.push(Some(row.clone()));
        }
        rows.extend(missing.map(|_| None));
        assert_eq!(
            rows.len(),
            keys.len(),
            "accounts come back in the order of their keys"
        );
        let now = microseconds(now);
        Ok(Self { held, rows, now })
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

/// A sorted UPDATE … FROM gives no lock order; this does. The clock stands beside an aggregate, which reads its input to
/// the end. `rows::account` reads the columns by number.
const LOCK_ACCOUNTS: &str = "
    WITH locked AS MATERIALIZED (
        SELECT a.ctid AS place, a.ledger, a.id, a.currency, a.exponent, a.type, a.status, a.balance, a.min_balance,
               a.version, a.metadata, a.opening_min_balance, a.opening_metadata, a.opened_at, a.changed_at,
               a.xmin AS writer
          FROM unnest($1::int[], $2::text[]) AS k (ledger, id)
          JOIN accounts a ON a.ledger = k.ledger AND a.id = k.id
         ORDER BY a.ledger, a.id
           FOR NO KEY UPDATE OF a
    ), clock AS MATERIALIZED (
        SELECT count(*) AS locked, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_microseconds
          FROM locked
    )
    SELECT l.place, l.ledger, l.id, l.currency, l.exponent, l.type, l.status, l.balance, l.min_balance, l.version,
           l.metadata, l.opening_min_balance, l.opening_metadata, l.opened_at, l.changed_at, l.writer,
           clock.now_microseconds
      FROM clock
      LEFT JOIN locked l ON clock.locked > 0
     ORDER BY l.ledger, l.id";

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
