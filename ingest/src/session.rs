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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_statement_ends_before_its_client_gives_up() {
        for (patience, ends) in [(3000, "2900ms"), (10_000, "9900ms")] {
            let limits = Limits {
                database_time_max: Duration::from_millis(patience),
                ..Limits::default()
            };
            let options = session_options(PgConnectOptions::new_without_pgpass(), &limits);
            let said = options.get_options().unwrap_or_default();
            assert!(
                said.contains(&format!("statement_timeout={ends}")),
                "{said}"
            );
        }
    }
}
