//! Who works which partition.
//!
//! Invariant: a share is computed from what Postgres shows to everybody, so processors agree on it without
//! talking to each other; a lease, not a share, is the right to write.

use std::collections::BTreeMap;

use journal::partition_number;
use schemas::{Encoder, Partition};
use sqlx::{PgPool, Row};
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::hold::{Ended, Processor, hold};
use crate::postgres::Postgres;
use crate::{Error, metrics};

/// How many of `partitions` the process `owner` should hold: all shares within one of each other.
pub(crate) fn share(live: &[String], owner: &str, partitions: usize) -> usize {
    let mut live: Vec<&str> = live.iter().map(String::as_str).collect();
    live.sort_unstable();
    let Ok(rank) = live.binary_search(&owner) else {
        return 0;
    };
    partitions / live.len() + usize::from(rank < partitions % live.len())
}

/// The partitions of this process.
pub(crate) struct Assignment {
    processor: Processor<Postgres, streams::Log>,
    held: BTreeMap<Partition, Holding>,
    /// When the log answered last.
    heard_at: Instant,
    /// A program with a newer encoder or newer rules commits.
    is_outdated: bool,
}

struct Holding {
    release: CancellationToken,
    /// Gives it up on the spot, whatever its session is at.
    give_up: CancellationToken,
    task: JoinHandle<Ended>,
}

/// What Postgres shows of processors and partitions.
#[derive(Default)]
struct View {
    live: Vec<String>,
    free: Vec<Partition>,
}

impl Assignment {
    pub(crate) fn new(processor: Processor<Postgres, streams::Log>) -> Self {
        Self {
            processor,
            held: BTreeMap::new(),
            heard_at: Instant::now(),
            is_outdated: false,
        }
    }

    /// Holds this process's share until `shutdown`, then gives everything back.
    pub(crate) async fn run(mut self, shutdown: &CancellationToken) {
        while !shutdown.is_cancelled() {
            if self.hears_the_log().await {
                match self.look().await {
                    Ok(view) => self.adjust(&view),
                    Err(error) => {
                        tracing::warn!(error = %error.chain(), "partitions stay as they are");
                    }
                }
            } else {
                self.give_up().await;
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                () = tokio::time::sleep(self.processor.config.assignment) => {}
            }
        }
        self.give_back().await;
    }

    /// What Postgres shows; nothing to take, and us not among those who share, once a newer program commits.
    async fn look(&mut self) -> Result<View, Error> {
        let Processor {
            store,
            owner,
            config,
            ..
        } = &self.processor;
        let (encoder, rules) = journal::newest_versions(&store.pool)
            .await
            .map_err(|error| Error::unavailable("looking who commits", error))?;
        let was_outdated = self.is_outdated;
        self.is_outdated = encoder > Encoder::NEWEST.number() || rules > ledger::RULES;
        metrics::outdated(self.is_outdated);
        if !self.is_outdated {
            return look(&store.pool, owner, config.lease).await;
        }
        if !was_outdated {
            tracing::error!(
                encoder,
                rules,
                "a newer program commits here (this one knows encoder {} and rules {}): no partition is taken, run a newer program",
                Encoder::NEWEST.number(),
                ledger::RULES
            );
            leave(&store.pool, owner).await?;
        }
        Ok(View::default())
    }

    /// Whether the log answered lately. What cannot be read is not held: others may reach the log.
    async fn hears_the_log(&mut self) -> bool {
        match tokio::time::timeout(
            self.processor.config.log_patience,
            self.processor.log.identity(),
        )
        .await
        {
            Ok(Ok(_)) => {
                self.heard_at = Instant::now();
                return true;
            }
            Ok(Err(error)) => tracing::debug!(%error, "the log does not answer"),
            Err(_) => tracing::debug!("the log does not answer in time"),
        }
        self.heard_at.elapsed() < self.processor.config.log_patience
    }

    /// Leaves every partition to others, and does not count among those that share.
    async fn give_up(&mut self) {
        self.held.retain(|_, holding| !holding.task.is_finished());
        for (partition, holding) in &self.held {
            if !holding.give_up.is_cancelled() {
                tracing::warn!(%partition, "the log is out of reach: the partition is left to others");
                holding.give_up.cancel();
            }
        }
        metrics::held(self.held.len());
        if let Err(error) = leave(&self.processor.store.pool, &self.processor.owner).await {
            tracing::warn!(error = %error.chain(), "other processors will notice by the lease");
        }
    }

    fn adjust(&mut self, view: &View) {
        self.held.retain(|_, holding| !holding.task.is_finished());
        let Processor { owner, log, .. } = &self.processor;
        let share = share(&view.live, owner, usize::from(log.partitions()));
        let working = self
            .held
            .values()
            .filter(|holding| !holding.release.is_cancelled())
            .count();
        let too_many = working.saturating_sub(share);
        let ours = self
            .held
            .values()
            .rev()
            .filter(|holding| !holding.release.is_cancelled());
        for holding in ours.take(too_many) {
            holding.release.cancel();
        }
        let free: Vec<Partition> = view
            .free
            .iter()
            .copied()
            .filter(|partition| !self.held.contains_key(partition))
            .collect();
        for partition in free.into_iter().take(share.saturating_sub(working)) {
            self.start(partition);
        }
        metrics::held(self.held.len());
    }

    fn start(&mut self, partition: Partition) {
        tracing::info!(%partition, "taking the partition");
        let (release, give_up) = (CancellationToken::new(), CancellationToken::new());
        let (processor, released) = (self.processor.clone(), release.clone());
        let dropped = give_up.clone();
        let task = tokio::spawn(async move {
            tokio::select! {
                ended = hold(&processor, partition, &released) => ended,
                () = dropped.cancelled() => {
                    let Processor { store, owner, .. } = &processor;
                    if let Err(error) = abandon(&store.pool, owner, partition).await {
                        tracing::warn!(%partition, error = %error.chain(), "the lease runs out by itself");
                    }
                    Ended::Lost
                }
            }
        });
        let holding = Holding {
            release,
            give_up,
            task,
        };
        self.held.insert(partition, holding);
    }

    async fn give_back(self) {
        for holding in self.held.values() {
            holding.release.cancel();
        }
        let all = async {
            for (partition, holding) in self.held {
                if let Err(error) = holding.task.await {
                    tracing::error!(%partition, %error, "the partition's task ended badly; its lease runs out");
                }
            }
        };
        if tokio::time::timeout(self.processor.config.shutdown, all)
            .await
            .is_err()
        {
            tracing::warn!("partitions were not given back in time; their leases run out");
        }
        if let Err(error) = leave(&self.processor.store.pool, &self.processor.owner).await {
            tracing::warn!(error = %error.chain(), "other processors will notice by the lease");
        }
    }
}

/// One row for each partition; done at every start.
pub(crate) async fn create_partitions(pool: &PgPool, count: u16) -> Result<(), Error> {
    sqlx::query(
        "INSERT INTO partitions (partition)
         SELECT generate_series(0, $1 - 1)
             ON CONFLICT DO NOTHING",
    )
    .bind(i32::from(count))
    .execute(pool)
    .await
    .map(drop)
    .map_err(|error| Error::unavailable("creating the rows of the partitions", error))
}

/// Shows that we live, and reads who else does and which leases are free.
async fn look(pool: &PgPool, owner: &str, lease: std::time::Duration) -> Result<View, Error> {
    let failed = |error| Error::unavailable("looking for free partitions", error);
    let row = sqlx::query(
        "WITH us AS (
             INSERT INTO processors (owner, seen_at)
             VALUES ($1, clock_timestamp())
                 ON CONFLICT (owner) DO UPDATE SET seen_at = clock_timestamp()
         ), dead AS (
             DELETE FROM processors WHERE seen_at < clock_timestamp() - 100 * $2 * interval '1 second'
         )
         SELECT ARRAY (
                    SELECT owner FROM processors
                     WHERE seen_at > clock_timestamp() - $2 * interval '1 second' AND owner <> $1
                ) AS others,
                ARRAY (
                    SELECT partition FROM partitions
                     WHERE owner IS NULL OR owner = $1 OR lease_until < clock_timestamp()
                     ORDER BY partition
                ) AS free",
    )
    .bind(owner)
    .bind(lease.as_secs_f64())
    .fetch_one(pool)
    .await
    .map_err(failed)?;
    let mut live: Vec<String> = row.try_get("others").map_err(failed)?;
    live.push(owner.to_owned());
    let free: Vec<i16> = row.try_get("free").map_err(failed)?;
    let free = free.into_iter().map(journal::columns::partition);
    Ok(View {
        live,
        free: free.collect::<Result<_, _>>().map_err(failed)?,
    })
}

/// Ends a lease of ours whose session was dropped in the middle.
async fn abandon(pool: &PgPool, owner: &str, partition: Partition) -> Result<(), Error> {
    sqlx::query(
        "UPDATE partitions
            SET owner = NULL, lease_until = '-infinity', epoch = epoch + 1
          WHERE partition = $1 AND owner = $2",
    )
    .bind(partition_number(partition))
    .bind(owner)
    .execute(pool)
    .await
    .map(drop)
    .map_err(|error| Error::unavailable("leaving a partition to others", error))
}

async fn leave(pool: &PgPool, owner: &str) -> Result<(), Error> {
    sqlx::query("DELETE FROM processors WHERE owner = $1")
        .bind(owner)
        .execute(pool)
        .await
        .map(drop)
        .map_err(|error| Error::unavailable("leaving", error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_within_one_of_each_other_and_cover_everything() {
        for processes in 1..=9 {
            let live: Vec<String> = (0..processes).rev().map(|n| format!("p{n}")).collect();
            for partitions in [1, 2, 7, 8, 16] {
                let shares: Vec<usize> = live
                    .iter()
                    .map(|owner| share(&live, owner, partitions))
                    .collect();
                assert_eq!(shares.iter().sum::<usize>(), partitions);
                assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
            }
        }
        assert_eq!(share(&[], "p0", 8), 0);
    }
}
