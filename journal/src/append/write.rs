//! What every commit writes: balances, transfers and its own row, in one statement.
//!
//! Invariant: accounts are locked, keys are taken and the commit's serial is drawn, in this order; and nothing is inserted
//! unless every account is what was decided from. The parts of the statement do not see one another: each writes a table
//! of its own that no other part reads, each row once, and no trigger or foreign key ties the tables; so each waits for
//! the count of the one before.

use schemas::{After, Funds, Metadata, Outcome, Seen, Transfer, TransferOrder, Verdict};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use super::{
    AppendError, Appended, Decided, Entry, Posted, column, expect_rows, failed, text, uuid,
};
use crate::RowPlace;
use crate::columns::{line_number, partition_number};

pub(super) async fn write(
    connection: &mut PgConnection,
    entry: Entry<'_>,
    posted: &[Posted<'_>],
) -> Result<Appended, AppendError> {
    let rows = first_decisions(entry);
    let record = entry.record;
    let written = sqlx::query(WRITE)
        .bind(partition_number(entry.record.partition))
        .bind(column(&rows, |row| uuid(row.transfer.id)))
        .bind(column(&rows, |row| row.ledger))
        .bind(column(&rows, |row| row.transfer.position.number()))
        .bind(column(&rows, |row| line_number(row.line)))
        .bind(column(&rows, |row| {
            row.transfer
                .refusal()
                .map(|refusal| refusal.reason.as_str())
        }))
        .bind(column(&rows, |row| {
            row.transfer
                .refusal()
                .map(|refusal| refusal.detail.as_str())
        }))
        .bind(column(&rows, |row| row.order().debit_account.as_str()))
        .bind(column(&rows, |row| row.order().credit_account.as_str()))
        .bind(column(&rows, |row| row.order().amount.minor()))
        .bind(column(&rows, |row| i16::from(row.order().exponent)))
        .bind(column(&rows, |row| row.order().currency.as_str()))
        .bind(column(&rows, |row| row.order().description.as_deref()))
        .bind(column(&rows, |row| {
            row.order().metadata.as_ref().map(Metadata::as_str)
        }))
        .bind(column(&rows, |row| row.order().idempotency_key.as_str()))
        .bind(column(&rows, |row| row.transfer.accepted_at.nanoseconds()))
        .bind(column(&rows, |row| row.transfer.decided_at.nanoseconds()))
        .bind(column(&rows, |row| row.debit().map(|after| after.version)))
        .bind(column(&rows, |row| row.credit().map(|after| after.version)))
        .bind(column(&rows, |row| row.debit().map(|after| after.balance)))
        .bind(column(&rows, |row| row.credit().map(|after| after.balance)))
        .bind(column(&rows, |row| {
            row.funds_seen().map(|funds| funds.balance)
        }))
        .bind(column(&rows, |row| row.seen().map(|seen| seen.version)))
        .bind(column(&rows, |row| row.funds_seen()?.min_balance))
        .bind(column(&rows, |row| text(row.transfer.actor.as_ref())))
        .bind(column(posted, |row| row.ledger))
        .bind(column(posted, |row| row.id.as_str()))
        .bind(column(posted, |row| row.decided_from.place))
        .bind(column(posted, |row| row.decided_from.writer))
        .bind(column(posted, |row| row.balance))
        .bind(column(posted, |row| row.version))
        .bind(column(posted, |row| row.changed_at.nanoseconds()))
        .bind(record.position.number())
        .bind(record.first_position.number())
        .bind(entry.decided_at.nanoseconds())
        .bind(entry.epoch)
        .bind(i32::try_from(record.count).expect("a batch holds fewer than 2^31 commands"))
        .bind(record.encoder)
        .bind(&record.previous_hash[..])
        .bind(&record.hash[..])
        .bind(entry.rules)
        .fetch_optional(&mut *connection)
        .await
        .map_err(failed(DOING))?
        .ok_or(AppendError::Changed)?;
    appended(&written, rows.len(), posted.len())
}

fn appended(written: &PgRow, transfers: usize, accounts: usize) -> Result<Appended, AppendError> {
    let count: i64 = written.try_get("transfers").map_err(failed(DOING))?;
    expect_rows(count.cast_unsigned(), transfers, "transfers")?;
    let places: Vec<RowPlace> = written.try_get("places").map_err(failed(DOING))?;
    expect_rows(places.len() as u64, accounts, "accounts")?;
    Ok(Appended {
        places,
        writer: written.try_get("writer").map_err(failed(DOING))?,
        statements: 1,
    })
}

const DOING: &str = "writing balances, transfers and the commit";

/// A row of `transfers` to be.
struct FirstDecision<'a> {
    ledger: i32,
    line: u32,
    transfer: &'a Transfer,
}

impl FirstDecision<'_> {
    fn order(&self) -> &TransferOrder {
        &self.transfer.order
    }

    fn debit(&self) -> Option<After> {
        match self.transfer.verdict {
            Verdict::Posted { debit, .. } => Some(debit),
            Verdict::Refused { .. } => None,
        }
    }

    fn credit(&self) -> Option<After> {
        match self.transfer.verdict {
            Verdict::Posted { credit, .. } => Some(credit),
            Verdict::Refused { .. } => None,
        }
    }

    fn seen(&self) -> Option<Seen> {
        match self.transfer.verdict {
            Verdict::Posted { .. } => None,
            Verdict::Refused { seen, .. } => seen,
        }
    }

    fn funds_seen(&self) -> Option<Funds> {
        self.seen()?.funds
    }
}

/// A key may reach two partitions at once: in one order, that of the ids, the two wait for each other instead of dying.
fn first_decisions(entry: Entry<'_>) -> Vec<FirstDecision<'_>> {
    let mut decided: Vec<_> = entry
        .events
        .iter()
        .filter_map(|Decided { ledger, event, .. }| match &event.outcome {
            Outcome::Decided(transfer) => Some(FirstDecision {
                ledger: ledger.expect("a transfer has a ledger"),
                line: event.at.line,
                transfer,
            }),
            _ => None,
        })
        .collect();
    decided.sort_unstable_by_key(|row| row.transfer.id);
    decided
}

/// Balances are found by the places of their rows, without an index, each only if its row is the version that was decided
/// from: of this key, as a rewrite of the table (`VACUUM FULL`) may put another row of the same writer there. Locks are
/// taken in the order of `number`, which is that of the keys.
///
/// Arrays are taken apart side by side in the list of what is selected, row by row; a function in FROM would keep each of
/// its results first, column by column.
///
/// An aggregate reads its input to the end before it gives a row, and without that row nothing is inserted. The serial of
/// the commit is drawn by its column's default, for the row that comes out of the counts.
const WRITE: &str = "
    WITH posted AS (
        UPDATE accounts a
           SET balance = u.balance,
               version = u.version,
               changed_at = u.changed_at
          FROM (SELECT unnest($26::int[]) AS ledger, unnest($27::text[]) AS id, unnest($28::tid[]) AS place,
                       unnest($29::xid[]) AS writer, unnest($30::bigint[]) AS balance, unnest($31::bigint[]) AS version,
                       unnest($32::bigint[]) AS changed_at, generate_subscripts($28::tid[], 1) AS number) AS u
         WHERE a.ctid = u.place AND a.xmin = u.writer
           AND (a.ledger, a.id) IS NOT DISTINCT FROM (u.ledger, u.id)
     RETURNING u.number, a.ctid AS place
    ), accounts_posted AS (
        SELECT coalesce(array_agg(place ORDER BY number), '{}') AS places
          FROM posted
        HAVING count(*) = cardinality($28::tid[])
    ), decided AS (
        INSERT INTO transfers (partition, id, ledger, position, line, reason, detail, debit_account, credit_account,
               amount, exponent, currency, description, metadata, idempotency_key, accepted_at, decided_at,
               debit_version, credit_version, debit_balance_after, credit_balance_after, balance_seen, version_seen,
               min_balance_seen, actor)
        SELECT $1, unnest($2::uuid[]), unnest($3::int[]), unnest($4::bigint[]), unnest($5::int[]),
               unnest($6::text[]), unnest($7::text[]), unnest($8::text[]), unnest($9::text[]),
               unnest($10::bigint[]), unnest($11::smallint[]), unnest($12::text[]), unnest($13::text[]),
               unnest($14::text[]), unnest($15::text[]), unnest($16::bigint[]), unnest($17::bigint[]),
               unnest($18::bigint[]), unnest($19::bigint[]), unnest($20::bigint[]), unnest($21::bigint[]),
               unnest($22::bigint[]), unnest($23::bigint[]), unnest($24::bigint[]), unnest($25::text[])
          FROM accounts_posted
     RETURNING 1
    ), transfers_decided AS (
        SELECT count(*) AS count
          FROM decided
    )
    INSERT INTO commits (partition, position, first_position, decided_at, epoch, commands, encoder, previous_hash, hash,
           rules)
    SELECT $1, $33, $34, $35, $36, $37, $38, $39, $40, $41
      FROM accounts_posted, transfers_decided
     WHERE transfers_decided.count >= 0
 RETURNING (SELECT places FROM accounts_posted) AS places, (SELECT count FROM transfers_decided) AS transfers,
           pg_current_xact_id()::xid AS writer";
