//! What a transaction asks of Postgres, and what is left of it when it is dropped.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use schemas::Partition;
use sqlx::Row as _;
use worker::simulation::{Lease, Postgres, Store, Transaction as _};
use worker::{Config, Error, times};

use super::bed::{Role, Servers, until};
use super::wire::Wire;
use crate::seams::commits::{batch, open, step};

const PARTITION: Partition = Partition(0);
pub(super) const OPEN: &[&str] = &[
    r#"{"command":"open_account","id":"world","currency":"USD","min_balance":null}"#,
    r#"{"command":"open_account","id":"alice","currency":"USD"}"#,
];

/// One that is posted and one that is refused.
fn transfers(key: u64) -> [String; 2] {
    let pay = |key: String, debit, credit, amount| {
        format!(
            r#"{{"idempotency_key":"{key}","debit_account":"{debit}","credit_account":"{credit}","amount":"{amount}","currency":"USD"}}"#
        )
    };
    [
        pay(format!("{key} posted"), "world", "alice", 1),
        pay(format!("{key} refused"), "alice", "world", 1_000_000),
    ]
}

pub(super) async fn take(store: &Postgres) -> Lease {
    let taken = store.take_over(PARTITION, "us").await.unwrap();
    taken.expect("it is free").lease
}

/// The commit at `position`, behind the one before it.
pub(super) async fn commit(store: &Postgres, lease: Lease, position: u64, lines: &[&str]) {
    let commands = batch(PARTITION, position, lines);
    let opened = open(store, lease, step(position - 1, position), &commands).await;
    let (transaction, _) = opened.unwrap();
    transaction.commit().await.unwrap();
}

pub(super) async fn commit_transfers(store: &Postgres, lease: Lease, position: u64) {
    let lines = transfers(position);
    commit(store, lease, position, &[&lines[0], &lines[1]]).await;
}

const USUAL: [&str; 3] = [
    "BEGIN; EXECUTE move_position (0, ",
    "WITH posted AS ( UPDATE accounts a SET ",
    "COMMIT",
];

#[tokio::test]
async fn a_usual_commit_takes_three_round_trips() {
    let servers = Servers::start(1).await;
    let wire = Wire::start(&servers, 2).await;
    let store = Postgres::new(wire.pool.clone(), &Config::default());
    let lease = take(&store).await;
    commit(&store, lease, 1, OPEN).await;
    commit_transfers(&store, lease, 2).await;
    let first = wire.asked();
    assert!(first.iter().any(|asked| asked.contains("PREPARE")));

    for position in 3..13 {
        commit_transfers(&store, lease, position).await;
    }
    let asked = wire.asked();
    assert_eq!(asked.len(), 10 * USUAL.len(), "{asked:#?}");
    for commit in asked.chunks(USUAL.len()) {
        assert!(are(commit, &USUAL), "{commit:#?}");
        assert!(commit[0].contains("; EXECUTE find_keys ('{"), "{commit:#?}");
    }

    // What is rare is a statement more each.
    let rare = [
        r#"{"command":"open_account","id":"bob","currency":"USD"}"#,
        r#"{"command":"freeze_account","id":"alice"}"#,
    ];
    commit(&store, lease, 13, &rare).await;
    let asked: Vec<String> = wire.asked();
    let asks = |begins| {
        let found = asked.iter().filter(|asked| asked.contains(begins));
        found.count()
    };
    for rare in [
        "INSERT INTO accounts",
        "UPDATE accounts a SET balance = u.balance, version = u.version, changed_at = u.changed_at, status",
        "INSERT INTO outcomes",
    ] {
        assert_eq!(asks(rare), 1, "{rare}: {asked:#?}");
    }
    assert_eq!(asks("INSERT INTO dead_letters"), 0);
}

/// Accounts that are only read are confirmed by a statement of its own, those that are not known are read.
#[tokio::test]
async fn what_is_remembered_is_not_read_again() {
    let servers = Servers::start(1).await;
    let wire = Wire::start(&servers, 1).await;
    let store = Postgres::new(wire.pool.clone(), &Config::default());
    let lease = take(&store).await;
    commit(&store, lease, 1, OPEN).await;
    let refused = r#"{"idempotency_key":"r","debit_account":"alice","credit_account":"world","amount":"1","currency":"USD"}"#;
    let frozen = r#"{"command":"freeze_account","id":"alice"}"#;
    let unknown = r#"{"idempotency_key":"u","debit_account":"alice","credit_account":"bob","amount":"1","currency":"USD"}"#;
    let [begin, write, end] = USUAL;
    let (confirm, read) = (
        "SELECT count(*) FROM (SELECT ",
        "WITH found AS MATERIALIZED (",
    );
    let (rewrite, repeats, outcomes) = (
        "UPDATE accounts a SET balance = u.balance, version = u.version, changed_at = u.changed_at, status",
        "SELECT t.id, ",
        "INSERT INTO outcomes",
    );
    let cases: [(&str, &[&str]); 5] = [
        (refused, &[begin, confirm, write, end]),
        (refused, &[begin, repeats, confirm, outcomes, write, end]),
        (frozen, &[begin, confirm, rewrite, outcomes, write, end]),
        (unknown, &[begin, read, confirm, write, end]),
        (frozen, &[begin, confirm, outcomes, write, end]),
    ];
    for ((line, expected), position) in cases.into_iter().zip(2..) {
        wire.asked();
        commit(&store, lease, position, &[line]).await;
        let mut asked = wire.asked();
        // Statements that this session sends for the first time.
        asked.retain(|asked| asked != "PREPARE");
        assert!(are(&asked, expected), "{line}: {asked:#?}");
    }
}

/// One is decided while another commits, twice.
#[tokio::test]
async fn as_many_sessions_are_kept_as_transactions_may_be_open() {
    const OPEN_AT_ONCE: u16 = 4;
    let servers = Servers::start(OPEN_AT_ONCE).await;
    let wire = Wire::start(&servers, u32::from(OPEN_AT_ONCE)).await;
    let config = Config {
        commits_in_flight: 2,
        ..Config::default()
    };
    let store = Postgres::new(wire.pool.clone(), &config);
    let mut leases = Vec::new();
    for partition in 0..OPEN_AT_ONCE {
        let taken = store.take_over(Partition(partition), "us").await.unwrap();
        leases.push(taken.expect("it is free").lease);
    }
    for position in 1..3 {
        wire.asked();
        let mut written = Vec::new();
        for lease in &leases {
            let id = format!("account-{}-{position}", lease.partition);
            let line = format!(r#"{{"command":"open_account","id":"{id}","currency":"USD"}}"#);
            let commands = batch(lease.partition, position, &[&line]);
            let opened = open(&store, *lease, step(position - 1, position), &commands).await;
            written.push(opened.unwrap().0);
        }
        for transaction in written {
            transaction.commit().await.unwrap();
        }
    }
    let asked = wire.asked();
    let begun = asked.iter().filter(|asked| asked.starts_with("BEGIN; "));
    assert_eq!(begun.count(), leases.len(), "{asked:#?}");
}

/// Whether statements are these, by their beginnings.
fn are(asked: &[String], begin: &[&str]) -> bool {
    let mut pairs = asked.iter().zip(begin);
    asked.len() == begin.len() && pairs.all(|(asked, begins)| asked.starts_with(begins))
}

/// Whatever a transaction was at. With one session, so that it is the same that goes on.
#[tokio::test]
async fn a_transaction_dropped_at_any_await_leaves_its_session_outside() {
    let servers = Servers::start(1).await;
    let wire = Wire::start(&servers, 1).await;
    let store = Postgres::new(wire.pool.clone(), &Config::default());
    let lease = take(&store).await;
    commit(&store, lease, 1, OPEN).await;
    let mut applied = 1;
    let mut dropped = 0;
    for polls in 1.. {
        let next = applied + 1;
        let lines = transfers(next);
        let finished = {
            let commands = batch(PARTITION, next, &[&lines[0], &lines[1]]);
            let transaction = async {
                // What the one that was dropped left in memory is believed in vain.
                let opened = loop {
                    match open(&store, lease, step(applied, next), &commands).await {
                        Err(Error::Conflict(_)) => {}
                        opened => break opened.unwrap().0,
                    }
                };
                opened.commit().await.unwrap();
            };
            polled(transaction, polls).await
        };
        if finished {
            break;
        }
        dropped += 1;
        // Sooner than Postgres would end a session that does nothing inside a transaction.
        let session = tokio::time::timeout(times::IDLE_MAX / 2, wire.pool.acquire());
        let mut session = session.await.expect("the session is free").unwrap();
        // Of one message: a transaction begins with its first statement.
        let outside = sqlx::raw_sql("SELECT now() = statement_timestamp()")
            .fetch_one(&mut *session)
            .await;
        let is_outside: bool = outside.unwrap().get(0);
        assert!(is_outside, "after {polls} polls");
        let sums = "SELECT applied, (SELECT count(*) FROM commits), (SELECT sum(balance) FROM accounts)::bigint
            FROM partitions";
        let sums: (i64, i64, i64) = sqlx::query_as(sums).fetch_one(&mut *session).await.unwrap();
        assert_eq!(sums, (sums.0, sums.0, 0), "it happened in part");
        applied = u64::try_from(sums.0).unwrap();
    }
    assert!(dropped >= 5, "each round trip is waited for");
}

/// Drops the future once it was polled so often; whether it was done by then.
async fn polled(future: impl Future<Output = ()>, polls: u32) -> bool {
    let mut future = pin!(future);
    let mut left = polls;
    poll_fn(move |context| {
        left -= 1;
        match future.as_mut().poll(context) {
            Poll::Ready(()) => Poll::Ready(true),
            Poll::Pending if left == 0 => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// With one session, so that it is the same that goes on.
#[tokio::test]
async fn a_fenced_transaction_leaves_its_session_usable() {
    let servers = Servers::start(1).await;
    let wire = Wire::start(&servers, 1).await;
    let store = Postgres::new(wire.pool.clone(), &Config::default());
    let lease = take(&store).await;
    let old = Lease {
        epoch: lease.epoch - 1,
        ..lease
    };
    for position in 1..4 {
        let fenced = store.rehearse(old, step(position - 1, position)).await;
        assert!(matches!(fenced.map(drop), Err(worker::Error::Fenced)));
        let lines: &[&str] = if position == 1 { OPEN } else { &[OPEN[0]] };
        commit(&store, lease, position, lines).await;
    }
    let asked = wire.asked();
    let ended = asked
        .iter()
        .filter(|asked| asked.starts_with("ROLLBACK"))
        .count();
    assert_eq!(ended, 3, "{asked:#?}");
    let opened = "SELECT count(*) FROM accounts";
    assert_eq!(servers.number(opened).await, 2);
}

/// Two partitions: each renews its lease, and their process looks around.
#[tokio::test]
async fn a_processor_without_traffic_asks_three_things() {
    const RENEWALS: usize = 8;
    let servers = Servers::start(2).await;
    let wire = Wire::start(&servers, 6).await;
    let config = Config {
        renewal: Duration::from_millis(400),
        assignment: Duration::from_millis(200),
        ..Config::default()
    };
    let role = Role::start(servers.log.clone(), wire.pool.clone(), config);
    // The last thing that a takeover does not do.
    let renewed = "SELECT count(*) FROM partitions WHERE certain_at > 0";
    until(async || servers.number(renewed).await == 2).await;

    wire.asked();
    let mut asked = Vec::new();
    let count = |asked: &[String], words: &str| {
        let found = asked.iter().filter(|asked| asked.contains(words));
        found.count()
    };
    let renews = "UPDATE partitions SET lease_until = ";
    until(async || {
        asked.extend(wire.asked());
        count(&asked, renews) >= RENEWALS
    })
    .await;
    role.stop().await;

    // A session that asks for the first time.
    asked.retain(|asked| asked != "PREPARE");
    let versions = count(&asked, "SELECT encoder, rules");
    let looks = count(&asked, "INSERT INTO processors");
    let pings = count(&asked, "") - count(&asked, " ");
    let renewals = count(&asked, renews);
    assert!(versions.abs_diff(looks) <= 1, "{asked:#?}");
    // The pool asks a session that comes back whether it lives.
    assert_eq!(
        asked.len(),
        versions + looks + renewals + pings,
        "{asked:#?}"
    );
    assert!(pings <= versions + looks + renewals + 1, "{asked:#?}");
}
