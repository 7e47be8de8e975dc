//! What is read from Postgres: all SQL of this crate.
//!
//! Invariant: every look-up names a ledger and is bounded in rows and in time. Only keys, units and ledgers are
//! ever written here.

pub(crate) mod accounts;
pub(crate) mod certain;
pub(crate) mod entries;
pub(crate) mod journal;
pub(crate) mod keys;
pub(crate) mod transfers;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::PgPool;

/// How long a look-up takes at most while the database is known to be away.
const TIME_MAX_WHILE_AWAY: Duration = Duration::from_millis(250);

/// The database did not answer, or not in time; already logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unavailable;

#[derive(Debug)]
pub(crate) struct Store {
    pool: PgPool,
    time_max: Duration,
    is_away: AtomicBool,
}

impl Store {
    pub(crate) fn new(pool: PgPool, time_max: Duration) -> Self {
        Self {
            pool,
            time_max,
            is_away: AtomicBool::new(false),
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// Whether the database answers.
    pub(crate) async fn ping(&self) -> Result<(), Unavailable> {
        let query = sqlx::query("SELECT 1").execute(&self.pool);
        self.read("asking whether the database is there", query)
            .await
            .map(drop)
    }

    /// Runs a look-up for a client, briefly if the last one failed.
    async fn read<T>(
        &self,
        doing: &'static str,
        query: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, Unavailable> {
        let time_max = if self.is_away() {
            self.time_max.min(TIME_MAX_WHILE_AWAY)
        } else {
            self.time_max
        };
        self.within(time_max, doing, query).await
    }

    /// Runs a look-up and remembers whether the database was there.
    async fn within<T>(
        &self,
        time_max: Duration,
        doing: &'static str,
        query: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, Unavailable> {
        let result = match tokio::time::timeout(time_max, query).await {
            Ok(result) => result,
            Err(_) => Err(sqlx::Error::PoolTimedOut),
        };
        match result {
            Ok(value) => {
                if self.is_away.swap(false, Ordering::Relaxed) {
                    tracing::info!("the database is back");
                }
                Ok(value)
            }
            Err(error) => {
                let was_away = self.is_away.swap(is_absence(&error), Ordering::Relaxed);
                if !was_away {
                    tracing::warn!(error = &error as &dyn std::error::Error, "{doing} failed");
                }
                Err(Unavailable)
            }
        }
    }
}

/// Whether an error means that nobody is there, rather than that one statement failed.
fn is_absence(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("57P") || code.starts_with("08")),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::Decode(_) => false,
        _ => true,
    }
}
