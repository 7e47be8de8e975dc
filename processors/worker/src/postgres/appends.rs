//! What a batch adds to the journal: transfers, other outcomes, dead letters, the commit itself.
//!
//! Invariant: rows are only inserted, and as many as were decided.

use schemas::{Metadata, Outcome, Timestamp};
use uuid::Uuid;

use super::accounts::expect_rows;
use super::batch::Batch;
use super::classify;
use super::partitions::number;
use crate::Error;
use crate::commit::Commit;

impl Batch {
    pub(super) async fn insert_transfers(&mut self, commit: &Commit) -> Result<(), Error> {
        let failed = |error| classify("inserting transfers", error);
        let decided = decided_transfers(commit);
        if decided.is_empty() {
            return Ok(());
        }
        let count = decided.len();
        let text = |get: fn(&schemas::Transfer) -> Option<&str>| -> Vec<Option<&str>> {
            decided
                .iter()
                .map(|(_, _, transfer)| get(transfer))
                .collect()
        };
        let number64 = |get: fn(&schemas::Transfer) -> Option<i64>| -> Vec<Option<i64>> {
            decided
                .iter()
                .map(|(_, _, transfer)| get(transfer))
                .collect()
        };
        let inserted = sqlx::query(INSERT_TRANSFERS)
            .bind(number(commit.lease.partition))
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
                    .map(|(_, number, _)| line(*number))
                    .collect::<Vec<_>>(),
            )
            .bind(text(|t| t.reason.map(schemas::RefusalReason::as_str)))
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
            .execute(&mut *self.transaction)
            .await
            .map_err(failed)?;
        expect_rows(inserted.rows_affected(), count, "transfers")
    }

    pub(super) async fn insert_outcomes(&mut self, commit: &Commit) -> Result<(), Error> {
        let others: Vec<_> = commit
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
                    let json = serde_json::to_string(&schemas::EventData(outcome))
                        .expect("strings and integers have a JSON text");
                    replayed.push(None);
                    data.push(Some(json));
                }
            }
        }
        let inserted = sqlx::query(INSERT_OUTCOMES)
            .bind(number(commit.lease.partition))
            .bind(
                others
                    .iter()
                    .map(|(_, event)| event.at.position.number())
                    .collect::<Vec<_>>(),
            )
            .bind(
                others
                    .iter()
                    .map(|(_, event)| line(event.at.line))
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
            .execute(&mut *self.transaction)
            .await
            .map_err(|error| classify("inserting outcomes", error))?;
        expect_rows(inserted.rows_affected(), others.len(), "outcomes")
    }

    pub(super) async fn bury(&mut self, commit: &Commit) -> Result<(), Error> {
        for letter in &commit.dead {
            sqlx::query(BURY)
                .bind(number(letter.at.partition))
                .bind(letter.at.position.number())
                .bind(line(letter.at.line))
                .bind(letter.whole)
                .bind(commit.decided_at.nanoseconds())
                .bind(letter.recorded_at.nanoseconds())
                .bind(letter.ledger.as_ref().map(|(number, _)| *number))
                .bind(letter.reason.as_str())
                .bind(letter.detail.as_str())
                .bind(letter.transfer_id.map(|id| Uuid::from_bytes(id.to_bytes())))
                .bind(&letter.body[..])
                .bind((!letter.headers.is_empty()).then_some(&letter.headers[..]))
                .execute(&mut *self.transaction)
                .await
                .map_err(|error| classify("keeping a dead letter", error))?;
        }
        Ok(())
    }

    pub(super) async fn insert_commit(&mut self, commit: &Commit) -> Result<(), Error> {
        let record = &commit.record;
        sqlx::query(INSERT_COMMIT)
            .bind(number(commit.lease.partition))
            .bind(record.position.number())
            .bind(record.first_position.number())
            .bind(commit.decided_at.nanoseconds())
            .bind(commit.lease.epoch)
            .bind(i32::try_from(record.count).expect("a batch holds fewer than 2^31 commands"))
            .bind(record.encoder)
            .bind(&record.previous_hash[..])
            .bind(&record.hash[..])
            .execute(&mut *self.transaction)
            .await
            .map(drop)
            .map_err(|error| classify("inserting the commit", error))
    }
}

/// First decisions with ledger and line. A key may reach two partitions at once: in one order, that of the ids, the
/// two wait for each other instead of dying.
fn decided_transfers(commit: &Commit) -> Vec<(i32, u32, &schemas::Transfer)> {
    let mut decided: Vec<_> = commit
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

fn line(line: u32) -> i32 {
    i32::try_from(line).expect("a record holds fewer than 2^31 lines")
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
