//! What accounts were when commits began to have an order.
//!
//! Invariant: it follows from the outcomes before, and from nothing else; a database that always had the order begins
//! with no account at all.

use futures::TryStreamExt;
use journal::{columns, stored_outcome};
use ledger::AccountKey;
use schemas::{AccountId, Outcome, Partition, Position, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};

use super::again::opened;
use super::book::Book;
use crate::Error;
use crate::report::CheckResult;

/// Where the first commit of a partition that has a serial begins.
pub(crate) struct Cut {
    pub(crate) partition: Partition,
    pub(crate) position: Position,
}

/// Puts every account into the book that was opened before the cuts.
pub(crate) async fn fill(
    snapshot: &mut PgConnection,
    book: &Book,
    cuts: &[Cut],
    check: &mut CheckResult,
) -> Result<(), Error> {
    let partitions: Vec<i16> = cuts
        .iter()
        .map(|cut| journal::partition_number(cut.partition))
        .collect();
    let positions: Vec<i64> = cuts.iter().map(|cut| cut.position.number()).collect();
    let failed = Error::postgres("reading what accounts were before commits had an order");
    let mut changes = sqlx::query(CHANGES)
        .bind(&partitions)
        .bind(&positions)
        .fetch(&mut *snapshot);
    while let Some(row) = changes.try_next().await.map_err(failed)? {
        match change(&row) {
            Ok(change) => apply(book, change)?,
            Err(error) => check.found(format!("an outcome cannot be read: {error}")),
        }
    }
    drop(changes);
    let mut postings = sqlx::query(POSTINGS)
        .bind(&partitions)
        .bind(&positions)
        .fetch(&mut *snapshot);
    while let Some(row) = postings.try_next().await.map_err(failed)? {
        // What is no id is found where its posting is checked.
        if let Ok(posted) = posted(&row) {
            posted.apply(book)?;
        }
    }
    Ok(())
}

struct Change {
    ledger: i32,
    decided_at: Timestamp,
    outcome: Outcome,
}

fn change(row: &PgRow) -> Result<Change, sqlx::Error> {
    Ok(Change {
        ledger: row.try_get("ledger")?,
        decided_at: columns::timestamp(row, "decided_at")?,
        outcome: stored_outcome(row.try_get("kind")?, row.try_get("data")?)?,
    })
}

fn apply(book: &Book, change: Change) -> Result<(), Error> {
    let (Outcome::AccountOpened(account)
    | Outcome::AccountChanged(account)
    | Outcome::AccountFrozen(account)
    | Outcome::AccountUnfrozen(account)
    | Outcome::AccountClosed(account)) = change.outcome
    else {
        return Ok(());
    };
    let key = AccountKey {
        ledger: change.ledger,
        id: account.id.clone(),
    };
    let known = book.get([&key])?.remove(0);
    let mut row = known.unwrap_or_else(|| opened(&account, change.decided_at));
    row.account = account;
    row.changed_at = change.decided_at;
    book.put([(&key, &row)])
}

/// What an account's postings come to.
struct Posted {
    key: AccountKey,
    balance: i64,
    version: i64,
    last_at: Timestamp,
}

fn posted(row: &PgRow) -> Result<Posted, sqlx::Error> {
    Ok(Posted {
        key: AccountKey {
            ledger: row.try_get("ledger")?,
            id: columns::parsed(AccountId::parse(row.try_get("account")?))?,
        },
        balance: row.try_get("balance")?,
        version: row.try_get("version")?,
        last_at: columns::timestamp(row, "last_at")?,
    })
}

impl Posted {
    fn apply(self, book: &Book) -> Result<(), Error> {
        if let Some(mut row) = book.get([&self.key])?.remove(0) {
            row.account.balance.minor = self.balance;
            row.account.version = self.version;
            row.changed_at = row.changed_at.max(self.last_at);
            book.put([(&self.key, &row)])?;
        }
        Ok(())
    }
}

/// An account's changes are all decided by its own partition, so this is their order.
const CHANGES: &str = "
    SELECT o.ledger, o.decided_at, o.kind, o.data
      FROM outcomes o
      JOIN unnest($1::smallint[], $2::bigint[]) AS cut (partition, position) ON cut.partition = o.partition
     WHERE o.position < cut.position AND o.transfer_id IS NULL AND o.kind LIKE 'sluice.account.%'
     ORDER BY o.partition, o.position, o.line";

const POSTINGS: &str = "
    SELECT e.ledger, e.account, count(*) AS version, max(e.decided_at) AS last_at,
           CASE WHEN sum(e.amount) BETWEEN -9223372036854775808 AND 9223372036854775807
                THEN sum(e.amount)::bigint END AS balance
      FROM entries e
      JOIN unnest($1::smallint[], $2::bigint[]) AS cut (partition, position) ON cut.partition = e.partition
     WHERE e.position < cut.position
     GROUP BY e.ledger, e.account";
