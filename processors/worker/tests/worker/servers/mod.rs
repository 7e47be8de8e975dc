//! Real servers, and what only they can show.

mod adopt;
mod bed;
mod blocked;
mod dlq;
mod held;
mod hostile;
mod locks;
mod plans;
mod poison;
mod provenance;
mod publish;
mod released;
mod remember;
mod statements;
mod stopped;
mod unreachable;
mod wire;

pub(crate) use bed::{LEDGER, Servers};
