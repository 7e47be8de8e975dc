//! Going on with another stream, or with an older copy of the one that was.
//!
//! Invariant: nothing on the new stream is skipped but what Postgres shows to be decided at the same place, by its
//! contents: clocks of servers are not asked. Of what is decided again only transfers are recognised, by their keys;
//! so a stream that was left is gone on with where it was left, and a partition at work is not taken from it.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use journal::{Ledgers, Stretch, columns, partition_number};
use schemas::{Command, Event, LinePosition, Order, Outcome, Partition, Position, Timestamp};
use sqlx::{PgPool, Row};
use streams::{Scanned, lines_of};

use crate::Error;

/// Most records, and about as many lines, that are compared at a time.
const RECORDS_MAX: usize = 100;
const LINES_MAX: usize = 10_000;
/// How many sequences are looked through first; each time twice as many.
const WINDOW_MIN: u64 = 256;

/// What the partition's row says before.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Before {
    generation: i16,
    stream_created: Option<i64>,
    applied: Position,
    applied_at: Timestamp,
}

/// Where the partition goes on: behind this record. Sequence 0: at the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Cut {
    sequence: u64,
    stored_at: Timestamp,
}

/// Goes on with the stream as it is now, after a deliberate re-creation or restore, under a new generation of
/// positions: behind the last record at or below the applied position whose lines are what Postgres has at its
/// position, or else at the beginning. Gives the position before the first record that will be decided.
///
/// Processors may run: the row is locked only to be changed.
///
/// # Errors
/// `Stopped` when the partition is unknown or at work, when its stream is the one that it knows, and when a processor
/// moved it meanwhile.
pub async fn adopt_stream(
    database: &PgPool,
    log: &streams::Log,
    partition: Partition,
    why: &str,
) -> Result<Position, Error> {
    let before = read(database, partition, "").await?;
    if let Some(owner) = at_work(database, partition).await? {
        return Err(Error::Stopped(format!(
            "partition {partition} is at work in the process {owner}, which finds its stream as it was; if this is the wrong nats-server, name the right one, otherwise try again once the partition is stopped"
        )));
    }
    let created = log.identity().await?.created;
    let known = before.stream_created == Some(created.nanoseconds());
    let sequence = before.applied.sequence();
    let stands = async || log.stored_at(partition, sequence).await;
    if known && (sequence == 0 || stands().await? == Some(before.applied_at)) {
        return Err(Error::Stopped(format!(
            "partition {partition} knows this stream already; there is nothing to adopt"
        )));
    }
    let stood = stood(database, partition, created, &before).await?;
    let cut = last_known(database, log, partition, &stood).await?;
    if log.identity().await?.created != created {
        return Err(Error::Stopped(
            "the stream COMMANDS was created again meanwhile".to_owned(),
        ));
    }
    let generation = before.generation.checked_add(1).ok_or_else(|| {
        Error::Stopped("the stream was adopted too often for positions to be told apart".to_owned())
    })?;
    change(
        database,
        partition,
        why,
        &before,
        (generation, created, cut),
    )
    .await
}

async fn read(
    database: impl sqlx::PgExecutor<'_>,
    partition: Partition,
    lock: &'static str,
) -> Result<Before, Error> {
    let sql = format!(
        "SELECT generation, stream_created, applied, applied_at
           FROM partitions
          WHERE partition = $1
          {lock}"
    );
    let row = sqlx::query(sqlx::AssertSqlSafe(sql))
        .bind(partition_number(partition))
        .fetch_optional(database)
        .await
        .map_err(failed)?
        .ok_or_else(|| Error::Stopped(format!("there is no partition {partition}")))?;
    let applied_at = columns::timestamp(&row, "applied_at").map_err(failed)?;
    Ok(Before {
        generation: row.try_get("generation").map_err(failed)?,
        stream_created: row.try_get("stream_created").map_err(failed)?,
        applied: Position::from_number(row.try_get("applied").map_err(failed)?),
        applied_at,
    })
}

/// Who works the partition; `None` while nobody holds it or its owner found that it cannot go on.
async fn at_work(database: &PgPool, partition: Partition) -> Result<Option<String>, Error> {
    sqlx::query_scalar(
        "SELECT owner
           FROM partitions
          WHERE partition = $1
            AND owner IS NOT NULL
            AND stopped IS NULL
            AND lease_until > clock_timestamp()",
    )
    .bind(partition_number(partition))
    .fetch_optional(database)
    .await
    .map_err(failed)
}

/// Where the partition stood in each generation that this stream may have been: now, and when it was left before.
async fn stood(
    database: &PgPool,
    partition: Partition,
    created: Timestamp,
    before: &Before,
) -> Result<Vec<Position>, Error> {
    let left: Vec<i64> = sqlx::query_scalar(
        "SELECT old_applied FROM adoptions WHERE partition = $1 AND old_stream_created = $2",
    )
    .bind(partition_number(partition))
    .bind(created.nanoseconds())
    .fetch_all(database)
    .await
    .map_err(failed)?;
    let left = left.into_iter().map(Position::from_number);
    Ok(left.chain([before.applied]).collect())
}

async fn change(
    database: &PgPool,
    partition: Partition,
    why: &str,
    before: &Before,
    (generation, created, cut): (i16, Timestamp, Cut),
) -> Result<Position, Error> {
    let applied = Position::new(
        columns::generation(generation).map_err(failed)?,
        cut.sequence,
    );
    let mut transaction = database.begin().await.map_err(failed)?;
    if read(&mut *transaction, partition, "FOR UPDATE").await? != *before {
        return Err(Error::Stopped(format!(
            "partition {partition} was moved meanwhile; look again"
        )));
    }
    sqlx::query(
        "UPDATE partitions
            SET generation = $2, stream_created = $3, applied = $4, applied_at = $5,
                epoch = epoch + 1, owner = NULL, lease_until = '-infinity', stopped = NULL, stopped_at = NULL
          WHERE partition = $1",
    )
    .bind(partition_number(partition))
    .bind(generation)
    .bind(created.nanoseconds())
    .bind(applied.number())
    .bind(cut.stored_at.nanoseconds())
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    sqlx::query(
        "INSERT INTO adoptions (partition, why, generation, old_stream_created, new_stream_created, old_applied, new_applied)
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(partition_number(partition))
    .bind(why)
    .bind(generation)
    .bind(before.stream_created)
    .bind(created.nanoseconds())
    .bind(before.applied.number())
    .bind(applied.number())
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(applied)
}

/// Looks backwards, in windows that grow: an older copy differs near its end only.
async fn last_known(
    database: &PgPool,
    log: &streams::Log,
    partition: Partition,
    stood: &[Position],
) -> Result<Cut, Error> {
    let ledgers = journal::ledgers(database).await.map_err(failed)?;
    let rows = Rows {
        database,
        ledgers: &ledgers,
        partition,
        generations: stood.iter().map(|at| at.generation()).collect(),
    };
    let last = stood.iter().map(|at| at.sequence()).max();
    let (mut last, mut window) = (last.unwrap_or_default(), WINDOW_MIN);
    while last > 0 {
        let first = last.saturating_sub(window);
        if let Some(cut) = rows.last_in(log, first, last).await? {
            return Ok(cut);
        }
        (last, window) = (first, window * 2);
    }
    Ok(Cut::default())
}

struct Rows<'a> {
    database: &'a PgPool,
    ledgers: &'a Ledgers,
    partition: Partition,
    /// In which these records may have been decided.
    generations: BTreeSet<u16>,
}

impl Rows<'_> {
    /// The last record after `first`, up to `last`, that Postgres has at its position.
    async fn last_in(
        &self,
        log: &streams::Log,
        first: u64,
        last: u64,
    ) -> Result<Option<Cut>, Error> {
        let mut scan = log.scan_commands(self.partition, first).await?;
        let mut found = None;
        let (mut records, mut lines) = (Vec::new(), 0);
        while let Some(record) = scan.next().await? {
            if record.sequence > last {
                break;
            }
            lines += record.body.split(|byte| *byte == b'\n').count();
            records.push(record);
            if records.len() >= RECORDS_MAX || lines >= LINES_MAX {
                found = self.last_of(&records).await?.or(found);
                records.clear();
                lines = 0;
            }
        }
        Ok(self.last_of(&records).await?.or(found))
    }

    async fn last_of(&self, records: &[Scanned]) -> Result<Option<Cut>, Error> {
        let mut last = None;
        for generation in &self.generations {
            let found = self.last_of_generation(*generation, records).await?;
            last = last.max(found);
        }
        Ok(last)
    }

    async fn last_of_generation(
        &self,
        generation: u16,
        records: &[Scanned],
    ) -> Result<Option<Cut>, Error> {
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return Ok(None);
        };
        let position = |record: &Scanned| Position::new(generation, record.sequence);
        let stretch = Stretch::between(self.partition, position(first), position(last));
        let events = journal::events_in(self.database, stretch, None);
        let mut at: BTreeMap<Position, Vec<Event>> = BTreeMap::new();
        for event in events.await.map_err(failed)? {
            at.entry(event.at.position).or_default().push(event);
        }
        for record in records.iter().rev() {
            let Some(events) = at.get(&position(record)) else {
                continue;
            };
            if self.is_decided(record, events).await? {
                return Ok(Some(Cut {
                    sequence: record.sequence,
                    stored_at: record.stored_at,
                }));
            }
        }
        Ok(None)
    }

    /// Whether these are the outcomes of this record's lines. One of dead letters only is no evidence: junk is equal
    /// to junk.
    async fn is_decided(&self, record: &Scanned, events: &[Event]) -> Result<bool, Error> {
        let lines = lines_of(&record.body);
        if lines.len() != events.len() {
            return Ok(false);
        }
        let mut decided = 0;
        for (line, event) in lines.iter().zip(events) {
            let same = match &event.outcome {
                Outcome::DeadLettered(_) => self.is_buried(line, event.at).await?,
                outcome => {
                    decided += 1;
                    self.is_outcome_of(line, outcome)
                }
            };
            if !same {
                return Ok(false);
            }
        }
        Ok(decided > 0)
    }

    async fn is_buried(&self, line: &Bytes, at: LinePosition) -> Result<bool, Error> {
        let sql =
            "SELECT body FROM dead_letters WHERE partition = $1 AND position = $2 AND line = $3";
        let body: Option<Vec<u8>> = sqlx::query_scalar(sql)
            .bind(partition_number(at.partition))
            .bind(at.position.number())
            .bind(i32::try_from(at.line).unwrap_or(i32::MAX))
            .fetch_optional(self.database)
            .await
            .map_err(failed)?;
        Ok(body.is_some_and(|body| body == line[..]))
    }

    fn is_outcome_of(&self, line: &Bytes, outcome: &Outcome) -> bool {
        let units = |ledger: &_| self.ledgers.get(ledger).map(|ledger| &ledger.units);
        let Ok(command) = Command::decode(line, units) else {
            return false;
        };
        match (&command.order, outcome) {
            (Order::Transfer(order), Outcome::Decided(transfer)) => {
                order.id(&command.ledger) == transfer.id
                    && order.differs(&transfer.order).is_empty()
            }
            (Order::Transfer(order), Outcome::Replayed(replayed)) => {
                order.id(&command.ledger) == replayed.transfer.id
            }
            (Order::Transfer(order), Outcome::KeyReused(reused)) => {
                order.id(&command.ledger) == reused.transfer_id
            }
            (
                Order::Account(id, _),
                Outcome::AccountOpened(account)
                | Outcome::AccountChanged(account)
                | Outcome::AccountFrozen(account)
                | Outcome::AccountUnfrozen(account)
                | Outcome::AccountClosed(account)
                | Outcome::AccountUnchanged(account),
            ) => *id == account.id,
            (Order::Account(id, change), Outcome::AccountRefused(refused)) => {
                *id == refused.id && change.command() == refused.command
            }
            _ => false,
        }
    }
}

fn failed(error: sqlx::Error) -> Error {
    Error::unavailable("adopting the stream", error)
}
