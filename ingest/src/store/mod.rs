//! What is read from Postgres: all SQL of this crate.
//!
//! Invariant: every look-up names a ledger and is bounded in rows and in time. Only keys, units and ledgers are
//! ever written here.

pub(crate) mod accounts;
pub(crate) mod certain;
pub(crate) mod entries;
pub(crate) mod journal;
pub(crate) mod keys;
pub(crate) mod lives;
mod presence;
pub(crate) mod transfers;

use std::sync::Arc;
use std::time::Duration;

use sqlx::PgPool;

use presence::{Presence, is_absence};

/// How long a look-up takes at most while the database is known to be away.
const TIME_MAX_WHILE_AWAY: Duration = Duration::from_millis(250);

/// The database did not answer, or not in time; already logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unavailable;

#[derive(Debug)]
pub(crate) struct Store {
    pool: PgPool,
    time_max: Duration,
    presence: Arc<Presence>,
}

impl Store {
    pub(crate) fn new(pool: PgPool, time_max: Duration) -> Self {
        Self {
            presence: Presence::new(pool.connect_options()),
            pool,
            time_max,
        }
    }

    pub(crate) fn pool(&self) -> &PgPool {
        &self.pool
    }

    pub(crate) fn is_away(&self) -> bool {
        self.presence.is_away()
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

    /// Runs a look-up and remembers whether the database was there. One that takes too long is this caller's answer only.
    async fn within<T>(
        &self,
        time_max: Duration,
        doing: &'static str,
        query: impl Future<Output = sqlx::Result<T>>,
    ) -> Result<T, Unavailable> {
        let error = match tokio::time::timeout(time_max, query).await {
            Ok(Ok(value)) => {
                self.presence.heard(false);
                return Ok(value);
            }
            Ok(Err(error)) => error,
            Err(_) => sqlx::Error::PoolTimedOut,
        };
        let was_away = if matches!(error, sqlx::Error::PoolTimedOut) {
            self.presence.probe();
            self.presence.is_away()
        } else {
            self.presence.heard(is_absence(&error))
        };
        if !was_away {
            tracing::warn!(error = &error as &dyn std::error::Error, "{doing} failed");
        }
        Err(Unavailable)
    }
}
