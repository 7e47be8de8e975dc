//! One batch's transaction.
//!
//! Invariant: every account that the batch touches is locked in one order before anything is read, and what
//! was inserted is as many rows as were decided.

use std::collections::HashMap;

use ledger::{AccountKey, AccountRow, Reads, Rows};
use schemas::{Metadata, Outcome, Timestamp, TransferId};
use sqlx::postgres::PgRow;
use sqlx::{Postgres as Database, Row, Transaction as SqlTransaction};
use uuid::Uuid;

use super::classify;
use super::partitions::number;
use super::rows::{TRANSFER_COLUMNS, account, transfer};
use crate::Error;
use crate::commit::Commit;
use crate::seam::Transaction;

pub struct Batch {
    transaction: SqlTransaction<'static, Database>,
}

impl Batch {
    pub(super) fn new(transaction: SqlTransaction<'static, Database>) -> Self {
        Self { transaction }
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
            .fetch_all(&mut *self.transaction)
            .await?;
        // Both sides are in the order of (ledger, id).
        let mut found = rows.iter().peekable();
        let mut accounts = Vec::with_capacity(keys.len());
        for key in keys {
            let row = found.next_if(|row| is_row_of(row, key));
            accounts.push(row.map(account).transpose()?);
        }
        assert!(
            found.next().is_none(),
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
        let rows = sqlx::query(sqlx::AssertSqlSafe(format!(
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint AS now_microseconds, {TRANSFER_COLUMNS}
               FROM (SELECT) AS clock
               LEFT JOIN transfers t ON t.id = ANY ($1)"
        )))
        .bind(uuids)
        .fetch_all(&mut *self.transaction)
        .await?;
        let microseconds: i64 = rows
            .first()
            .ok_or(sqlx::Error::RowNotFound)?
            .try_get("now_microseconds")?;
        let mut known = HashMap::new();
        for row in &rows {
            if row.try_get::<Option<Uuid>, _>("id")?.is_some() {
                let transfer = transfer(row)?;
                known.insert(transfer.id, transfer);
            }
        }
        let transfers = ids.iter().map(|id| known.remove(id)).collect();
        Ok((transfers, Timestamp::from_nanoseconds(microseconds * 1000)))
    }

    async fn insert_transfers(&mut self, commit: &Commit) -> Result<(), Error> {
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

    async fn update_balances(&mut self, changed: &[(AccountKey, AccountRow)]) -> Result<(), Error> {
        if changed.is_empty() {
            return Ok(());
        }
        let updated = sqlx::query(UPDATE_BALANCES)
            .bind(
                changed
                    .iter()
                    .map(|(key, _)| key.ledger)
                    .collect::<Vec<_>>(),
            )
            .bind(
                changed
                    .iter()
                    .map(|(key, _)| key.id.as_str())
                    .collect::<Vec<_>>(),
            )
            .bind(
                changed
                    .iter()
                    .map(|(_, row)| row.account.balance.minor)
                    .collect::<Vec<_>>(),
            )
            .bind(
                changed
                    .iter()
                    .map(|(_, row)| row.account.version)
                    .collect::<Vec<_>>(),
            )
            .bind(
                changed
                    .iter()
                    .map(|(_, row)| row.changed_at.nanoseconds())
                    .collect::<Vec<_>>(),
            )
            .execute(&mut *self.transaction)
            .await
            .map_err(|error| classify("updating balances", error))?;
        expect_rows(updated.rows_affected(), changed.len(), "accounts")
    }

    /// Accounts whose limits, status or metadata were changed; few.
    async fn rewrite_accounts(&mut self, commit: &Commit) -> Result<(), Error> {
        let mut rewritten: Vec<_> = commit
            .events
            .iter()
            .filter_map(|(ledger, event)| match &event.outcome {
                Outcome::AccountChanged(account)
                | Outcome::AccountFrozen(account)
                | Outcome::AccountUnfrozen(account)
                | Outcome::AccountClosed(account) => Some(AccountKey {
                    ledger: (*ledger)?,
                    id: account.id.clone(),
                }),
                _ => None,
            })
            .collect();
        rewritten.sort_unstable();
        rewritten.dedup();
        for (key, row) in &commit.changed {
            if rewritten.binary_search(key).is_err() {
                continue;
            }
            sqlx::query(REWRITE_ACCOUNT)
                .bind(key.ledger)
                .bind(key.id.as_str())
                .bind(row.account.status.as_str())
                .bind(row.account.min_balance.map(|money| money.minor))
                .bind(row.account.metadata.as_ref().map(Metadata::as_str))
                .execute(&mut *self.transaction)
                .await
                .map_err(|error| classify("changing an account", error))?;
        }
        Ok(())
    }

    async fn open_accounts(&mut self, opened: &[(AccountKey, AccountRow)]) -> Result<(), Error> {
        if opened.is_empty() {
            return Ok(());
        }
        let text = |get: fn(&AccountRow) -> Option<&str>| -> Vec<Option<&str>> {
            opened.iter().map(|(_, row)| get(row)).collect()
        };
        let number64 = |get: fn(&AccountRow) -> Option<i64>| -> Vec<Option<i64>> {
            opened.iter().map(|(_, row)| get(row)).collect()
        };
        let inserted = sqlx::query(OPEN_ACCOUNTS)
            .bind(opened.iter().map(|(key, _)| key.ledger).collect::<Vec<_>>())
            .bind(text(|row| Some(row.account.id.as_str())))
            .bind(text(|row| Some(row.account.currency.as_str())))
            .bind(
                opened
                    .iter()
                    .map(|(_, row)| i16::from(row.account.balance.exponent))
                    .collect::<Vec<_>>(),
            )
            .bind(text(|row| row.account.kind.as_deref()))
            .bind(text(|row| Some(row.account.status.as_str())))
            .bind(number64(|row| Some(row.account.balance.minor)))
            .bind(number64(|row| {
                row.account.min_balance.map(|money| money.minor)
            }))
            .bind(number64(|row| Some(row.account.version)))
            .bind(text(|row| {
                row.account.metadata.as_ref().map(Metadata::as_str)
            }))
            .bind(number64(|row| row.opening.min_balance))
            .bind(text(|row| {
                row.opening.metadata.as_ref().map(Metadata::as_str)
            }))
            .bind(number64(|row| Some(row.account.opened_at.nanoseconds())))
            .bind(number64(|row| Some(row.changed_at.nanoseconds())))
            .execute(&mut *self.transaction)
            .await
            .map_err(|error| classify("opening accounts", error))?;
        expect_rows(inserted.rows_affected(), opened.len(), "accounts")
    }

    async fn insert_outcomes(&mut self, commit: &Commit) -> Result<(), Error> {
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

    async fn bury(&mut self, commit: &Commit) -> Result<(), Error> {
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
                .execute(&mut *self.transaction)
                .await
                .map_err(|error| classify("keeping a dead letter", error))?;
        }
        Ok(())
    }

    async fn insert_commit(&mut self, commit: &Commit) -> Result<(), Error> {
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
            now,
        ))
    }

    async fn write(&mut self, commit: &Commit) -> Result<(), Error> {
        self.open_accounts(&commit.opened).await?;
        self.update_balances(&commit.changed).await?;
        self.rewrite_accounts(commit).await?;
        self.insert_transfers(commit).await?;
        self.insert_outcomes(commit).await?;
        self.bury(commit).await?;
        self.insert_commit(commit).await
    }

    async fn commit(self) -> Result<(), Error> {
        self.transaction
            .commit()
            .await
            .map_err(|error| Error::unavailable("committing a batch", error))
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

fn is_row_of(row: &PgRow, key: &AccountKey) -> bool {
    row.try_get::<i32, _>("ledger")
        .is_ok_and(|ledger| ledger == key.ledger)
        && row
            .try_get::<&str, _>("id")
            .is_ok_and(|id| id == key.id.as_str())
}

fn line(line: u32) -> i32 {
    i32::try_from(line).expect("a record holds fewer than 2^31 lines")
}

fn expect_rows(written: u64, decided: usize, table: &str) -> Result<(), Error> {
    if usize::try_from(written) == Ok(decided) {
        return Ok(());
    }
    Err(Error::Stopped(format!(
        "{written} rows of {table} were written, {decided} were decided"
    )))
}

/// A sorted UPDATE … FROM gives no lock order; this does.
const LOCK_ACCOUNTS: &str = "
    SELECT a.ledger, a.id, a.currency, a.exponent, a.type, a.status, a.balance, a.min_balance, a.version,
           a.metadata, a.opening_min_balance, a.opening_metadata, a.opened_at, a.changed_at
      FROM unnest($1::int[], $2::text[]) AS k (ledger, id)
      JOIN accounts a ON a.ledger = k.ledger AND a.id = k.id
     ORDER BY a.ledger, a.id
       FOR NO KEY UPDATE OF a";

const INSERT_TRANSFERS: &str = "
    INSERT INTO transfers (partition, id, ledger, position, line, reason, detail, debit_account, credit_account,
           amount, exponent, currency, description, metadata, idempotency_key, accepted_at, decided_at,
           debit_version, credit_version, debit_balance_after, credit_balance_after)
    SELECT $1, *
      FROM unnest($2::uuid[], $3::int[], $4::bigint[], $5::int[], $6::text[], $7::text[], $8::text[], $9::text[],
           $10::bigint[], $11::smallint[], $12::text[], $13::text[], $14::text[], $15::text[], $16::bigint[],
           $17::bigint[], $18::bigint[], $19::bigint[], $20::bigint[], $21::bigint[])";

const UPDATE_BALANCES: &str = "
    UPDATE accounts a
       SET balance = u.balance,
           version = u.version,
           changed_at = u.changed_at
      FROM unnest($1::int[], $2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
           AS u (ledger, id, balance, version, changed_at)
     WHERE a.ledger = u.ledger AND a.id = u.id";

const REWRITE_ACCOUNT: &str = "
    UPDATE accounts
       SET status = $3,
           min_balance = $4,
           metadata = $5
     WHERE ledger = $1 AND id = $2";

const OPEN_ACCOUNTS: &str = "
    INSERT INTO accounts (ledger, id, currency, exponent, type, status, balance, min_balance, version, metadata,
           opening_min_balance, opening_metadata, opened_at, changed_at)
    SELECT *
      FROM unnest($1::int[], $2::text[], $3::text[], $4::smallint[], $5::text[], $6::text[], $7::bigint[],
           $8::bigint[], $9::bigint[], $10::text[], $11::bigint[], $12::text[], $13::bigint[], $14::bigint[])";

const INSERT_OUTCOMES: &str = "
    INSERT INTO outcomes (partition, position, line, ledger, decided_at, kind, transfer_id, data)
    SELECT $1, *
      FROM unnest($2::bigint[], $3::int[], $4::int[], $5::bigint[], $6::text[], $7::uuid[], $8::text[])";

const BURY: &str = "
    INSERT INTO dead_letters (partition, position, line, whole, decided_at, recorded_at, ledger, reason, detail,
           transfer_id, body)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)";

const INSERT_COMMIT: &str = "
    INSERT INTO commits (partition, position, first_position, decided_at, epoch, commands, encoder, previous_hash, hash)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
