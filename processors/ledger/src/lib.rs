//! The decisions: a batch of commands against the rows it touches gives outcomes.
//!
//! Invariant: pure. The same rows, batch and time give the same outcomes, however the batch was cut; no
//! clock, no I/O, no iteration order of a hash map.

#![warn(clippy::iter_over_hash_type)]

mod accounts;
mod batch;
mod decide;
mod transfers;

pub use batch::{AccountKey, AccountRow, Batch, Item, Reads, Rows};
pub use decide::{Decision, RULES, apply, reads};
