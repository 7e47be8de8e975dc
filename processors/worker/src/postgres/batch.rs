//! One batch's transaction.
//!
//! Invariant: every account that the batch touches is locked before the COMMIT, in one order and by one statement, and is
//! then what was decided from; what was inserted is as many rows as were decided. (An account that a batch opens is inserted
//! before: nobody else can open it, as only its own partition does, nor wait for what is not there yet.)

mod load;

use journal::{AppendError, RowVersion};
use ledger::{Reads, Rows};

use super::accounts::{open_accounts, posted, rewrite_accounts};
use super::counted::Counted;
use super::fence::{self, Moved, move_position};
use super::memory::{End, Held, Memory, ServerStart};
use super::{Postgres, classify, uuids};
use crate::accounts::AccountWrites;
use crate::commit::Commit;
use crate::seam::{Advance, Lease, Loaded, Transaction};
use crate::{Error, metrics};

pub(super) use load::{Accounts, FIND_KEYS, transfers};
use load::{FirstLook, confirm};

pub struct Batch {
    transaction: Counted,
    memory: Memory,
    server: ServerStart,
    /// The accounts of the batch that exist, in their order.
    held: Vec<Held>,
    how: How,
    end: End,
}

/// How the accounts of a batch are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Locked,
    /// From memory, or read without a lock: to be confirmed.
    Believed,
}

impl Batch {
    /// Keys are looked for together with BEGIN, so that nothing is left to ask where accounts are remembered.
    pub(super) async fn begin(
        store: &Postgres,
        lease: Lease,
        advance: Advance,
        reads: &Reads,
    ) -> Result<(Self, Loaded), Error> {
        let fence = move_position(lease, advance, store.lease);
        let first = fence.then_execute(FIND_KEYS, &uuids(&reads.transfers));
        let begun = Counted::begin(&store.sessions, first).await;
        let (mut transaction, mut answers) = begun.map_err(fence::failed)?;
        let Moved { certain_at, server } = Moved::read(answers.next())?;
        let keys = answers.next().unwrap_or_default();
        let FirstLook { now, taken } = FirstLook::read(&keys)?;
        let memory = store.memory.clone();
        let (accounts, how) = if let Some(taken) = memory.take(server, &reads.accounts) {
            let believed = Accounts::believe(&mut transaction, &reads.accounts, taken, now);
            (believed.await?, How::Believed)
        } else {
            let locked = Accounts::lock(&mut transaction, &reads.accounts).await?;
            (locked, How::Locked)
        };
        let loaded = Loaded {
            rows: Rows {
                accounts: accounts.rows,
                transfers: transfers(&mut transaction, reads, taken).await?,
            },
            now: accounts.now.max(certain_at),
        };
        let batch = Self {
            transaction,
            memory,
            server,
            held: accounts.held,
            how,
            end: End::open(),
        };
        Ok((batch, loaded))
    }

    /// Whether the accounts are what was believed. Locks them, if writing them does not do that anyway: some are only read,
    /// or are written by more than one statement.
    async fn confirm(&mut self, writes: &AccountWrites<'_>) -> Result<bool, Error> {
        if !self.held.iter().all(|held| held.end.is_committed()) {
            return Ok(false);
        }
        if self.how == How::Locked || writes.post.len() == self.held.len() {
            return Ok(true);
        }
        confirm(&mut self.transaction, &self.held).await
    }

    /// An account is not what was decided from.
    fn changed(&self) -> Error {
        match self.how {
            How::Locked => changed_under_lock(),
            How::Believed => {
                self.memory.refuted();
                metrics::memory_stale();
                Error::Conflict("an account has changed since it was remembered".into())
            }
        }
    }
}

impl Transaction for Batch {
    async fn write(&mut self, commit: &Commit) -> Result<(), Error> {
        let writes = AccountWrites::of(commit);
        if !self.confirm(&writes).await? {
            return Err(self.changed());
        }
        let written = write(
            &mut self.transaction,
            &self.held,
            commit,
            &writes,
            &self.end,
        )
        .await?;
        let written = written.ok_or_else(|| self.changed())?;
        if self.how == How::Believed {
            self.memory.confirmed();
        }
        // What was read has been confirmed. What was written comes last, in place of what was read: the next batch may be
        // decided from it at once, and is written if this one is committed.
        let read = self.held.drain(..).map(|held| Held {
            end: End::COMMITTED,
            ..held
        });
        self.memory.put(self.server, read.chain(written));
        Ok(())
    }

    async fn commit(self) -> Result<(), Error> {
        self.transaction
            .commit()
            .await
            .map_err(|error| Error::unavailable("committing a batch", error))?;
        self.end.set_committed();
        Ok(())
    }
}

/// Writes a commit and gives the accounts that it wrote, as they lie now, known by the `end` of the transaction; `None` when
/// one is not what was decided from.
pub(super) async fn write(
    transaction: &mut Counted,
    held: &[Held],
    commit: &Commit,
    writes: &AccountWrites<'_>,
    end: &End,
) -> Result<Option<Vec<Held>>, Error> {
    let mut written = open_accounts(transaction, &writes.open, end).await?;
    written.extend(rewrite_accounts(transaction, held, &writes.rewrite, end).await?);
    let posted = posted(held, &writes.post)?;
    let appended = match transaction.append(commit.entry(), &posted).await {
        Ok(appended) => appended,
        Err(AppendError::Changed) => return Ok(None),
        Err(AppendError::Postgres { doing, source }) => return Err(classify(doing, source)),
        Err(error @ AppendError::Rows { .. }) => return Err(Error::Stopped(error.to_string())),
    };
    let places = writes.post.iter().zip(appended.places);
    written.extend(places.map(|((key, row), place)| Held {
        key: key.clone(),
        version: RowVersion {
            place,
            writer: appended.writer,
        },
        end: end.clone(),
        row: row.clone(),
    }));
    Ok(Some(written))
}

pub(super) fn changed_under_lock() -> Error {
    Error::Stopped("an account has changed while it was locked".to_owned())
}
