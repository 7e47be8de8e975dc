//! The log: stream and subject names, typed append, batched read, event records, dead letters.
//!
//! Invariant: only this crate knows `JetStream`, and nothing is reported as stored before the server's
//! acknowledgement says so. Whatever bytes somebody published, they are read.

mod append;
mod args;
mod connect;
mod dead_letters;
mod durability;
mod error;
mod events;
mod fetch;
mod follow;
mod headers;
mod identity;
mod lines;
mod log;
mod monitor;
mod pace;
mod pull;
mod reader;
mod records;
mod replies;
mod scan;
mod streams;

pub use append::{AppendError, CommandRecord, RecordIds};
pub use args::Args;
pub use connect::{Connection, SERVER_VERSION_MIN, connect};
pub use dead_letters::{Copied, DeadLetterRecord};
pub use error::Error;
pub use events::{EventRecord, PublishError, Published, PublishedCommit};
pub use follow::Follow;
pub use identity::StreamIdentity;
pub use lines::lines_of;
pub use log::{Log, Usage};
pub use monitor::{Durability, durability};
pub use pace::Pace;
pub use reader::{ReadError, Reader, Record};
pub use replies::{Replies, Reply, ReplyTo};
pub use scan::{Scan, Scanned};
pub use streams::{COMMANDS, DLQ, EVENTS, PARTITIONS_DEFAULT, PARTITIONS_MAX, Settings};
