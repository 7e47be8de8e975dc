//! Whether the database is there at all.
//!
//! Invariant: only a connection that fails says that it is away. A statement that takes too long says nothing about
//! others: then a new connection is tried, by one task for everybody.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, Connection};

/// How long a new connection may take.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Presence {
    options: Arc<PgConnectOptions>,
    is_away: AtomicBool,
    is_probed: AtomicBool,
}

impl Presence {
    pub(super) fn new(options: Arc<PgConnectOptions>) -> Arc<Self> {
        Arc::new(Self {
            options,
            is_away: AtomicBool::new(false),
            is_probed: AtomicBool::new(false),
        })
    }

    pub(super) fn is_away(&self) -> bool {
        self.is_away.load(Ordering::Relaxed)
    }

    /// Something was heard of it, or its connection failed; gives what was known before.
    pub(super) fn heard(&self, is_away: bool) -> bool {
        let was_away = self.is_away.swap(is_away, Ordering::Relaxed);
        if was_away && !is_away {
            tracing::info!("the database is back");
        }
        was_away
    }

    /// Finds out, after a statement that took too long.
    pub(super) fn probe(self: &Arc<Self>) {
        if self.is_probed.swap(true, Ordering::Relaxed) {
            return;
        }
        let presence = Arc::clone(self);
        tokio::spawn(async move {
            let connect = async { presence.options.connect().await?.close().await };
            let connected = tokio::time::timeout(CONNECT_TIME_MAX, connect).await;
            let is_away = match &connected {
                Ok(Ok(())) => false,
                Ok(Err(error)) => is_absence(error),
                Err(_) => true,
            };
            if !presence.heard(is_away) && is_away {
                tracing::warn!("the database is away");
            }
            presence.is_probed.store(false, Ordering::Relaxed);
        });
    }
}

/// Whether an error means that nobody is there, rather than that one statement failed.
pub(super) fn is_absence(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Database(error) => error
            .code()
            .is_some_and(|code| code.starts_with("57P") || code.starts_with("08")),
        sqlx::Error::ColumnDecode { .. }
        | sqlx::Error::ColumnNotFound(_)
        | sqlx::Error::Decode(_)
        | sqlx::Error::PoolTimedOut => false,
        _ => true,
    }
}
