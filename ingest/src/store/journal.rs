//! What was decided, in the order of each partition.
//!
//! Invariant: a window never passes the applied position, so that a commit which comes late is never skipped.

use journal::{Place, Stretch, columns, encoders_in, events_in, partition_number};
use schemas::{Encoder, Event, Partition, Position};

use super::{Store, Unavailable};

/// A stretch of one partition that holds something.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) stretch: Stretch,
    /// Lines of all ledgers in it.
    pub(crate) lines: usize,
}

impl Store {
    /// Applied position of each partition.
    pub(crate) async fn applied_positions(
        &self,
    ) -> Result<Vec<(Partition, Position)>, Unavailable> {
        const SQL: &str = "SELECT partition, applied FROM partitions ORDER BY partition";
        let read = async {
            let rows: Vec<(i16, i64)> = sqlx::query_as(SQL).fetch_all(&self.pool).await?;
            rows.into_iter()
                .map(|(partition, applied)| {
                    Ok((
                        columns::partition(partition)?,
                        Position::from_number(applied),
                    ))
                })
                .collect()
        };
        self.read("reading applied positions", read).await
    }

    /// The next lines of a partition, of all ledgers, at most `lines_max`; `None` when there are none.
    pub(crate) async fn window(
        &self,
        partition: Partition,
        after: Place,
        applied: Position,
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
            .bind(applied.number())
            .bind(lines_max)
            .fetch_all(&self.pool);
        let rows = self.read("reading the journal", query).await?;
        Ok(rows.last().map(|(position, line)| Window {
            stretch: Stretch {
                partition,
                after,
                last: Place {
                    position: *position,
                    line: *line,
                },
            },
            lines: rows.len(),
        }))
    }

    /// The events of one ledger in a stretch, in order, each with the encoder of its commit.
    pub(crate) async fn events(
        &self,
        ledger: i32,
        stretch: Stretch,
    ) -> Result<Vec<(Encoder, Event)>, Unavailable> {
        let read = async {
            let (events, encoders) = futures::try_join!(
                events_in(&self.pool, stretch, Some(ledger)),
                encoders_in(&self.pool, stretch),
            )?;
            let encoder = |event: &Event| {
                let commit = encoders.partition_point(|(last, _)| *last < event.at.position);
                // A newer program's encoder is not known here: then as well as we can.
                let known = encoders
                    .get(commit)
                    .and_then(|(_, number)| Encoder::parse(*number));
                known.unwrap_or(Encoder::NEWEST)
            };
            Ok(events
                .into_iter()
                .map(|event| (encoder(&event), event))
                .collect())
        };
        self.read("reading events", read).await
    }
}
