//! One batch's transaction.
//!
//! Invariant: every account that the batch touches is locked before the COMMIT, in one order and by one statement, and is
//! then what was decided from; what was inserted is as many rows as were decided.

mod load;

use journal::{AppendError, Appended, RowVersion};
use ledger::{AccountRow, Reads, Rows};
use schemas::Timestamp;
use sqlx::PgConnection;

use super::classify;
use super::memory::{Held, Memory, ServerStart};
use super::session::OpenTransaction;
use crate::accounts::AccountWrites;
use crate::commit::Commit;
use crate::seam::Transaction;
use crate::{Error, metrics};

pub(super) use load::{FIND_KEYS, FirstLook};

pub struct Batch {
    pub(super) transaction: OpenTransaction,
    /// Nothing is decided before this time, whatever the clock says.
    certain_at: Timestamp,
    /// What the first round trip saw, for the first `load`.
    first: Option<FirstLook>,
    remembering: Option<Remembering>,
    /// The accounts of the batch that exist, in their order.
    pub(super) held: Vec<Held>,
    pub(super) how: How,
    /// Accounts that statements of their own wrote.
    pub(super) written: Vec<Held>,
}

/// For batches that may be committed.
pub(super) struct Remembering {
    pub(super) memory: Memory,
    pub(super) server: ServerStart,
}

/// How the accounts of a batch are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    NotYet,
    Locked,
    /// From memory: to be confirmed.
    Believed,
}

impl Batch {
    pub(super) fn new(
        transaction: OpenTransaction,
        certain_at: Timestamp,
        first: Option<FirstLook>,
        remembering: Option<Remembering>,
    ) -> Self {
        Self {
            transaction,
            certain_at,
            first,
            remembering,
            held: Vec::new(),
            how: How::NotYet,
            written: Vec::new(),
        }
    }

    fn remembered(&self, reads: &Reads) -> Option<Vec<Held>> {
        let Remembering { memory, server, .. } = self.remembering.as_ref()?;
        memory.take(*server, &reads.accounts)
    }

    fn believe(&mut self, held: Vec<Held>) -> Vec<Option<AccountRow>> {
        metrics::accounts_remembered(held.len());
        (self.held, self.how) = (held, How::Believed);
        let rows = self.held.iter().map(|held| Some(held.row.clone()));
        rows.collect()
    }

    /// The session, for one statement.
    pub(super) fn counted(&mut self) -> &mut PgConnection {
        metrics::statements(1);
        &mut self.transaction
    }

    /// Somebody wrote what was believed.
    fn refuted(&self) -> Error {
        if let Some(Remembering { memory, .. }) = &self.remembering {
            memory.refuted();
            metrics::memory_stale();
        }
        Error::Conflict("an account has changed since it was remembered".into())
    }

    async fn write_all(&mut self, commit: &Commit) -> Result<(), Error> {
        let writes = AccountWrites::of(commit);
        if !self.confirm(writes.post.len() == self.held.len()).await? {
            return Err(self.refuted());
        }
        self.open_accounts(&writes.open).await?;
        self.rewrite_accounts(&writes.rewrite).await?;
        let posted = self.posted(&writes.post)?;
        let appended = journal::append(&mut self.transaction, commit.entry(), &posted).await;
        let appended = appended.map_err(|error| match error {
            AppendError::Postgres { doing, source } => classify(doing, source),
            AppendError::Changed if self.how == How::Believed => self.refuted(),
            AppendError::Changed | AppendError::Rows { .. } => Error::Stopped(error.to_string()),
        })?;
        metrics::statements(appended.statements);
        self.remember(&writes, appended);
        Ok(())
    }

    /// The next batch may believe it at once: if it is not committed, that one finds no such rows.
    fn remember(&mut self, writes: &AccountWrites<'_>, appended: Appended) {
        let Some(Remembering { memory, server }) = &self.remembering else {
            return;
        };
        if self.how == How::Believed {
            memory.confirmed();
        }
        let writer = appended.writer;
        let posted = writes.post.iter().zip(appended.places);
        let posted = posted.map(|((key, row), place)| Held {
            key: key.clone(),
            version: RowVersion { place, writer },
            row: row.clone(),
        });
        let written = self.written.drain(..);
        memory.put(*server, self.held.drain(..).chain(written).chain(posted));
    }
}

impl Transaction for Batch {
    async fn load(&mut self, reads: &Reads) -> Result<(Rows, Timestamp), Error> {
        let first = self.first.take();
        let (accounts, now) = match (&first, self.remembered(reads)) {
            (Some(FirstLook { now, .. }), Some(held)) => (self.believe(held), *now),
            _ => self.lock_accounts(&reads.accounts).await?,
        };
        let transfers = self.transfers(reads, first).await?;
        let rows = Rows {
            accounts,
            transfers,
        };
        Ok((rows, now.max(self.certain_at)))
    }

    async fn write(&mut self, commit: &Commit) -> Result<(), Error> {
        assert!(
            self.how != How::NotYet,
            "what is written was decided from what was loaded"
        );
        self.write_all(commit).await
    }

    async fn commit(self) -> Result<(), Error> {
        metrics::statements(1);
        self.transaction
            .commit()
            .await
            .map_err(|error| Error::unavailable("committing a batch", error))
    }
}
