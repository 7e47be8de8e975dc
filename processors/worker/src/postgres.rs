//! The real store behind the seam.
//!
//! Invariant: every write of a partition's row carries its epoch; sessions give up long before the lease does.

mod accounts;
mod batch;
mod counted;
mod fence;
mod memory;
mod partitions;
mod rehearsal;
mod rows;
mod session;

use std::time::Duration;

use schemas::TransferId;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions as _, PgPool};
use uuid::Uuid;

use crate::turns::Turns;
use crate::{Config, Error, times};

pub(crate) use batch::Batch;
use memory::Memory;
pub(crate) use rehearsal::Rehearsal;
use session::{Prepared, Sessions};

/// What a processor's sessions run with. Plans are made for keys, not for tables: a plan made while a table
/// was empty would stay a sequential scan. Time-outs lie below the lease (see [`times`]), so that a process that stands
/// still does not hold others up.
pub fn session_options(options: PgConnectOptions) -> PgConnectOptions {
    let limit = |time: Duration| format!("{}ms", time.as_millis());
    let limits = [
        (
            "idle_in_transaction_session_timeout",
            limit(times::IDLE_MAX),
        ),
        ("lock_timeout", limit(times::LOCK_MAX)),
        ("statement_timeout", limit(times::STATEMENT_MAX)),
    ];
    // A slow first statement would be logged with the ids of thousands of transfers.
    let options = options.disable_statement_logging();
    let options = options.application_name("sluice process").options(limits);
    options.options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("jit", "off"),
        ("synchronous_commit", "on"),
        ("tcp_keepalives_idle", "2"),
        ("tcp_keepalives_interval", "1"),
        ("tcp_keepalives_count", "3"),
        ("client_connection_check_interval", "1s"),
    ])
}

/// Most connections for batches: a partition has one at a time.
const FOR_BATCHES_MAX: u16 = 32;
/// For everything else; none of them is kept for batches.
const FOR_THE_REST: u16 = 4;

/// Connections for this many partitions.
pub fn sessions_max(partitions: u16) -> u32 {
    u32::from(partitions.min(FOR_BATCHES_MAX) + FOR_THE_REST)
}

/// Postgres, with the lease that its partitions are taken for.
#[derive(Debug, Clone)]
pub struct Postgres {
    pub(crate) pool: PgPool,
    sessions: Sessions,
    lease: Duration,
    memory: Memory,
}

impl Postgres {
    pub fn new(pool: PgPool, config: &Config) -> Self {
        const PREPARED: &[Prepared] = &[fence::MOVE_POSITION, batch::FIND_KEYS];
        let kept_max = Turns::transactions_max(config.commits_in_flight);
        let kept_max = kept_max.min(FOR_BATCHES_MAX.into());
        Self {
            sessions: Sessions::new(pool.clone(), PREPARED, kept_max),
            pool,
            lease: config.lease,
            memory: Memory::new(config.accounts_remembered_bytes_max),
        }
    }
}

fn uuids(ids: &[TransferId]) -> Vec<Uuid> {
    let uuids = ids.iter().map(|id| Uuid::from_bytes(id.to_bytes()));
    uuids.collect()
}

/// Sorts what Postgres says by what is to be done.
fn classify(doing: &'static str, error: sqlx::Error) -> Error {
    let Some(database) = error.as_database_error() else {
        return Error::unavailable(doing, error);
    };
    let code = database.code().unwrap_or_default().into_owned();
    let key_taken = database.constraint() == Some("transfers_key");
    match code.get(..2) {
        // Serialization failure and deadlock.
        Some("40") => Error::Conflict(error.into()),
        _ if code == "23505" && key_taken => Error::Conflict(error.into()),
        // Lock time-out.
        _ if code == "55P03" => Error::Blocked(error.into()),
        Some("22" | "23" | "54") => Error::Poison(database.to_string()),
        _ => Error::unavailable(doing, error),
    }
}
