//! The constraints of the tables, as the migrations have them.
//!
//! Invariant: checked at every statement of a transaction, against its own rows and the committed ones.

use journal::{CommitRow, DeadLetter, Decided};
use ledger::{AccountKey, AccountRow};
use schemas::{AccountStatus, Transfer, Verdict};
use streams::DeadLetterRecord;
use worker::Error;
use worker::simulation::{AccountWrites, Commit};

use super::transaction::transfers;
use super::world::Tables;

/// What a transaction sees of the tables: its own rows, and the committed ones.
pub(super) struct View<'a> {
    pub(super) own: &'a mut Tables,
    pub(super) committed: &'a Tables,
}

fn unless(holds: bool, constraint: &str) -> Result<(), Error> {
    if holds {
        return Ok(());
    }
    Err(Error::Poison(format!("violates {constraint}")))
}

/// What is published of a dead letter.
pub(crate) fn copy(letter: &DeadLetter) -> DeadLetterRecord {
    DeadLetterRecord {
        at: letter.at,
        whole: letter.whole,
        recorded_at: letter.recorded_at,
        reason: letter.reason.clone(),
        detail: letter.detail.clone(),
        body: letter.body.clone(),
    }
}

impl View<'_> {
    /// The statements that a commit makes of its accounts.
    pub(super) fn write_accounts(&mut self, commit: &Commit) -> Result<(), Error> {
        let writes = AccountWrites::of(commit);
        for (key, row) in writes.open {
            unless(self.account(key).is_none(), "accounts_pkey")?;
            self.put_account(key, row.clone())?;
        }
        for (key, row) in writes.rewrite {
            let mut stored = self.stored_account(key)?;
            move_money(&mut stored, row);
            stored.account.status = row.account.status;
            stored.account.min_balance = row.account.min_balance;
            stored.account.metadata.clone_from(&row.account.metadata);
            self.put_account(key, stored)?;
        }
        for (key, row) in writes.post {
            let mut stored = self.stored_account(key)?;
            move_money(&mut stored, row);
            self.put_account(key, stored)?;
        }
        Ok(())
    }

    fn account(&self, key: &AccountKey) -> Option<&AccountRow> {
        let own = self.own.accounts.get(key);
        own.or_else(|| self.committed.accounts.get(key))
    }

    fn stored_account(&self, key: &AccountKey) -> Result<AccountRow, Error> {
        let stored = self.account(key).cloned();
        stored.ok_or_else(|| Error::Stopped(format!("there is no row of {}", key.id)))
    }

    fn put_account(&mut self, key: &AccountKey, row: AccountRow) -> Result<(), Error> {
        let account = &row.account;
        let least = account.min_balance.map(|least| least.minor);
        let balance = account.balance.minor;
        unless(
            least.is_none_or(|least| balance >= least),
            "accounts_min_balance",
        )?;
        unless(
            account.status != AccountStatus::Closed || balance == 0,
            "accounts_closed_empty",
        )?;
        unless(account.version >= 0, "accounts_version")?;
        unless(account.balance.exponent <= 12, "accounts_exponent")?;
        unless((1..=64).contains(&account.id.as_str().len()), "accounts_id")?;
        self.own.accounts.insert(key.clone(), row);
        Ok(())
    }

    /// Its key is looked at before, under its lock.
    pub(super) fn insert_transfer(&mut self, transfer: &Transfer) -> Result<(), Error> {
        let order = &transfer.order;
        let detail = transfer.refusal().map(|refusal| &refusal.detail);
        for text in order.description.iter().chain(detail) {
            unless(!text.contains('\0'), "the encoding: there is no U+0000")?;
        }
        if let Verdict::Posted { debit, credit } = transfer.verdict {
            unless(
                order.debit_account != order.credit_account,
                "transfers_differ",
            )?;
            let debit = (order.debit_account.clone(), debit.version);
            let credit = (order.credit_account.clone(), credit.version);
            let free = !self.committed.debits.contains(&debit) && self.own.debits.insert(debit);
            unless(free, "transfers_debit")?;
            let free = !self.committed.credits.contains(&credit) && self.own.credits.insert(credit);
            unless(free, "transfers_credit")?;
        }
        self.own.transfers.insert(transfer.id, transfer.clone());
        Ok(())
    }

    /// Everything that stands at a place of the log, and the commit itself.
    pub(super) fn insert_journal(&mut self, commit: &Commit) -> Result<(), Error> {
        for Decided { event, .. } in &commit.events {
            let taken = self.committed.outcomes.contains_key(&event.at);
            let before = self.own.outcomes.insert(event.at, event.clone());
            unless(!taken && before.is_none(), "the journal's primary key")?;
        }
        for letter in &commit.dead {
            self.own.dead_letters.insert(letter.at, copy(letter));
        }
        let record = &commit.record;
        let row = CommitRow {
            first_position: record.first_position,
            position: record.position,
            encoder: record.encoder,
            commands: record.count,
            previous_hash: record.previous_hash,
            hash: record.hash,
        };
        let at = (commit.lease.partition, record.position);
        let taken = self.committed.commits.contains_key(&at);
        let before = self.own.commits.insert(at, row);
        self.own.history.push(at);
        unless(!taken && before.is_none(), "commits_pkey")
    }
}

fn move_money(stored: &mut AccountRow, row: &AccountRow) {
    stored.account.balance = row.account.balance;
    stored.account.version = row.account.version;
    stored.changed_at = row.changed_at;
}

/// Transfers in the order in which their keys are taken.
pub(super) fn by_key(commit: &Commit) -> Vec<&Transfer> {
    let mut decided: Vec<&Transfer> = transfers(commit).collect();
    decided.sort_unstable_by_key(|transfer| transfer.id);
    decided
}
