//! The shell around the decisions: read → load → decide → commit → publish.
//!
//! Invariant: balances, outcomes and the position in the log move in one transaction, and only while this
//! process's epoch is the partition's epoch.

mod accounts;
mod adopt;
mod apply;
mod args;
mod assign;
mod backoff;
mod commit;
mod config;
mod dead_letters;
pub mod decode;
mod error;
mod failpoint;
mod hold;
pub mod metrics;
mod nats;
pub mod operate;
mod poison;
mod postgres;
mod process;
mod publish;
mod role;
mod seam;
mod takeover;
pub mod times;
mod turns;
mod work;

pub use args::Args;
pub use config::Config;
pub use error::Error;
pub use failpoint::Failpoint;
pub use postgres::{session_options, sessions_max};
pub use role::{Connections, run};

/// The parts that the simulation drives directly.
pub mod simulation {
    pub use crate::accounts::{AccountEntry, AccountWrites};
    pub use crate::commit::Commit;
    pub use crate::hold::{Ended, Processor, hold};
    pub use crate::postgres::Postgres;
    pub use crate::seam::{Advance, Feed, Lease, Loaded, Log, Rehearsal, Row, Store, Transaction};
    pub use crate::turns::Turns;
}
