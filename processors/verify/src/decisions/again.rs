//! A commit, decided a second time.
//!
//! Invariant: the same core, the same rows, the same time. Where it comes out otherwise, what is stored counts from
//! there on, so that one wrong outcome is one finding.

use std::collections::{BTreeSet, HashMap};
use std::panic::{AssertUnwindSafe, catch_unwind};

use journal::{Ledgers, TransferRow, transfer_columns};
use ledger::{AccountKey, AccountRow, Batch, Decision, Item, Reads, Rows};
use schemas::{
    Account, AccountId, After, Encoder, Event, Opening, Order, Outcome, RefusalReason, Timestamp,
    Transfer, TransferId, Verdict, partition_of,
};
use sqlx::types::Uuid;
use sqlx::{FromRow, PgPool, Row};

use super::book::Book;
use super::differences::differences;
use super::limits::{self, is_young};
use super::turns::Commit;
use crate::Error;
use crate::report::CheckResult;

/// How many are decided at once behind one that came out otherwise; more may follow.
const AFTER_A_DIFFERENCE: usize = 64;

/// A command and what is stored about it.
pub(crate) struct Case<'e> {
    pub(crate) item: Item,
    pub(crate) event: &'e Event,
}

pub(crate) struct Again<'a> {
    pub(crate) database: &'a PgPool,
    pub(crate) book: &'a Book,
    pub(crate) ledgers: &'a Ledgers,
    pub(crate) partitions: u16,
}

impl Again<'_> {
    /// Decides commands that follow one another in a commit.
    pub(crate) async fn decide(
        &self,
        commit: &Commit,
        mut cases: Vec<Case<'_>>,
        check: &mut CheckResult,
    ) -> Result<(), Error> {
        let mut at_once = cases.len();
        while !cases.is_empty() {
            let later = cases.split_off(at_once.min(cases.len()));
            let (batch, events) = unzip(cases);
            let reads = ledger::reads(&batch);
            let rows = self.rows(commit, &reads, &batch, &events).await?;
            let Some(decision) = tried(&reads, rows, &batch, commit) else {
                if let [event] = events[..] {
                    check.found(format!("{}: deciding it again panics", event.at));
                    self.accept(event)?;
                    cases = later;
                } else {
                    cases = zip(batch, events);
                    cases.extend(later);
                }
                // One by one it shows which.
                at_once = 1;
                continue;
            };
            let mut pairs = decision.outcomes.iter().zip(&events);
            let differs = pairs
                .position(|(decided, event)| differences(decided, event, commit.encoder).is_some());
            let Some(place) = differs else {
                self.keep(commit, &decision, &events)?;
                cases = later;
                continue;
            };
            for event in &events[..place] {
                self.accept(event)?;
            }
            let (item, event) = (&batch.items[place], events[place]);
            self.judge(commit, item, &decision.outcomes[place], event, check)
                .await?;
            self.accept(event)?;
            cases = zip(batch, events).split_off(place + 1);
            cases.extend(later);
            at_once = at_once.min(AFTER_A_DIFFERENCE);
        }
        Ok(())
    }

    /// Takes what came out the same.
    fn keep(&self, commit: &Commit, decision: &Decision, events: &[&Event]) -> Result<(), Error> {
        if commit.encoder == Encoder::V1.number() {
            // What they kept counts, where it is a little beside what is decided today.
            return events.iter().try_for_each(|event| self.accept(event));
        }
        let changed = decision.opened.iter().chain(&decision.changed);
        self.book.put(changed.map(|(key, row)| (key, row)))
    }

    /// What a command would come to if it were tried alone, here and now; `None` when it cannot be committed.
    pub(crate) async fn attempt(
        &self,
        commit: &Commit,
        item: Item,
        event: &Event,
    ) -> Result<Option<Outcome>, Error> {
        let batch = Batch { items: vec![item] };
        let reads = ledger::reads(&batch);
        let rows = self.rows(commit, &reads, &batch, &[event]).await?;
        Ok(tried(&reads, rows, &batch, commit)
            .filter(keeps_the_constraints)
            .and_then(|mut decision| decision.outcomes.pop())
            .map(|(_, outcome)| outcome))
    }

    /// Takes a stored outcome as it is.
    pub(crate) fn accept(&self, event: &Event) -> Result<(), Error> {
        let ledger = event
            .ledger
            .as_ref()
            .and_then(|name| self.ledgers.get(name));
        let Some(ledger) = ledger.map(|ledger| ledger.number) else {
            return Ok(());
        };
        let key = |id: &AccountId| AccountKey {
            ledger,
            id: id.clone(),
        };
        let mut changed = Vec::new();
        match &event.outcome {
            Outcome::Decided(transfer) => {
                for (id, after) in sides(transfer) {
                    let key = key(id);
                    if let Some(mut row) = self.book.get([&key])?.remove(0) {
                        row.account.version = after.version;
                        row.account.balance.minor = after.balance;
                        row.changed_at = event.decided_at;
                        changed.push((key, row));
                    }
                }
            }
            Outcome::AccountOpened(account) => {
                changed.push((key(&account.id), opened(account, event.decided_at)));
            }
            Outcome::AccountChanged(account)
            | Outcome::AccountFrozen(account)
            | Outcome::AccountUnfrozen(account)
            | Outcome::AccountClosed(account) => {
                let key = key(&account.id);
                let row = self.book.get([&key])?.remove(0);
                let mut row = row.unwrap_or_else(|| opened(account, event.decided_at));
                row.account = account.clone();
                row.changed_at = event.decided_at;
                changed.push((key, row));
            }
            Outcome::Replayed(_)
            | Outcome::KeyReused(_)
            | Outcome::AccountUnchanged(_)
            | Outcome::AccountRefused(_)
            | Outcome::DeadLettered(_) => {}
        }
        self.book.put(changed.iter().map(|(key, row)| (key, row)))
    }

    /// Whether a difference is a known limit, or a finding.
    async fn judge(
        &self,
        commit: &Commit,
        item: &Item,
        decided: &(Timestamp, Outcome),
        event: &Event,
        check: &mut CheckResult,
    ) -> Result<(), Error> {
        if self.was_just_opened(commit, item, event).await? {
            check.not_decidable(limits::YOUNG_ACCOUNT);
            return Ok(());
        }
        let differences = differences(decided, event, commit.encoder).unwrap_or_default();
        check.found(format!("{}: {differences}", event.at));
        Ok(())
    }

    /// Whether a refusal is right once those accounts are left out that another partition opened within the minute
    /// before it.
    async fn was_just_opened(
        &self,
        commit: &Commit,
        item: &Item,
        event: &Event,
    ) -> Result<bool, Error> {
        let refusal = match &event.outcome {
            Outcome::Decided(transfer) => transfer.refusal(),
            _ => None,
        };
        if refusal.is_none_or(|refusal| refusal.reason != RefusalReason::AccountUnknown) {
            return Ok(false);
        }
        let batch = Batch {
            items: vec![item.clone()],
        };
        let reads = ledger::reads(&batch);
        let mut rows = self.rows(commit, &reads, &batch, &[event]).await?;
        for (key, row) in reads.accounts.iter().zip(&mut rows.accounts) {
            let elsewhere = partition_of(&key.id, self.partitions) != event.at.partition;
            let young = |row: &AccountRow| is_young(row.account.opened_at, event.decided_at);
            if elsewhere && row.as_ref().is_some_and(young) {
                *row = None;
            }
        }
        let decision = tried(&reads, rows, &batch, commit);
        Ok(decision.is_some_and(|decision| {
            differences(&decision.outcomes[0], event, commit.encoder).is_none()
        }))
    }

    async fn rows(
        &self,
        commit: &Commit,
        reads: &Reads,
        batch: &Batch,
        events: &[&Event],
    ) -> Result<Rows, Error> {
        let mut wanted = HashMap::new();
        let mut first_here = BTreeSet::new();
        for (item, event) in batch.items.iter().zip(events) {
            if let Order::Transfer(order) = &item.order {
                let id = order.id(&item.ledger_name);
                if decides(event, id) {
                    first_here.insert(id);
                } else {
                    wanted.entry(id).or_insert(event.at);
                }
            }
        }
        wanted.retain(|id, _| !first_here.contains(id));
        let known = if wanted.is_empty() {
            HashMap::new()
        } else {
            self.decided_before(commit, &wanted).await?
        };
        let transfers = reads.transfers.iter().map(|id| known.get(id).cloned());
        Ok(Rows {
            accounts: self.book.get(&reads.accounts)?,
            transfers: transfers.collect(),
        })
    }

    /// Of these transfers those that were decided before the line that asks for them.
    async fn decided_before(
        &self,
        commit: &Commit,
        wanted: &HashMap<TransferId, schemas::LinePosition>,
    ) -> Result<HashMap<TransferId, Transfer>, Error> {
        let failed = Error::postgres("reading the transfers that commands repeat");
        let ids: Vec<Uuid> = wanted
            .keys()
            .map(|id| Uuid::from_bytes(id.to_bytes()))
            .collect();
        let rows = sqlx::query(FIRST_DECISIONS)
            .bind(ids)
            .fetch_all(self.database)
            .await
            .map_err(failed)?;
        let mut known = HashMap::new();
        for row in &rows {
            let serial: Option<i64> = row.try_get("serial").map_err(failed)?;
            let row = TransferRow::from_row(row).map_err(failed)?;
            let asked_at = wanted[&row.transfer.id];
            let earlier = if serial == Some(commit.serial) {
                row.at() < asked_at
            } else {
                serial.is_none_or(|serial| serial < commit.serial)
            };
            if earlier {
                known.insert(row.transfer.id, row.transfer);
            }
        }
        Ok(known)
    }
}

/// `None` when the core panics: it must not on what a processor decided, and may on what was forged.
fn tried(reads: &Reads, rows: Rows, batch: &Batch, commit: &Commit) -> Option<Decision> {
    let apply = || ledger::apply(reads, rows, batch, commit.decided_at);
    catch_unwind(AssertUnwindSafe(apply)).ok()
}

fn zip(batch: Batch, events: Vec<&Event>) -> Vec<Case<'_>> {
    let pairs = batch.items.into_iter().zip(events);
    pairs.map(|(item, event)| Case { item, event }).collect()
}

fn unzip(cases: Vec<Case<'_>>) -> (Batch, Vec<&Event>) {
    let (items, events) = cases
        .into_iter()
        .map(|case| (case.item, case.event))
        .unzip();
    (Batch { items }, events)
}

/// Whether the outcome is the first decision of this transfer, at this very place.
fn decides(event: &Event, id: TransferId) -> bool {
    matches!(&event.outcome, Outcome::Decided(transfer) if transfer.id == id)
}

/// Both accounts after a posting.
fn sides(transfer: &Transfer) -> Vec<(&AccountId, After)> {
    match transfer.verdict {
        Verdict::Posted { debit, credit } => vec![
            (&transfer.order.debit_account, debit),
            (&transfer.order.credit_account, credit),
        ],
        Verdict::Refused { .. } => Vec::new(),
    }
}

/// An account as it was opened.
pub(crate) fn opened(account: &Account, at: Timestamp) -> AccountRow {
    AccountRow {
        opening: Opening {
            currency: account.currency,
            kind: account.kind.clone(),
            min_balance: account.min_balance.map(|limit| limit.minor),
            metadata: account.metadata.clone(),
        },
        account: account.clone(),
        changed_at: at,
    }
}

/// What the tables would refuse.
fn keeps_the_constraints(decision: &Decision) -> bool {
    let rows = decision.opened.iter().chain(&decision.changed);
    let mut accounts = rows.map(|(_, row)| &row.account);
    accounts.all(|account| {
        let least = account.min_balance.map_or(i64::MIN, |limit| limit.minor);
        let closed = account.status == schemas::AccountStatus::Closed;
        account.version >= 0
            && account.balance.minor >= least
            && (!closed || account.balance.minor == 0)
    })
}

const FIRST_DECISIONS: &str = concat!(
    "SELECT c.serial, ",
    transfer_columns!(),
    "  FROM transfers t
       LEFT JOIN LATERAL (SELECT c.serial
                            FROM commits c
                           WHERE c.partition = t.partition AND c.position >= t.position
                           ORDER BY c.position
                           LIMIT 1) c ON true
      WHERE t.id = ANY ($1)"
);
