//! Two processes that remember the same accounts: what one wrote, the other never decides without.

use schemas::{EventKind, Outcome, Partition};
use worker::Error;
use worker::simulation::{Commit, Lease, Store, Transaction as _};

use super::bench::Bench;
use super::commits::{batch, open, step};

super::contract! {
    a_stale_balance_is_never_posted_on;
    a_refusal_never_stands_on_a_stale_balance;
    what_became_of_an_account_is_seen;
    an_account_that_was_opened_meanwhile_is_seen;
    a_refusal_and_a_repeat_leave_what_is_remembered_as_it_was;
    what_is_dropped_is_never_decided_from;
}

pub(crate) const OPEN: &[&str] = &[
    r#"{"command":"open_account","id":"world","currency":"USD","min_balance":null}"#,
    r#"{"command":"open_account","id":"alice","currency":"USD"}"#,
    r#"{"command":"open_account","id":"bob","currency":"USD"}"#,
];

/// A process with one partition.
pub(crate) struct Process<S: Store> {
    pub(crate) store: S,
    pub(crate) lease: Lease,
    pub(crate) applied: u64,
}

impl<S: Store> Process<S> {
    pub(crate) async fn start(store: S, partition: u16) -> Self {
        let owner = format!("owner of {partition}");
        let taken = store.take_over(Partition(partition), &owner).await;
        let row = taken.unwrap().expect("it is free");
        Self {
            store,
            lease: row.lease,
            applied: row.applied.sequence(),
        }
    }

    /// Decides these commands and writes them: all but the COMMIT.
    pub(crate) async fn open(&self, lines: &[&str]) -> Result<(S::Transaction, Commit), Error> {
        let commands = batch(self.lease.partition, self.applied + 1, lines);
        let advance = step(self.applied, self.applied + 1);
        open(&self.store, self.lease, advance, &commands).await
    }

    /// And commits them; gives what became of each.
    pub(crate) async fn work(&mut self, lines: &[&str]) -> Result<Vec<EventKind>, Error> {
        let (transaction, commit) = self.open(lines).await?;
        transaction.commit().await?;
        self.applied += 1;
        Ok(kinds(&commit))
    }

    /// As the loop does.
    async fn work_out(&mut self, line: &str) -> EventKind {
        loop {
            match self.work(&[line]).await {
                Err(Error::Conflict(_)) => {}
                worked => return worked.unwrap()[0],
            }
        }
    }

    /// What is remembered is stale: the batch is decided again, and comes to this.
    async fn work_again(&mut self, line: &str) -> EventKind {
        let stale = self.work(&[line]).await;
        assert!(
            matches!(stale, Err(Error::Conflict(_))),
            "{line}: {stale:?}"
        );
        self.work(&[line]).await.unwrap()[0]
    }
}

fn kinds(commit: &Commit) -> Vec<EventKind> {
    let kinds = commit.events.iter();
    kinds.map(|decided| decided.event.outcome.kind()).collect()
}

pub(crate) fn pay(key: &str, debit: &str, credit: &str, amount: &str) -> String {
    format!(
        r#"{{"idempotency_key":"{key}","debit_account":"{debit}","credit_account":"{credit}","amount":"{amount}","currency":"USD"}}"#
    )
}

/// Two processes; the first has opened the accounts, and both remember those that `seen` names.
async fn two<B: Bench>(bench: &B) -> (Process<B::Store>, Process<B::Store>) {
    let mut here = Process::start(bench.store(), 0).await;
    let there = Process::start(bench.store(), 1).await;
    if here.applied == 0 {
        here.work(OPEN).await.unwrap();
        let funds = pay("funds", "world", "alice", "10");
        here.work(&[&funds]).await.unwrap();
    }
    (here, there)
}

async fn a_stale_balance_is_never_posted_on(bench: impl Bench) {
    let (mut here, mut there) = two(&bench).await;
    there
        .work(&[&pay("1", "world", "alice", "20")])
        .await
        .unwrap();
    let line = pay("2", "alice", "bob", "5");
    assert_eq!(here.work_again(&line).await, EventKind::TransferPosted);
    // Now it is the other one whose memory is stale.
    let line = pay("3", "alice", "world", "25");
    assert_eq!(there.work_again(&line).await, EventKind::TransferPosted);
    let line = pay("4", "alice", "bob", "0.01");
    assert_eq!(here.work_out(&line).await, EventKind::TransferRefused);
}

async fn a_refusal_never_stands_on_a_stale_balance(bench: impl Bench) {
    let (mut here, mut there) = two(&bench).await;
    there
        .work(&[&pay("1", "world", "alice", "20")])
        .await
        .unwrap();
    let line = pay("2", "alice", "bob", "30");
    assert_eq!(here.work_again(&line).await, EventKind::TransferPosted);
}

/// What the other does, and what it makes of a transfer from alice to bob.
const CHANGES: [(&str, EventKind); 5] = [
    (
        r#"{"command":"freeze_account","id":"alice"}"#,
        EventKind::TransferRefused,
    ),
    (
        r#"{"command":"unfreeze_account","id":"alice"}"#,
        EventKind::TransferPosted,
    ),
    (
        r#"{"command":"change_account","id":"alice","min_balance":"9"}"#,
        EventKind::TransferRefused,
    ),
    (
        r#"{"command":"change_account","id":"alice","min_balance":"-9"}"#,
        EventKind::TransferPosted,
    ),
    (
        r#"{"command":"freeze_account","id":"bob"}"#,
        EventKind::TransferRefused,
    ),
];

async fn what_became_of_an_account_is_seen(bench: impl Bench) {
    for (round, (change, expected)) in CHANGES.into_iter().enumerate() {
        let (mut here, mut there) = two(&bench).await;
        let seen = [
            pay(&format!("seen {round}"), "world", "bob", "1"),
            pay(&format!("seen too {round}"), "alice", "alice", "1"),
        ];
        here.work(&[&seen[0], &seen[1]]).await.unwrap();
        there.work(&[change]).await.unwrap();
        let line = pay(&format!("then {round}"), "alice", "bob", "1");
        assert_eq!(here.work_again(&line).await, expected, "{change}");
    }
}

async fn an_account_that_was_opened_meanwhile_is_seen(bench: impl Bench) {
    let (mut here, mut there) = two(&bench).await;
    let refused = here.work(&[&pay("1", "alice", "carol", "1")]).await;
    assert_eq!(refused.unwrap(), [EventKind::TransferRefused]);
    let open = r#"{"command":"open_account","id":"carol","currency":"USD"}"#;
    there.work(&[open]).await.unwrap();
    let posted = here.work(&[&pay("2", "alice", "carol", "1")]).await;
    assert_eq!(posted.unwrap(), [EventKind::TransferPosted]);
}

async fn a_refusal_and_a_repeat_leave_what_is_remembered_as_it_was(bench: impl Bench) {
    let (mut here, mut there) = two(&bench).await;
    there
        .work(&[&pay("1", "alice", "bob", "99")])
        .await
        .unwrap();
    let repeated = pay("funds", "world", "alice", "10");
    there.work(&[&repeated]).await.unwrap();
    // Nobody wrote these accounts since.
    let posted = here.work(&[&pay("2", "alice", "bob", "10")]).await;
    assert_eq!(posted.unwrap(), [EventKind::TransferPosted]);
}

async fn what_is_dropped_is_never_decided_from(bench: impl Bench) {
    let (here, _) = two(&bench).await;
    let all = pay("1", "alice", "bob", "10");
    let (dropped, commit) = here.open(&[&all]).await.unwrap();
    assert_eq!(kinds(&commit), [EventKind::TransferPosted]);
    drop(dropped);
    let other = pay("2", "alice", "world", "4");
    let believed = here.open(&[&other]).await.map(|(_, commit)| kinds(&commit));
    assert!(matches!(believed, Err(Error::Conflict(_))), "{believed:?}");
    let (transaction, commit) = here.open(&[&other]).await.unwrap();
    let Outcome::Decided(transfer) = &commit.events[0].event.outcome else {
        panic!("{:?}", commit.events);
    };
    let schemas::Verdict::Posted { debit, .. } = transfer.verdict else {
        panic!("{transfer:?}");
    };
    assert_eq!((debit.balance, debit.version), (600, 2));
    transaction.commit().await.unwrap();
}
