//! What the API's sessions in Postgres run with.
//!
//! Invariant: a statement ends just before its client is told that it took too long, so that no connection is busy with
//! what nobody waits for.

use std::time::Duration;

use sqlx::postgres::PgConnectOptions;

use crate::Limits;

/// How much sooner than its client's patience a statement ends.
const STATEMENT_MARGIN: Duration = Duration::from_millis(100);

/// Connections to Postgres.
pub const SESSIONS_MAX: u32 = 16;

pub fn session_options(options: PgConnectOptions, limits: &Limits) -> PgConnectOptions {
    let statement_time_max = limits.database_time_max.saturating_sub(STATEMENT_MARGIN);
    options.application_name("sluice ingest").options([
        (
            "statement_timeout",
            format!("{}ms", statement_time_max.as_millis()),
        ),
        ("jit", "off".to_owned()),
    ])
}
