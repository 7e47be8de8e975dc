//! Leases, positions and commits: the seam's `Store`.
//!
//! Invariant: leases compare with Postgres's clock only. `certain_at` never falls, and no commit decides before it.

use std::time::Duration;

use journal::{CommitRow, Ledgers, Stretch, partition_number};
use ledger::Reads;
use schemas::{Event, LinePosition, Partition, Position, Timestamp};
use sqlx::Row as _;
use streams::DeadLetterRecord;

use super::session::{First, OpenTransaction};
use super::{Batch, Postgres, Rehearsal, classify};
use crate::seam::{Advance, Lease, Loaded, Row, Store};
use crate::{Error, times};

impl Store for Postgres {
    type Transaction = Batch;
    type Rehearsal = Rehearsal;

    async fn ledgers(&self) -> Result<Ledgers, Error> {
        journal::ledgers(&self.pool)
            .await
            .map_err(|error| classify("loading the ledgers", error))
    }

    async fn take_over(&self, partition: Partition, owner: &str) -> Result<Option<Row>, Error> {
        let failed = |error| classify("taking the partition over", error);
        let asks_itself = First::text("SELECT pg_backend_pid()");
        let (transaction, answers) = OpenTransaction::begin(&self.sessions, asks_itself)
            .await
            .map_err(failed)?;
        let row = answers.first().and_then(|rows| rows.first());
        let row = row.ok_or(sqlx::Error::RowNotFound).map_err(failed)?;
        let pid = row.try_get(0).map_err(failed)?;
        let taken = take_over(transaction, partition, owner, self.lease);
        tokio::pin!(taken);
        loop {
            tokio::select! {
                taken = &mut taken => return taken.map_err(failed),
                () = tokio::time::sleep(times::BLOCKED_MAX) => self.end_blockers(partition, pid).await?,
            }
        }
    }

    async fn bind_stream(&self, lease: Lease, created: Timestamp) -> Result<(), Error> {
        let bound = sqlx::query(
            "UPDATE partitions
                SET stream_created = $3
              WHERE partition = $1 AND epoch = $2 AND stream_created IS NULL AND applied = 0",
        )
        .bind(partition_number(lease.partition))
        .bind(lease.epoch)
        .bind(created.nanoseconds())
        .execute(&self.pool)
        .await;
        fenced(bound, "binding the partition to its stream")
    }

    async fn renew(&self, lease: Lease, published: Position) -> Result<(), Error> {
        let renewed = sqlx::query(
            "UPDATE partitions
                SET lease_until = clock_timestamp() + $3 * interval '1 second',
                    published = greatest(published, $4),
                    certain_at = greatest(certain_at, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000)
              WHERE partition = $1 AND epoch = $2",
        )
        .bind(partition_number(lease.partition))
        .bind(lease.epoch)
        .bind(self.lease.as_secs_f64())
        .bind(published.number())
        .execute(&self.pool)
        .await;
        fenced(renewed, "renewing the lease")
    }

    async fn release(&self, lease: Lease, published: Position) -> Result<(), Error> {
        let released = sqlx::query(
            "UPDATE partitions
                SET owner = NULL,
                    lease_until = '-infinity',
                    published = greatest(published, $3)
              WHERE partition = $1 AND epoch = $2",
        )
        .bind(partition_number(lease.partition))
        .bind(lease.epoch)
        .bind(published.number())
        .execute(&self.pool)
        .await;
        fenced(released, "giving the partition back")
    }

    async fn set_stopped(&self, lease: Lease, why: Option<&str>) -> Result<(), Error> {
        let set = sqlx::query(
            "UPDATE partitions
                SET stopped = $3,
                    stopped_at = CASE WHEN $3 IS NULL THEN NULL ELSE coalesce(stopped_at, now()) END
              WHERE partition = $1 AND epoch = $2",
        )
        .bind(partition_number(lease.partition))
        .bind(lease.epoch)
        .bind(why)
        .execute(&self.pool)
        .await;
        fenced(set, "saying why the partition stopped")
    }

    async fn commit_at(
        &self,
        partition: Partition,
        position: Position,
    ) -> Result<Option<CommitRow>, Error> {
        journal::commit_at(&self.pool, partition, position)
            .await
            .map_err(|error| classify("reading a commit", error))
    }

    async fn last_commit(&self, partition: Partition) -> Result<Option<CommitRow>, Error> {
        journal::last_commit(&self.pool, partition)
            .await
            .map_err(|error| classify("reading the last commit", error))
    }

    async fn commit_after(
        &self,
        partition: Partition,
        position: Position,
    ) -> Result<Option<CommitRow>, Error> {
        let commits = journal::commits_after(&self.pool, partition, position, 1)
            .await
            .map_err(|error| classify("reading commits", error))?;
        Ok(commits.into_iter().next())
    }

    async fn journal(&self, partition: Partition, commit: &CommitRow) -> Result<Vec<Event>, Error> {
        journal::events_in(&self.pool, Stretch::of(partition, commit), None)
            .await
            .map_err(|error| classify("reading the outcomes of a commit", error))
    }

    async fn dead_letters_after(
        &self,
        after: LinePosition,
        limit: usize,
    ) -> Result<Vec<DeadLetterRecord>, Error> {
        journal::dead_letters_after(&self.pool, after, limit)
            .await
            .map_err(|error| classify("reading dead letters", error))
    }

    async fn dead_letters_copied(&self, lease: Lease, position: Position) -> Result<(), Error> {
        let recorded = sqlx::query(
            "UPDATE partitions
                SET dlq_published = greatest(dlq_published, $3)
              WHERE partition = $1 AND epoch = $2",
        )
        .bind(partition_number(lease.partition))
        .bind(lease.epoch)
        .bind(position.number())
        .execute(&self.pool)
        .await;
        fenced(recorded, "recording how far dead letters are copied")
    }

    async fn begin(
        &self,
        lease: Lease,
        advance: Advance,
        reads: &Reads,
    ) -> Result<(Batch, Loaded), Error> {
        Batch::begin(self, lease, advance, reads).await
    }

    async fn rehearse(&self, lease: Lease, advance: Advance) -> Result<Rehearsal, Error> {
        Rehearsal::begin(self, lease, advance).await
    }
}

impl Postgres {
    /// Ends the sessions that keep a takeover waiting: their leases have run out.
    async fn end_blockers(&self, partition: Partition, waiting: i32) -> Result<(), Error> {
        let ended: Vec<i32> = sqlx::query_scalar(
            "SELECT pid
               FROM unnest(pg_blocking_pids($1)) AS pid
              WHERE pg_terminate_backend(pid)",
        )
        .bind(waiting)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| classify("ending a session that blocks a takeover", error))?;
        if !ended.is_empty() {
            tracing::warn!(%partition, sessions = ?ended, "ended sessions that kept the partition locked beyond their lease");
        }
        Ok(())
    }
}

async fn take_over(
    mut transaction: OpenTransaction,
    partition: Partition,
    owner: &str,
    lease: Duration,
) -> Result<Option<Row>, sqlx::Error> {
    let row = sqlx::query(
        "UPDATE partitions
            SET owner = $2,
                epoch = epoch + 1,
                lease_until = clock_timestamp() + $3 * interval '1 second'
          WHERE partition = $1
            AND (owner IS NULL OR owner = $2 OR lease_until < clock_timestamp())
      RETURNING epoch, generation, stream_created, applied, applied_at, published, dlq_published, stopped",
    )
    .bind(partition_number(partition))
    .bind(owner)
    .bind(lease.as_secs_f64())
    .fetch_optional(&mut *transaction)
    .await?;
    transaction.commit().await?;
    row.map(|row| {
        let generation: i16 = row.try_get("generation")?;
        let created: Option<i64> = row.try_get("stream_created")?;
        Ok(Row {
            lease: Lease {
                partition,
                epoch: row.try_get("epoch")?,
            },
            generation: journal::columns::generation(generation)?,
            stream_created: created.map(Timestamp::from_nanoseconds),
            applied: Position::from_number(row.try_get("applied")?),
            applied_at: Timestamp::from_nanoseconds(row.try_get("applied_at")?),
            published: Position::from_number(row.try_get("published")?),
            dlq_published: Position::from_number(row.try_get("dlq_published")?),
            stopped: row.try_get("stopped")?,
        })
    })
    .transpose()
}

/// No row means that the epoch or the position is no longer ours.
fn fenced(
    done: Result<sqlx::postgres::PgQueryResult, sqlx::Error>,
    doing: &'static str,
) -> Result<(), Error> {
    match done {
        Ok(done) if done.rows_affected() == 1 => Ok(()),
        Ok(_) => Err(Error::Fenced),
        Err(error) => Err(classify(doing, error)),
    }
}
