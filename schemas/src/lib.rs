//! The words of Sluice: every type that crosses a process boundary, and how it is read and written.
//!
//! Invariant: a value that exists is valid. What arrives from outside is parsed once, here, and nothing
//! in this crate does I/O or reads a clock.

#![warn(clippy::iter_over_hash_type)]

mod account;
mod actor;
mod amount;
mod canonical;
mod command;
mod currency;
mod event;
mod id;
mod invalid;
mod metadata;
mod outcome;
mod partition;
mod raw;
mod text_schema;
mod timestamp;
mod transfer;

pub use account::{Account, AccountStatus, Opening};
pub use actor::{Actor, TraceParent};
pub use amount::{Amount, Money, format_minor, parse_signed};
pub use canonical::JSON_DEPTH_MAX;
pub use command::{
    AccountChange, Command, Order, TEXT_BYTES_MAX, TransferOrder, line_to_keep, min_balance_field,
};
pub use currency::{Currency, Units};
pub use event::{Encoder, Event, EventData, EventKind, ParsedEvent};
pub use id::{AccountId, IdempotencyKey, KeyId, LedgerName, TransferId};
pub use invalid::Invalid;
pub use metadata::Metadata;
pub use outcome::{
    AccountRefused, DeadLettered, KeyReused, Outcome, Refusal, RefusalReason, Replayed,
};
pub use partition::{LinePosition, Partition, Position, partition_of};
pub use raw::{RawAccount, RawTransfer, Shape};
pub use timestamp::Timestamp;
pub use transfer::{After, Funds, PendingTransfer, Seen, Transfer, TransferStatus, Verdict};
