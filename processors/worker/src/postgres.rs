//! The real store behind the seam.
//!
//! Invariant: every write of a partition's row carries its epoch; sessions give up long before the lease does.

mod accounts;
mod batch;
mod partitions;
mod rows;

use std::time::Duration;

use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;

use crate::Error;

pub(crate) use batch::Batch;

/// What a processor's sessions run with. Plans are made for keys, not for tables: a plan made while a table
/// was empty would stay a sequential scan. Time-outs lie below the lease, so that a process that stands still
/// does not hold others up.
pub fn session_options(options: PgConnectOptions) -> PgConnectOptions {
    options.application_name("sluice process").options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
        ("synchronous_commit", "on"),
        ("idle_in_transaction_session_timeout", "2s"),
        ("lock_timeout", "2s"),
        ("statement_timeout", "4s"),
        ("tcp_keepalives_idle", "2"),
        ("tcp_keepalives_interval", "1"),
        ("tcp_keepalives_count", "3"),
        ("client_connection_check_interval", "1s"),
    ])
}

/// Postgres, with the lease that its partitions are taken for.
#[derive(Debug, Clone)]
pub struct Postgres {
    pub pool: PgPool,
    pub lease: Duration,
}

/// Sorts what Postgres says by what is to be done.
fn classify(doing: &'static str, error: sqlx::Error) -> Error {
    let Some(database) = error.as_database_error() else {
        return Error::unavailable(doing, error);
    };
    let code = database.code().unwrap_or_default().into_owned();
    let key_taken = database.constraint() == Some("transfers_key");
    match code.get(..2) {
        // Serialization failure and deadlock; lock time-out.
        Some("40") => Error::Conflict(error.into()),
        _ if code == "55P03" || (code == "23505" && key_taken) => Error::Conflict(error.into()),
        Some("22" | "23" | "54") => Error::Poison(database.to_string()),
        _ => Error::unavailable(doing, error),
    }
}
