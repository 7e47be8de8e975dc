//! A transaction that is never committed.
//!
//! Invariant: everything is read under locks, and nothing that it wrote is remembered.

use ledger::{Reads, Rows};
use schemas::Timestamp;

use super::batch::{Accounts, changed_under_lock, transfers, write};
use super::counted::Counted;
use super::fence::{self, Moved, move_position};
use super::memory::{End, Held};
use super::{Postgres, uuids};
use crate::Error;
use crate::accounts::AccountWrites;
use crate::commit::Commit;
use crate::seam::{self, Advance, Lease, Loaded};

pub struct Rehearsal {
    transaction: Counted,
    certain_at: Timestamp,
    /// The accounts that exist of those loaded last, in their order.
    held: Vec<Held>,
}

impl Rehearsal {
    pub(super) async fn begin(
        store: &Postgres,
        lease: Lease,
        advance: Advance,
    ) -> Result<Self, Error> {
        let first = move_position(lease, advance, store.lease);
        let begun = Counted::begin(&store.sessions, first).await;
        let (transaction, mut answers) = begun.map_err(fence::failed)?;
        Ok(Self {
            transaction,
            certain_at: Moved::read(answers.next())?.certain_at,
            held: Vec::new(),
        })
    }
}

impl seam::Rehearsal for Rehearsal {
    async fn load(&mut self, reads: &Reads) -> Result<Loaded, Error> {
        let locked = Accounts::lock(&mut self.transaction, &reads.accounts).await?;
        self.held = locked.held;
        let keys = uuids(&reads.transfers);
        let rows = Rows {
            accounts: locked.rows,
            transfers: transfers(&mut self.transaction, reads, keys).await?,
        };
        let now = locked.now.max(self.certain_at);
        Ok(Loaded { rows, now })
    }

    async fn write(&mut self, commit: &Commit) -> Result<(), Error> {
        let writes = AccountWrites::of(commit);
        let written = write(
            &mut self.transaction,
            &self.held,
            commit,
            &writes,
            &End::open(),
        )
        .await?;
        written.map(drop).ok_or_else(changed_under_lock)
    }
}
