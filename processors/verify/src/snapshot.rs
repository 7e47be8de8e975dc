//! Postgres at one moment.
//!
//! Invariant: everything read here belongs together, while the system works on.

use futures::TryStreamExt;
use journal::{Ledgers, columns};
use schemas::{Partition, Position, Timestamp};
use sqlx::{PgPool, Postgres, Row, Transaction};

use crate::Error;
use crate::report::CheckResult;

/// Up to where a partition is checked.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    pub(crate) partition: Partition,
    /// `None` until the first takeover.
    pub(crate) stream_created: Option<Timestamp>,
    pub(crate) applied: Position,
    pub(crate) applied_at: Timestamp,
    pub(crate) published: Position,
    /// What lies up to here was decided from a stream that is gone.
    pub(crate) adopted: Position,
}

pub(crate) struct Snapshot {
    transaction: Transaction<'static, Postgres>,
}

impl Snapshot {
    pub(crate) async fn open(database: &PgPool) -> Result<Self, Error> {
        let failed = Error::postgres("opening a snapshot of Postgres");
        let mut transaction = database.begin().await.map_err(failed)?;
        sqlx::raw_sql(
            "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;
             SET LOCAL statement_timeout = 0;
             SET LOCAL work_mem = '64MB'",
        )
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
        Ok(Self { transaction })
    }

    pub(crate) async fn close(self) -> Result<(), Error> {
        let failed = Error::postgres("closing the snapshot of Postgres");
        self.transaction.commit().await.map_err(failed)
    }

    pub(crate) async fn bounds(&mut self) -> Result<Vec<Bounds>, Error> {
        let failed = Error::postgres("reading the positions of the partitions");
        let rows = sqlx::query(
            "SELECT p.partition, p.stream_created, p.applied, p.applied_at, p.published,
                    coalesce((SELECT max(a.new_applied) FROM adoptions a WHERE a.partition = p.partition), 0) AS adopted
               FROM partitions p
              ORDER BY p.partition",
        )
        .fetch_all(&mut *self.transaction)
        .await
        .map_err(failed)?;
        let bounds = |row: &sqlx::postgres::PgRow| {
            let position = |column| row.try_get(column).map(Position::from_number);
            let created: Option<i64> = row.try_get("stream_created")?;
            Ok(Bounds {
                partition: columns::partition(row.try_get("partition")?)?,
                stream_created: created.map(Timestamp::from_nanoseconds),
                applied: position("applied")?,
                applied_at: Timestamp::from_nanoseconds(row.try_get("applied_at")?),
                published: position("published")?,
                adopted: position("adopted")?,
            })
        };
        rows.iter()
            .map(bounds)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    pub(crate) async fn ledgers(&mut self) -> Result<Ledgers, Error> {
        let failed = Error::postgres("reading the ledgers");
        journal::ledgers(&mut *self.transaction)
            .await
            .map_err(failed)
    }

    pub(crate) async fn accounts(&mut self) -> Result<u64, Error> {
        self.count("SELECT count(*) FROM accounts").await
    }

    pub(crate) async fn postings(&mut self) -> Result<u64, Error> {
        self.count("SELECT 2 * count(*) FROM transfers WHERE reason IS NULL")
            .await
    }

    /// How many commands the commits say they hold.
    pub(crate) async fn commands(&mut self) -> Result<u64, Error> {
        self.count("SELECT coalesce(sum(commands), 0)::bigint FROM commits")
            .await
    }

    async fn count(&mut self, sql: &'static str) -> Result<u64, Error> {
        let count: i64 = sqlx::query_scalar(sql)
            .fetch_one(&mut *self.transaction)
            .await
            .map_err(Error::postgres("counting rows"))?;
        Ok(u64::try_from(count).unwrap_or_default())
    }

    /// Runs a query whose rows are findings.
    pub(crate) async fn offenders(
        &mut self,
        sql: &'static str,
        check: &mut CheckResult,
    ) -> Result<(), Error> {
        let failed = Error::postgres("looking for offending rows");
        let mut findings = sqlx::query_scalar::<_, String>(sql).fetch(&mut *self.transaction);
        while let Some(finding) = findings.try_next().await.map_err(failed)? {
            check.found(finding);
        }
        Ok(())
    }
}
