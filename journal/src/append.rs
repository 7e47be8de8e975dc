//! What a transaction adds to the journal: transfers, other outcomes, dead letters, the commit itself.
//!
//! Invariant: rows are only inserted, and as many as were decided. The commit comes last: its serial is drawn then,
//! while every account that it touches is locked.

use schemas::{
    Actor, After, Encoder, Event, EventData, Funds, Metadata, Outcome, Seen, Timestamp, Transfer,
    TransferId, TransferOrder, Verdict,
};
use sqlx::PgConnection;
use sqlx::types::Uuid;
use streams::EventRecord;

use crate::DeadLetter;
use crate::columns::{line_number, partition_number};

/// One outcome and what only its row tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decided {
    /// Number of the ledger; `None` for a dead letter that names none.
    pub ledger: Option<i32>,
    pub event: Event,
    /// The command's line, where it cannot be made again from the row: not for transfers, which carry all of it, nor
    /// for replays, which repeat one.
    pub command: Option<Box<str>>,
}

/// A commit with everything that the journal keeps of it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub epoch: i64,
    pub decided_at: Timestamp,
    /// Version of the core that decided.
    pub rules: i16,
    /// In the order of the log, dead letters among them.
    pub events: &'a [Decided],
    pub dead: &'a [DeadLetter],
    pub record: &'a EventRecord,
}

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    #[error("{doing}")]
    Postgres {
        doing: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("{written} rows of {table} were written, {decided} were decided")]
    Rows {
        table: &'static str,
        written: u64,
        decided: usize,
    },
}

/// Adds a commit, in the transaction that holds its locks; gives how many statements it took.
///
/// # Errors
/// As [`AppendError`] says; the transaction is to be rolled back.
pub async fn append(connection: &mut PgConnection, entry: Entry<'_>) -> Result<u64, AppendError> {
    Ok(insert_transfers(connection, entry).await?
        + insert_outcomes(connection, entry).await?
        + bury(connection, entry).await?
        + insert_commit(connection, entry).await?)
}

async fn insert_transfers(
    connection: &mut PgConnection,
    entry: Entry<'_>,
) -> Result<u64, AppendError> {
    let rows = first_decisions(entry);
    if rows.is_empty() {
        return Ok(0);
    }
    let inserted = sqlx::query(INSERT_TRANSFERS)
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
        .execute(&mut *connection)
        .await
        .map_err(failed("inserting transfers"))?;
    expect_rows(inserted.rows_affected(), rows.len(), "transfers")?;
    Ok(1)
}

async fn insert_outcomes(
    connection: &mut PgConnection,
    entry: Entry<'_>,
) -> Result<u64, AppendError> {
    let rows: Vec<&Decided> = entry
        .events
        .iter()
        .filter(|decided| {
            let outcome = &decided.event.outcome;
            !matches!(outcome, Outcome::Decided(_) | Outcome::DeadLettered(_))
        })
        .collect();
    if rows.is_empty() {
        return Ok(0);
    }
    let inserted = sqlx::query(INSERT_OUTCOMES)
        .bind(partition_number(entry.record.partition))
        .bind(column(&rows, |row| row.event.at.position.number()))
        .bind(column(&rows, |row| line_number(row.event.at.line)))
        .bind(column(&rows, |row| {
            row.ledger.expect("a command has a ledger")
        }))
        .bind(column(&rows, |row| row.event.decided_at.nanoseconds()))
        .bind(column(&rows, |row| row.event.outcome.kind().as_str()))
        .bind(column(&rows, |row| repeated(&row.event.outcome)))
        .bind(column(&rows, |row| data(&row.event.outcome)))
        .bind(column(&rows, |row| text(row.event.actor.as_ref())))
        .bind(column(&rows, |row| row.command.as_deref()))
        .execute(&mut *connection)
        .await
        .map_err(failed("inserting outcomes"))?;
    expect_rows(inserted.rows_affected(), rows.len(), "outcomes")?;
    Ok(1)
}

/// The transfer that an outcome repeats; then its data is that transfer's row.
fn repeated(outcome: &Outcome) -> Option<Uuid> {
    match outcome {
        Outcome::Replayed(replayed) => Some(uuid(replayed.transfer.id)),
        _ => None,
    }
}

/// The data of every other outcome: of no transfer, so that all encoders write the same.
fn data(outcome: &Outcome) -> Option<String> {
    if repeated(outcome).is_some() {
        return None;
    }
    let json = serde_json::to_string(&EventData(outcome, Encoder::NEWEST));
    Some(json.expect("strings and integers have a JSON text"))
}

async fn bury(connection: &mut PgConnection, entry: Entry<'_>) -> Result<u64, AppendError> {
    let rows = entry.dead;
    if rows.is_empty() {
        return Ok(0);
    }
    let inserted = sqlx::query(BURY)
        .bind(partition_number(entry.record.partition))
        .bind(entry.decided_at.nanoseconds())
        .bind(column(rows, |row| row.at.position.number()))
        .bind(column(rows, |row| line_number(row.at.line)))
        .bind(column(rows, |row| row.whole))
        .bind(column(rows, |row| row.recorded_at.nanoseconds()))
        .bind(column(rows, |row| {
            row.ledger.as_ref().map(|(number, _)| *number)
        }))
        .bind(column(rows, |row| row.reason.as_str()))
        .bind(column(rows, |row| row.detail.as_str()))
        .bind(column(rows, |row| row.transfer_id.map(uuid)))
        .bind(column(rows, |row| &row.body[..]))
        .bind(column(rows, |row| row.actor.to_string()))
        .bind(column(rows, |row| {
            (!row.headers.is_empty()).then_some(&row.headers[..])
        }))
        .execute(&mut *connection)
        .await
        .map_err(failed("keeping dead letters"))?;
    expect_rows(inserted.rows_affected(), rows.len(), "dead_letters")?;
    Ok(1)
}

async fn insert_commit(
    connection: &mut PgConnection,
    entry: Entry<'_>,
) -> Result<u64, AppendError> {
    let record = entry.record;
    sqlx::query(INSERT_COMMIT)
        .bind(partition_number(entry.record.partition))
        .bind(record.position.number())
        .bind(record.first_position.number())
        .bind(entry.decided_at.nanoseconds())
        .bind(entry.epoch)
        .bind(i32::try_from(record.count).expect("a batch holds fewer than 2^31 commands"))
        .bind(record.encoder)
        .bind(&record.previous_hash[..])
        .bind(&record.hash[..])
        .bind(entry.rules)
        .execute(&mut *connection)
        .await
        .map(|_| 1)
        .map_err(failed("inserting the commit"))
}

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

/// One value of every row.
fn column<'r, R, V>(rows: &'r [R], get: impl Fn(&'r R) -> V) -> Vec<V> {
    rows.iter().map(get).collect()
}

fn uuid(id: TransferId) -> Uuid {
    Uuid::from_bytes(id.to_bytes())
}

fn text(actor: Option<&Actor>) -> Option<String> {
    actor.map(Actor::to_string)
}

fn failed(doing: &'static str) -> impl FnOnce(sqlx::Error) -> AppendError {
    move |source| AppendError::Postgres { doing, source }
}

fn expect_rows(written: u64, decided: usize, table: &'static str) -> Result<(), AppendError> {
    if usize::try_from(written) == Ok(decided) {
        return Ok(());
    }
    Err(AppendError::Rows {
        table,
        written,
        decided,
    })
}

const INSERT_TRANSFERS: &str = "
    INSERT INTO transfers (partition, id, ledger, position, line, reason, detail, debit_account, credit_account,
           amount, exponent, currency, description, metadata, idempotency_key, accepted_at, decided_at,
           debit_version, credit_version, debit_balance_after, credit_balance_after, balance_seen, version_seen,
           min_balance_seen, actor)
    SELECT $1, *
      FROM unnest($2::uuid[], $3::int[], $4::bigint[], $5::int[], $6::text[], $7::text[], $8::text[], $9::text[],
           $10::bigint[], $11::smallint[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bigint[],
           $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[], $22::bigint[], $23::bigint[],
           $24::bigint[], $25::text[])";

const INSERT_OUTCOMES: &str = "
    INSERT INTO outcomes (partition, position, line, ledger, decided_at, kind, transfer_id, data, actor, command)
    SELECT $1, *
      FROM unnest($2::bigint[], $3::int[], $4::int[], $5::bigint[], $6::text[], $7::uuid[], $8::text[], $9::text[],
           $10::text[])";

const BURY: &str = "
    INSERT INTO dead_letters (partition, decided_at, position, line, whole, recorded_at, ledger, reason, detail,
           transfer_id, body, actor, headers)
    SELECT $1, $2, *
      FROM unnest($3::bigint[], $4::int[], $5::bool[], $6::bigint[], $7::int[], $8::text[], $9::text[], $10::uuid[],
           $11::bytea[], $12::text[], $13::bytea[])";

/// Its serial is drawn by the column's default.
const INSERT_COMMIT: &str = "
    INSERT INTO commits (partition, position, first_position, decided_at, epoch, commands, encoder, previous_hash, hash,
           rules)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)";
