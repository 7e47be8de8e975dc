//! What was decided, in the order of each partition.
//!
//! Invariant: a window never passes the applied position, so that a commit which comes late is never skipped.

use schemas::{
    DeadLettered, Event, LedgerName, LinePosition, Outcome, ParsedEvent, Partition, Replayed,
    Timestamp,
};
use sqlx::types::Uuid;

use super::transfer_row::{TransferRow, line_position, partition_number};
use super::transfers::select_transfers;
use super::{Store, Unavailable};

/// A place in a partition; what follows it is new.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Place {
    pub(crate) position: i64,
    pub(crate) line: i32,
}

/// A stretch of one partition: behind `after`, up to and with `last`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) partition: Partition,
    pub(crate) after: Place,
    pub(crate) last: Place,
    /// Lines of all ledgers in it.
    pub(crate) lines: usize,
}

#[derive(Debug, sqlx::FromRow)]
struct OutcomeRow {
    position: i64,
    line: i32,
    decided_at: i64,
    kind: String,
    transfer_id: Option<Uuid>,
    data: Option<String>,
}

#[derive(Debug, sqlx::FromRow)]
struct DeadLetterRow {
    position: i64,
    line: i32,
    decided_at: i64,
    reason: String,
    detail: String,
}

impl Store {
    /// Applied position of each partition.
    pub(crate) async fn applied_positions(&self) -> Result<Vec<(i16, i64)>, Unavailable> {
        const SQL: &str = "SELECT partition, applied FROM partitions ORDER BY partition";
        let query = sqlx::query_as(SQL).fetch_all(&self.pool);
        self.read("reading applied positions", query).await
    }

    /// The next lines of a partition, of all ledgers, at most `lines_max`; `None` when there are none.
    pub(crate) async fn window(
        &self,
        partition: Partition,
        after: Place,
        applied: i64,
        lines_max: i64,
    ) -> Result<Option<Window>, Unavailable> {
        const SQL: &str = "SELECT position, line
               FROM ((SELECT position, line FROM transfers
                       WHERE partition = $1 AND (position, line) > ($2, $3) AND position <= $4
                       ORDER BY position, line LIMIT $5)
               UNION ALL
                     (SELECT position, line FROM outcomes
                       WHERE partition = $1 AND (position, line) > ($2, $3) AND position <= $4
                       ORDER BY position, line LIMIT $5)
               UNION ALL
                     (SELECT position, line FROM dead_letters
                       WHERE partition = $1 AND (position, line) > ($2, $3) AND position <= $4
                       ORDER BY position, line LIMIT $5)) journal
              ORDER BY position, line LIMIT $5";
        let query = sqlx::query_as::<_, (i64, i32)>(SQL)
            .bind(partition_number(partition))
            .bind(after.position)
            .bind(after.line)
            .bind(applied)
            .bind(lines_max)
            .fetch_all(&self.pool);
        let rows = self.read("reading the journal", query).await?;
        Ok(rows.last().map(|(position, line)| Window {
            partition,
            after,
            last: Place {
                position: *position,
                line: *line,
            },
            lines: rows.len(),
        }))
    }

    /// The events of one ledger in a window, in order.
    pub(crate) async fn events(
        &self,
        ledger: i32,
        name: &LedgerName,
        window: &Window,
    ) -> Result<Vec<Event>, Unavailable> {
        let read = async {
            let (transfers, outcomes, dead_letters) = futures::try_join!(
                self.transfers_in(ledger, window),
                self.outcomes_in(ledger, window),
                self.dead_letters_in(ledger, window),
            )?;
            let ids: Vec<Uuid> = outcomes.iter().filter_map(|row| row.transfer_id).collect();
            let replayed = if ids.is_empty() {
                Vec::new()
            } else {
                self.replayed(ledger, &ids).await?
            };
            Ok((transfers, outcomes, dead_letters, replayed))
        };
        let (transfers, outcomes, dead_letters, replayed) =
            self.read("reading events", read).await?;
        let event = |at, decided_at, outcome| Event {
            at,
            ledger: Some(name.clone()),
            decided_at: Timestamp::from_nanoseconds(decided_at),
            outcome,
        };
        let mut events = Vec::with_capacity(transfers.len() + outcomes.len() + dead_letters.len());
        events.extend(
            transfers
                .into_iter()
                .map(|row| event(row.at(), row.decided_at, decided(row))),
        );
        for row in outcomes {
            let at = window.at(row.position, row.line);
            if let Some(outcome) = row.outcome(&replayed) {
                events.push(event(at, row.decided_at, outcome));
            } else {
                tracing::error!(%at, kind = row.kind, "an outcome cannot be read back");
            }
        }
        events.extend(dead_letters.into_iter().map(|row| {
            let at = window.at(row.position, row.line);
            let (reason, detail) = (row.reason, row.detail);
            let outcome = Outcome::DeadLettered(DeadLettered { reason, detail });
            event(at, row.decided_at, outcome)
        }));
        events.sort_unstable_by_key(|event| event.at);
        Ok(events)
    }

    async fn transfers_in(&self, ledger: i32, window: &Window) -> sqlx::Result<Vec<TransferRow>> {
        const SQL: &str = select_transfers!(
            "WHERE partition = $1 AND (position, line) > ($2, $3) AND (position, line) <= ($4, $5) AND ledger = $6"
        );
        window.rows(SQL, ledger, self).await
    }

    async fn outcomes_in(&self, ledger: i32, window: &Window) -> sqlx::Result<Vec<OutcomeRow>> {
        const SQL: &str = "SELECT position, line, decided_at, kind, transfer_id, data
               FROM outcomes
              WHERE partition = $1 AND (position, line) > ($2, $3) AND (position, line) <= ($4, $5) AND ledger = $6";
        window.rows(SQL, ledger, self).await
    }

    async fn dead_letters_in(
        &self,
        ledger: i32,
        window: &Window,
    ) -> sqlx::Result<Vec<DeadLetterRow>> {
        const SQL: &str = "SELECT position, line, decided_at, reason, detail
               FROM dead_letters
              WHERE partition = $1 AND (position, line) > ($2, $3) AND (position, line) <= ($4, $5) AND ledger = $6";
        window.rows(SQL, ledger, self).await
    }

    async fn replayed(&self, ledger: i32, ids: &[Uuid]) -> sqlx::Result<Vec<TransferRow>> {
        const SQL: &str = select_transfers!("WHERE id = ANY($1) AND ledger = $2");
        sqlx::query_as(SQL)
            .bind(ids)
            .bind(ledger)
            .fetch_all(&self.pool)
            .await
    }
}

impl Window {
    async fn rows<Row>(
        &self,
        sql: &'static str,
        ledger: i32,
        store: &Store,
    ) -> sqlx::Result<Vec<Row>>
    where
        Row: for<'r> sqlx::FromRow<'r, sqlx::postgres::PgRow> + Send + Unpin,
    {
        sqlx::query_as(sql)
            .bind(partition_number(self.partition))
            .bind(self.after.position)
            .bind(self.after.line)
            .bind(self.last.position)
            .bind(self.last.line)
            .bind(ledger)
            .fetch_all(&store.pool)
            .await
    }

    fn at(&self, position: i64, line: i32) -> LinePosition {
        line_position(partition_number(self.partition), position, line)
    }
}

impl OutcomeRow {
    fn outcome(&self, replayed: &[TransferRow]) -> Option<Outcome> {
        if let Some(data) = &self.data {
            return stored_outcome(&self.kind, data);
        }
        let id = self.transfer_id?.into_bytes();
        let row = replayed.iter().find(|row| row.id().to_bytes() == id)?;
        Some(Outcome::Replayed(Replayed {
            transfer: row.clone().into_transfer(),
        }))
    }
}

fn decided(row: TransferRow) -> Outcome {
    let transfer = row.into_transfer();
    if transfer.reason.is_some() {
        Outcome::Refused(transfer)
    } else {
        Outcome::Posted(transfer)
    }
}

/// From the type and the data of an event, as the journal keeps them.
pub(super) fn stored_outcome(kind: &str, data: &str) -> Option<Outcome> {
    let event = format!(
        r#"{{"id":"","source":"","type":"{kind}","time":"1970-01-01T00:00:00Z","data":{data}}}"#
    );
    ParsedEvent::parse(event.as_bytes()).ok()?.outcome().ok()
}
