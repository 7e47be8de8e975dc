//! Real servers, and what only they can show.

mod bed;
mod blocked;
mod held;
mod locks;
mod plans;
mod poison;

pub(crate) use bed::{LEDGER, Servers};
