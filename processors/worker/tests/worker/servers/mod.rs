//! Real servers, and what only they can show.

mod bed;
mod blocked;
mod locks;
mod plans;
mod poison;
mod provenance;
mod source;

pub(crate) use bed::{LEDGER, Servers};
