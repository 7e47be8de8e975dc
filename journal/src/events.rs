//! Outcomes read back, in the order of the log.
//!
//! Invariant: every row between two places is handed out once, whichever table it is in.

use schemas::{
    DeadLettered, Event, EventKind, LedgerName, LinePosition, Outcome, Partition, Position,
    Replayed,
};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgPool, Row};

use crate::columns::{actor, line, parsed, partition_number, timestamp, unreadable};
use crate::{CommitRow, TransferRow, transfer_columns};

/// A place in a partition; what follows it is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Place {
    pub position: i64,
    pub line: i32,
}

impl Place {
    /// Behind every line of the record at `position`.
    pub fn end_of(position: Position) -> Self {
        Self {
            position: position.number(),
            line: i32::MAX,
        }
    }
}

/// A part of one partition: behind `after`, up to and with `last`.
#[derive(Debug, Clone, Copy)]
pub struct Stretch {
    pub partition: Partition,
    pub after: Place,
    pub last: Place,
}

impl Stretch {
    /// The positions `first..=last`.
    pub fn between(partition: Partition, first: Position, last: Position) -> Self {
        Self {
            partition,
            after: Place {
                position: first.number(),
                line: -1,
            },
            last: Place::end_of(last),
        }
    }

    pub fn of(partition: Partition, commit: &CommitRow) -> Self {
        Self::between(partition, commit.first_position, commit.position)
    }
}

type Reader = fn(&PgRow) -> Result<Outcome, sqlx::Error>;

/// The outcomes in a stretch, of one ledger or of all.
///
/// # Errors
/// When Postgres does not answer or a row cannot be read.
pub async fn events_in(
    database: &PgPool,
    stretch: Stretch,
    ledger: Option<i32>,
) -> Result<Vec<Event>, sqlx::Error> {
    const READERS: [(&str, Reader); 3] = [
        (TRANSFERS, first_decision),
        (OUTCOMES, other_outcome),
        (DEAD_LETTERS, dead_letter),
    ];
    let read = |(sql, outcome): (&'static str, Reader)| async move {
        let rows = sqlx::query(sql)
            .bind(partition_number(stretch.partition))
            .bind(stretch.after.position)
            .bind(stretch.after.line)
            .bind(stretch.last.position)
            .bind(stretch.last.line)
            .bind(ledger)
            .fetch_all(database)
            .await?;
        rows.iter()
            .map(|row| event(stretch.partition, row, outcome(row)?))
            .collect::<Result<Vec<Event>, sqlx::Error>>()
    };
    let mut events = Vec::new();
    for reader in READERS {
        events.append(&mut read(reader).await?);
    }
    events.sort_by_key(|event| event.at);
    Ok(events)
}

/// From the type and the data of an event, as `outcomes` keeps them.
///
/// # Errors
/// `Decode` for a type or data that no program of ours wrote.
pub fn stored_outcome(kind: &str, data: &str) -> Result<Outcome, sqlx::Error> {
    EventKind::parse(kind)
        .ok_or_else(|| unreadable(format!("outcome {kind}")))?
        .read(data)
        .map_err(|error| sqlx::Error::Decode(error.into()))
}

fn event(partition: Partition, row: &PgRow, outcome: Outcome) -> Result<Event, sqlx::Error> {
    let ledger: Option<&str> = row.try_get("ledger_name")?;
    Ok(Event {
        at: LinePosition {
            partition,
            position: Position::from_number(row.try_get("at_position")?),
            line: line(row.try_get("at_line")?)?,
        },
        ledger: ledger
            .map(|name| parsed(LedgerName::parse(name)))
            .transpose()?,
        decided_at: timestamp(row, "at_time")?,
        actor: actor(row, "at_actor")?,
        outcome,
    })
}

fn first_decision(row: &PgRow) -> Result<Outcome, sqlx::Error> {
    Ok(Outcome::Decided(TransferRow::from_row(row)?.transfer))
}

fn other_outcome(row: &PgRow) -> Result<Outcome, sqlx::Error> {
    let kind: &str = row.try_get("kind")?;
    if kind == EventKind::TransferReplayed.as_str() {
        let TransferRow { transfer, .. } = TransferRow::from_row(row)?;
        return Ok(Outcome::Replayed(Replayed { transfer }));
    }
    stored_outcome(kind, row.try_get("data")?)
}

fn dead_letter(row: &PgRow) -> Result<Outcome, sqlx::Error> {
    Ok(Outcome::DeadLettered(DeadLettered {
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
    }))
}

// `at_…` are the outcome's own, `t.…` those of the transfer that it is or repeats. Positions stand there twice, as the
// planner knows how many rows lie between two of them, and not between two pairs: without it, it reads a big table whole.

const TRANSFERS: &str = concat!(
    "SELECT l.name AS ledger_name, t.line AS at_line, t.position AS at_position, t.decided_at AS at_time, t.actor AS at_actor, ",
    transfer_columns!(),
    "  FROM transfers t
       JOIN ledgers l ON l.number = t.ledger
      WHERE t.partition = $1 AND t.position BETWEEN $2 AND $4
        AND (t.position, t.line) > ($2, $3) AND (t.position, t.line) <= ($4, $5)
        AND ($6::int IS NULL OR t.ledger = $6)"
);

const OUTCOMES: &str = concat!(
    "SELECT l.name AS ledger_name, o.line AS at_line, o.position AS at_position, o.decided_at AS at_time, o.actor AS at_actor,
            o.kind, o.data, ",
    transfer_columns!(),
    "  FROM outcomes o
       JOIN ledgers l ON l.number = o.ledger
       LEFT JOIN transfers t ON t.id = o.transfer_id
      WHERE o.partition = $1 AND o.position BETWEEN $2 AND $4
        AND (o.position, o.line) > ($2, $3) AND (o.position, o.line) <= ($4, $5)
        AND ($6::int IS NULL OR o.ledger = $6)"
);

const DEAD_LETTERS: &str =
    "SELECT l.name AS ledger_name, d.line AS at_line, d.position AS at_position, d.decided_at AS at_time, d.actor AS at_actor,
            d.reason, d.detail
       FROM dead_letters d
       LEFT JOIN ledgers l ON l.number = d.ledger
      WHERE d.partition = $1 AND d.position BETWEEN $2 AND $4
        AND (d.position, d.line) > ($2, $3) AND (d.position, d.line) <= ($4, $5)
        AND ($6::int IS NULL OR d.ledger = $6)";
