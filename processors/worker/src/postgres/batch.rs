//! One batch's transaction.
//!
//! Invariant: every account that the batch touches is locked before the COMMIT, in one order and by one statement, and is
//! then what was decided from; what was inserted is as many rows as were decided.

mod load;

use journal::AppendError;
use ledger::{AccountRow, Reads, Rows};
use schemas::Timestamp;
use sqlx::PgConnection;

use super::accounts::posting;
use super::classify;
use super::memory::{Held, Memory, ServerStart};
use super::session::OpenTransaction;
use crate::accounts::account_writes;
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
    /// Accounts as they are after the COMMIT, where they are known.
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
        let writes = account_writes(commit);
        let posting = posting(&writes);
        if !self.confirm(posting.len() == self.held.len()).await? {
            return Err(self.refuted());
        }
        self.write_accounts(&writes).await?;
        let posted = self.posted(posting)?;
        let appended = journal::append(&mut self.transaction, commit.entry(), &posted).await;
        drop(posted);
        let appended = appended.map_err(|error| match error {
            AppendError::Postgres { doing, source } => classify(doing, source),
            AppendError::Changed if self.how == How::Believed => self.refuted(),
            AppendError::Changed | AppendError::Rows { .. } => Error::Stopped(error.to_string()),
        })?;
        metrics::statements(appended.statements);
        self.wrote(posting, appended.places, appended.writer);
        Ok(())
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
        let Self {
            transaction,
            remembering,
            held,
            how,
            written,
            ..
        } = self;
        transaction
            .commit()
            .await
            .map_err(|error| Error::unavailable("committing a batch", error))?;
        if let Some(Remembering { memory, server, .. }) = &remembering {
            if how == How::Believed {
                memory.confirmed();
            }
            memory.put(*server, held.into_iter().chain(written));
        }
        Ok(())
    }
}
