//! What the processors made of the traffic.
//!
//! Invariant: counted from the rows, not from what the senders think.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};

use super::traffic::Plan;
use system::{LEDGER, System};

/// How long the backlog may take to drain once nothing is sent any more.
const DRAIN_MAX: Duration = Duration::from_mins(5);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Decided transfers of the plan.
#[derive(Debug, Default)]
pub(crate) struct Counted {
    pub(crate) posted: u64,
    /// By reason.
    pub(crate) refused: BTreeMap<String, u64>,
    /// Repeats and reused keys that the processors recognised, in the whole ledger.
    pub(crate) repeats: BTreeMap<String, u64>,
    pub(crate) dead_letters: u64,
}

/// When the backlog was gone.
#[derive(Debug)]
pub(crate) struct Drained {
    /// From the first request to the last applied record.
    pub(crate) took: Duration,
}

/// Waits until every record on the log is applied.
pub(crate) async fn drain(system: &System, started: Option<Instant>) -> anyhow::Result<Drained> {
    let waiting = Instant::now();
    for number in 0..system.log.partitions() {
        let partition = schemas::Partition(number);
        loop {
            let applied = worker::operate::partitions(&system.database).await?;
            let row = applied
                .into_iter()
                .find(|shown| shown.partition == partition)
                .context("a partition has no row")?;
            if system
                .log
                .next_after(partition, row.applied.sequence())
                .await?
                .is_none()
            {
                break;
            }
            if waiting.elapsed() > DRAIN_MAX {
                let why = row.stopped.unwrap_or_else(|| "it is slow".to_owned());
                bail!("partition {partition} still has records to apply: {why}");
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
    Ok(Drained {
        took: started.map_or(Duration::ZERO, |started| started.elapsed()),
    })
}

pub(crate) async fn count(system: &System, plan: &Plan) -> anyhow::Result<Counted> {
    let mut counted = Counted::default();
    let transfers: Vec<(Option<String>, i64)> = sqlx::query_as(
        "SELECT t.reason, count(*)
           FROM transfers t
           JOIN ledgers l ON l.number = t.ledger
          WHERE l.name = $1 AND starts_with(t.idempotency_key, $2)
          GROUP BY 1",
    )
    .bind(LEDGER)
    .bind(format!("demo-{}-", plan.seed))
    .fetch_all(&system.database)
    .await
    .context("counting the transfers")?;
    for (reason, count) in transfers {
        let count = u64::try_from(count)?;
        match reason {
            None => counted.posted = count,
            Some(reason) => {
                counted.refused.insert(reason, count);
            }
        }
    }
    let repeats: Vec<(String, i64)> = sqlx::query_as(
        "SELECT o.kind, count(*)
           FROM outcomes o
           JOIN ledgers l ON l.number = o.ledger
          WHERE l.name = $1 AND o.kind IN ('sluice.transfer.replayed.v1', 'sluice.transfer.key_reused.v1')
          GROUP BY 1",
    )
    .bind(LEDGER)
    .fetch_all(&system.database)
    .await
    .context("counting the repeats")?;
    for (kind, count) in repeats {
        counted.repeats.insert(kind, u64::try_from(count)?);
    }
    let dead: i64 = sqlx::query_scalar("SELECT count(*) FROM dead_letters")
        .fetch_one(&system.database)
        .await
        .context("counting the dead letters")?;
    counted.dead_letters = u64::try_from(dead)?;
    Ok(counted)
}
