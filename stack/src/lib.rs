//! The local stack: real nats-server and Postgres for `sluice up`, `sluice demo` and for every test.
//!
//! [`find`] locates the servers and [`install`] fetches what is missing, [`Nats`] and [`Postgres`] are one running
//! server each, [`Stack`] runs both and restarts what dies, [`testing`] hands servers to tests.
//!
//! **Invariant:** no server outlives the process that started it, however that process ends, and no server ever shares
//! its data folder with a second one.
//!
//! Processes are handled with `std::process` and plain threads, so no server depends on the async runtime that started
//! it. Functions that wait are `async` and wait on tokio's blocking threads; the others take milliseconds.

mod account;
mod args;
mod data;
mod error;
pub mod find;
pub mod install;
mod leftover;
mod logs;
mod nats;
mod ports;
mod postgres;
mod process;
mod proxy;
mod raw_nats;
mod report;
mod secret;
mod server;
mod supervise;
pub mod testing;
mod up;
mod version;

pub use args::Args;
pub use data::DataDir;
pub use error::{Error, Result};
pub use nats::{ClusterNode, Nats, NatsOptions};
pub use postgres::{Postgres, PostgresOptions};
pub use report::Report;
pub use supervise::GivenUp;
pub use up::{Options, Stack};
pub use version::Version;
