//! What a transaction adds to the journal: transfers, other outcomes, dead letters, the commit itself.
//!
//! Invariant: as many rows are written as were decided. The commit's own row comes last: its serial is drawn then, while
//! every account that it touches is locked.

mod write;

use schemas::{AccountId, Actor, Encoder, Event, EventData, Outcome, Timestamp, TransferId};
use sqlx::PgConnection;
use sqlx::types::Uuid;
use streams::EventRecord;

use crate::columns::{line_number, partition_number};
use crate::{DeadLetter, RowPlace, RowVersion, Writer};

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

/// An account that only money moved on, and the version of its row that was decided from.
#[derive(Debug, Clone, Copy)]
pub struct Posted<'a> {
    pub ledger: i32,
    pub id: &'a AccountId,
    pub decided_from: RowVersion,
    /// What it holds afterwards, in minor units.
    pub balance: i64,
    pub version: i64,
    pub changed_at: Timestamp,
}

/// Where the rows of the accounts lie that were posted on, in their order.
#[derive(Debug, Clone)]
pub struct Appended {
    pub places: Vec<RowPlace>,
    /// Wrote them all: the transaction itself.
    pub writer: Writer,
    /// How many it took.
    pub statements: u64,
}

#[derive(Debug, thiserror::Error)]
pub enum AppendError {
    /// A row is not what was decided from; nothing was written.
    #[error("an account has changed meanwhile")]
    Changed,
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

/// Adds a commit and moves the money of the accounts that it `posted` on, in the order of their keys. What is rare has
/// statements of its own; what every commit writes is one. Accounts that are only read are the caller's to lock before.
///
/// # Errors
/// As [`AppendError`] says; the transaction is to be rolled back.
pub async fn append(
    connection: &mut PgConnection,
    entry: Entry<'_>,
    posted: &[Posted<'_>],
) -> Result<Appended, AppendError> {
    let rare = insert_outcomes(connection, entry).await? + bury(connection, entry).await?;
    let appended = write::write(connection, entry, posted).await?;
    Ok(Appended {
        statements: rare + appended.statements,
        ..appended
    })
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
