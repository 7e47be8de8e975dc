//! The system: its servers, its connections, and all of it in one process.
//!
//! Invariant: nothing is decided here; connections are opened and handed over.

#![allow(clippy::print_stdout, reason = "it runs in front of people")]
#![allow(
    clippy::missing_errors_doc,
    reason = "errors are for the person in front, and say what was being done"
)]

mod alone;
mod args;
pub mod connect;
mod demo_ledger;
mod flags;
mod migrate;
mod progress;
pub mod prove;
pub mod ready;
mod role;
pub mod shutdown;
mod start;
mod up;

pub use alone::run_alone;
pub use args::{Servers, StackArgs, UpArgs};
pub use demo_ledger::LEDGER;
pub use flags::{AllRoles, AloneArgs, OneRole};
pub use migrate::migrate;
pub use progress::Progress;
pub use role::{Chosen, PROCESS, ROLES, Role};
pub use up::{System, run};
