//! Postgres and the log in memory, and the faults that they may be asked for.
//!
//! Invariant: what a double refuses, the real server refuses; `seams` runs the same bodies against both.

mod commands;
mod constraints;
mod events;
mod faults;
mod log;
mod process;
mod sessions;
mod store;
mod transaction;
mod world;

pub(crate) use commands::Appended;
pub(crate) use constraints::copy;
pub(crate) use faults::{Fault, Faults, Point, Seen};
pub(crate) use log::Log;
pub(crate) use process::Process;
pub(crate) use store::Store;
pub(crate) use world::{Shared, World};
