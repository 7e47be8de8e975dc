//! What a transaction adds to the journal: transfers, other outcomes, dead letters, the commit itself.
//!
//! Invariant: rows are only inserted, and as many as were decided. The commit comes last: its serial is drawn then,
//! while every account that it touches is locked.

use schemas::{Event, EventData, Metadata, Outcome, RefusalReason, Timestamp, Transfer};
use sqlx::PgConnection;
use sqlx::types::Uuid;
use streams::EventRecord;

use crate::DeadLetter;
use crate::columns::{line_number, partition_number};

/// A commit with everything that the journal keeps of it.
#[derive(Debug, Clone, Copy)]
pub struct Entry<'a> {
    pub epoch: i64,
    pub decided_at: Timestamp,
    /// In the order of the log, dead letters among them; with the number of the ledger.
    pub events: &'a [(Option<i32>, Event)],
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

/// Adds a commit, in the transaction that holds its locks.
///
/// # Errors
/// As [`AppendError`] says; the transaction is to be rolled back.
pub async fn append(connection: &mut PgConnection, entry: Entry<'_>) -> Result<(), AppendError> {
    insert_transfers(connection, entry).await?;
    insert_outcomes(connection, entry).await?;
    bury(connection, entry).await?;
    insert_commit(connection, entry).await
}

async fn insert_transfers(
    connection: &mut PgConnection,
    entry: Entry<'_>,
) -> Result<(), AppendError> {
    let decided = decided_transfers(entry);
    if decided.is_empty() {
        return Ok(());
    }
    let count = decided.len();
    let text = |get: fn(&Transfer) -> Option<&str>| -> Vec<Option<&str>> {
        decided
            .iter()
            .map(|(_, _, transfer)| get(transfer))
            .collect()
    };
    let number64 = |get: fn(&Transfer) -> Option<i64>| -> Vec<Option<i64>> {
        decided
            .iter()
            .map(|(_, _, transfer)| get(transfer))
            .collect()
    };
    let inserted = sqlx::query(INSERT_TRANSFERS)
        .bind(partition_number(entry.record.partition))
        .bind(
            decided
                .iter()
                .map(|(_, _, t)| Uuid::from_bytes(t.id.to_bytes()))
                .collect::<Vec<_>>(),
        )
        .bind(
            decided
                .iter()
                .map(|(ledger, _, _)| *ledger)
                .collect::<Vec<_>>(),
        )
        .bind(number64(|t| Some(t.position.number())))
        .bind(
            decided
                .iter()
                .map(|(_, number, _)| line_number(*number))
                .collect::<Vec<_>>(),
        )
        .bind(text(|t| t.reason.map(RefusalReason::as_str)))
        .bind(text(|t| t.detail.as_deref()))
        .bind(text(|t| Some(t.debit_account.as_str())))
        .bind(text(|t| Some(t.credit_account.as_str())))
        .bind(number64(|t| Some(t.amount.minor)))
        .bind(
            decided
                .iter()
                .map(|(_, _, t)| i16::from(t.amount.exponent))
                .collect::<Vec<_>>(),
        )
        .bind(text(|t| Some(t.currency.as_str())))
        .bind(text(|t| t.description.as_deref()))
        .bind(text(|t| t.metadata.as_ref().map(Metadata::as_str)))
        .bind(text(|t| Some(t.idempotency_key.as_str())))
        .bind(number64(|t| Some(t.accepted_at.nanoseconds())))
        .bind(number64(|t| t.decided_at.map(Timestamp::nanoseconds)))
        .bind(number64(|t| t.debit_version))
        .bind(number64(|t| t.credit_version))
        .bind(number64(|t| t.debit_balance_after.map(|money| money.minor)))
        .bind(number64(|t| {
            t.credit_balance_after.map(|money| money.minor)
        }))
        .execute(&mut *connection)
        .await
        .map_err(failed("inserting transfers"))?;
    expect_rows(inserted.rows_affected(), count, "transfers")
}

async fn insert_outcomes(
    connection: &mut PgConnection,
    entry: Entry<'_>,
) -> Result<(), AppendError> {
    let others: Vec<_> = entry
        .events
        .iter()
        .filter(|(_, event)| {
            !matches!(
                event.outcome,
                Outcome::Posted(_) | Outcome::Refused(_) | Outcome::DeadLettered(_)
            )
        })
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    let (mut replayed, mut data) = (Vec::new(), Vec::new());
    for (_, event) in &others {
        match &event.outcome {
            Outcome::Replayed(replay) => {
                replayed.push(Some(Uuid::from_bytes(replay.transfer.id.to_bytes())));
                data.push(None);
            }
            outcome => {
                let json = serde_json::to_string(&EventData(outcome))
                    .expect("strings and integers have a JSON text");
                replayed.push(None);
                data.push(Some(json));
            }
        }
    }
    let inserted = sqlx::query(INSERT_OUTCOMES)
        .bind(partition_number(entry.record.partition))
        .bind(
            others
                .iter()
                .map(|(_, event)| event.at.position.number())
                .collect::<Vec<_>>(),
        )
        .bind(
            others
                .iter()
                .map(|(_, event)| line_number(event.at.line))
                .collect::<Vec<_>>(),
        )
        .bind(
            others
                .iter()
                .map(|(ledger, _)| ledger.expect("a command has a ledger"))
                .collect::<Vec<_>>(),
        )
        .bind(
            others
                .iter()
                .map(|(_, event)| event.decided_at.nanoseconds())
                .collect::<Vec<_>>(),
        )
        .bind(
            others
                .iter()
                .map(|(_, event)| event.outcome.kind().as_str())
                .collect::<Vec<_>>(),
        )
        .bind(replayed)
        .bind(data)
        .execute(&mut *connection)
        .await
        .map_err(failed("inserting outcomes"))?;
    expect_rows(inserted.rows_affected(), others.len(), "outcomes")
}

async fn bury(connection: &mut PgConnection, entry: Entry<'_>) -> Result<(), AppendError> {
    for letter in entry.dead {
        sqlx::query(BURY)
            .bind(partition_number(letter.at.partition))
            .bind(letter.at.position.number())
            .bind(line_number(letter.at.line))
            .bind(letter.whole)
            .bind(entry.decided_at.nanoseconds())
            .bind(letter.recorded_at.nanoseconds())
            .bind(letter.ledger.as_ref().map(|(number, _)| *number))
            .bind(letter.reason.as_str())
            .bind(letter.detail.as_str())
            .bind(letter.transfer_id.map(|id| Uuid::from_bytes(id.to_bytes())))
            .bind(&letter.body[..])
            .bind((!letter.headers.is_empty()).then_some(&letter.headers[..]))
            .execute(&mut *connection)
            .await
            .map_err(failed("keeping a dead letter"))?;
    }
    Ok(())
}

async fn insert_commit(connection: &mut PgConnection, entry: Entry<'_>) -> Result<(), AppendError> {
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
        .execute(&mut *connection)
        .await
        .map(drop)
        .map_err(failed("inserting the commit"))
}

/// First decisions with ledger and line. A key may reach two partitions at once: in one order, that of the ids, the
/// two wait for each other instead of dying.
fn decided_transfers(entry: Entry<'_>) -> Vec<(i32, u32, &Transfer)> {
    let mut decided: Vec<_> = entry
        .events
        .iter()
        .filter_map(|(ledger, event)| match &event.outcome {
            Outcome::Posted(transfer) | Outcome::Refused(transfer) => {
                let ledger = ledger.expect("a transfer has a ledger");
                Some((ledger, event.at.line, transfer))
            }
            _ => None,
        })
        .collect();
    decided.sort_unstable_by_key(|(_, _, transfer)| transfer.id);
    decided
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
           debit_version, credit_version, debit_balance_after, credit_balance_after)
    SELECT $1, *
      FROM unnest($2::uuid[], $3::int[], $4::bigint[], $5::int[], $6::text[], $7::text[], $8::text[], $9::text[],
           $10::bigint[], $11::smallint[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bigint[],
           $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[])";

const INSERT_OUTCOMES: &str = "
    INSERT INTO outcomes (partition, position, line, ledger, decided_at, kind, transfer_id, data)
    SELECT $1, *
      FROM unnest($2::bigint[], $3::int[], $4::int[], $5::bigint[], $6::text[], $7::uuid[], $8::text[])";

const BURY: &str = "
    INSERT INTO dead_letters (partition, position, line, whole, decided_at, recorded_at, ledger, reason, detail,
           transfer_id, body, headers)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";

const INSERT_COMMIT: &str = "
    INSERT INTO commits (partition, position, first_position, decided_at, epoch, commands, encoder, previous_hash, hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
