//! Postgres at one moment.
//!
//! Invariant: everything read here belongs together, while the system works on.

use futures::TryStreamExt;
use futures::stream::TryChunksError;
use journal::{Ledgers, columns};
use schemas::{Currency, LedgerName, Partition, Position, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{PgPool, Postgres, Row, Transaction};

use crate::Error;
use crate::decisions::before::{self, Cut};
use crate::decisions::book::{ACCOUNTS, Book};
use crate::decisions::limits::Ages;
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
    /// Dead letters up to here are on DLQ.
    pub(crate) dlq_published: Position,
    pub(crate) trimmed: Trimmed,
    /// What lies up to here was decided from a stream that is gone.
    pub(crate) adopted: Position,
}

/// Up to where an operator removed records, and said so.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trimmed {
    pub(crate) commands: Position,
    pub(crate) events: Position,
    pub(crate) dlq: Position,
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
        let rows = sqlx::query(BOUNDS)
            .fetch_all(&mut *self.transaction)
            .await
            .map_err(failed)?;
        let bounds = |row: &PgRow| {
            let position = |column| row.try_get(column).map(Position::from_number);
            let created: Option<i64> = row.try_get("stream_created")?;
            Ok(Bounds {
                partition: columns::partition(row.try_get("partition")?)?,
                stream_created: created.map(Timestamp::from_nanoseconds),
                applied: position("applied")?,
                applied_at: Timestamp::from_nanoseconds(row.try_get("applied_at")?),
                published: position("published")?,
                dlq_published: position("dlq_published")?,
                trimmed: Trimmed {
                    commands: position("commands_trimmed")?,
                    events: position("events_trimmed")?,
                    dlq: position("dlq_trimmed")?,
                },
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

    /// When ledgers and units came into being.
    pub(crate) async fn ages(&mut self) -> Result<Ages, Error> {
        let failed = Error::postgres("reading when ledgers were created");
        let rows = sqlx::query(AGES)
            .fetch_all(&mut *self.transaction)
            .await
            .map_err(failed)?;
        let mut ages = Ages::default();
        for row in &rows {
            let mut note = || -> Result<(), sqlx::Error> {
                let ledger = columns::parsed(LedgerName::parse(row.try_get("name")?))?;
                if let Some(code) = row.try_get("code")? {
                    let unit = columns::parsed(Currency::parse(code))?;
                    let created = columns::timestamp(row, "unit_created")?;
                    ages.units.insert((ledger.clone(), unit), created);
                }
                let created = columns::timestamp(row, "created")?;
                ages.ledgers.insert(ledger, created);
                Ok(())
            };
            note().map_err(failed)?;
        }
        Ok(ages)
    }

    /// What the accounts are, and what they were when commits began to have an order.
    pub(crate) async fn book(
        &mut self,
        memory_bytes: usize,
        bounds: &[Bounds],
        check: &mut CheckResult,
    ) -> Result<Book, Error> {
        let book = Book::open(memory_bytes)?;
        let mut rows = sqlx::query(ACCOUNTS)
            .fetch(&mut *self.transaction)
            .try_chunks(ACCOUNTS_PAGE);
        while let Some(page) = rows
            .try_next()
            .await
            .map_err(|TryChunksError(_, error)| Error::postgres("reading accounts")(error))?
        {
            book.note_stored(&page)?;
        }
        drop(rows);
        let cuts = self.cuts(bounds).await?;
        before::fill(&mut self.transaction, &book, &cuts, check).await?;
        Ok(book)
    }

    /// Where commits began to have an order, in the partitions that are older than that.
    async fn cuts(&mut self, bounds: &[Bounds]) -> Result<Vec<Cut>, Error> {
        let failed = Error::postgres("looking for the first commits that have a serial");
        let rows = sqlx::query(CUTS)
            .fetch_all(&mut *self.transaction)
            .await
            .map_err(failed)?;
        let cut = |row: &PgRow| {
            let partition = columns::partition(row.try_get("partition")?)?;
            let first: Option<i64> = row.try_get("first")?;
            let end = bounds.iter().find(|bounds| bounds.partition == partition);
            let end = end.map_or(0, |bounds| bounds.applied.number() + 1);
            Ok(Cut {
                partition,
                position: Position::from_number(first.unwrap_or(end)),
            })
        };
        rows.iter()
            .map(cut)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }

    /// Of the last commit that this snapshot sees; 0 when none has one.
    pub(crate) async fn last_serial(&mut self) -> Result<i64, Error> {
        sqlx::query_scalar("SELECT coalesce(max(serial), 0) FROM commits")
            .fetch_one(&mut *self.transaction)
            .await
            .map_err(Error::postgres("looking for the last commit"))
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

/// Accounts read at once.
const ACCOUNTS_PAGE: usize = 1000;

const BOUNDS: &str = "
    SELECT p.partition, p.stream_created, p.applied, p.applied_at, p.published, p.dlq_published,
           coalesce((SELECT max(a.new_applied) FROM adoptions a WHERE a.partition = p.partition), 0) AS adopted,
           coalesce(t.commands, 0) AS commands_trimmed, coalesce(t.events, 0) AS events_trimmed,
           coalesce(t.dlq, 0) AS dlq_trimmed
      FROM partitions p
      LEFT JOIN (SELECT partition,
                        max(up_to) FILTER (WHERE stream = 'COMMANDS') AS commands,
                        max(up_to) FILTER (WHERE stream = 'EVENTS') AS events,
                        max(up_to) FILTER (WHERE stream = 'DLQ') AS dlq
                   FROM trims
                  GROUP BY partition) t ON t.partition = p.partition
     ORDER BY p.partition";

const AGES: &str = "
    SELECT l.name, (extract(epoch FROM l.created_at) * 1000000)::bigint * 1000 AS created, u.code,
           CASE WHEN u.created_at = '-infinity' THEN 0
                ELSE (extract(epoch FROM u.created_at) * 1000000)::bigint * 1000 END AS unit_created
      FROM ledgers l
      LEFT JOIN units u ON u.ledger = l.number";

const CUTS: &str = "
    SELECT partition, min(first_position) FILTER (WHERE serial IS NOT NULL) AS first
      FROM commits
     GROUP BY partition
    HAVING bool_or(serial IS NULL)";
