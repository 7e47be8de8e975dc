//! The commit: how it looks in Postgres and on EVENTS.
//!
//! Invariant: only this crate knows the columns of `transfers`, `outcomes`, `dead_letters` and `commits`; what it
//! wrote once it reads back as the same outcomes, and those give the same bytes for ever.

mod append;
mod chain;
pub mod columns;
mod commits;
mod dead_letters;
mod events;
mod ledgers;
mod place;
mod source;
mod transfers;

pub use append::{AppendError, Appended, Decided, Entry, Posted, append};
pub use chain::{Broken, Lines, link, rebuild};
pub use columns::partition_number;
pub use commits::{CommitRow, commit_at, commits_after, encoders_in, last_commit, newest_versions};
pub use dead_letters::{DeadLetter, HEADERS_KEPT_MAX, dead_letters_after};
pub use events::{Place, Stretch, events_in, stored_outcome};
pub use ledgers::{Ledger, Ledgers, ledgers};
pub use place::{RowPlace, RowVersion, Writer};
pub use source::{Link, Source, SourceError};
pub use transfers::TransferRow;

/// Whether Postgres answered, but with a row that no program of ours wrote.
pub fn is_unreadable(error: &sqlx::Error) -> bool {
    matches!(
        error,
        sqlx::Error::Decode(_) | sqlx::Error::ColumnDecode { .. }
    )
}
