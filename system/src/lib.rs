//! The system: its servers, its connections, and all of it in one process.
//!
//! Invariant: nothing is decided here; connections are opened and handed over.

#![allow(clippy::print_stdout, reason = "it runs in front of people")]
#![allow(
    clippy::missing_errors_doc,
    reason = "errors are for the person in front, and say what was being done"
)]

mod args;
pub mod connect;
mod demo_ledger;
mod migrate;
mod progress;
pub mod prove;
pub mod ready;
pub mod shutdown;
mod up;

pub use args::{Programs, Servers, StackArgs, StreamArgs, UpArgs};
pub use demo_ledger::LEDGER;
pub use migrate::migrate;
pub use progress::Progress;
pub use up::{System, run};
