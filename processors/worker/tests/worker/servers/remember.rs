//! What is remembered, where only Postgres can say what becomes of it: places that are used again, rows that others hold,
//! answers that never came.

use std::pin::{Pin, pin};
use std::time::Duration;

use schemas::EventKind;
use worker::simulation::{Postgres, Store as _, Transaction as _};
use worker::{Error, times};

use super::bed::{Servers, until};
use crate::seams::commits::{batch, decide, step};
use crate::seams::memory::{OPEN, Process, pay};

const LEASE: Duration = Duration::from_secs(6);
pub(super) const WAITING: &str = "SELECT count(*) FROM pg_stat_activity
    WHERE wait_event_type = 'Lock' AND datname = current_database()";

async fn start(servers: &Servers, partition: u16) -> Process<Postgres> {
    Process::start(servers.store(LEASE), partition).await
}

async fn work(process: &mut Process<Postgres>, lines: &[&str]) -> Vec<EventKind> {
    process.work(lines).await.unwrap()
}

/// Twice, as what is remembered is stale.
async fn work_again(process: &mut Process<Postgres>, line: &str) -> EventKind {
    let stale = process.work(&[line]).await;
    assert!(is_conflict(&stale), "{line}: {stale:?}");
    process.work(&[line]).await.unwrap()[0]
}

fn is_conflict<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Conflict(_)))
}

async fn text(servers: &Servers, sql: &'static str) -> String {
    let text = sqlx::query_scalar(sql).fetch_one(&servers.admin);
    text.await.unwrap()
}

/// Accounts that are written, and accounts that are only read: what confirms them is not the same statement.
const USES: [(&str, EventKind); 2] = [
    ("USD", EventKind::TransferPosted),
    ("EUR", EventKind::TransferRefused),
];

fn use_of(currency: &str) -> String {
    pay("used", "alice", "bob", "10").replace("USD", currency)
}

#[tokio::test]
async fn another_version_of_the_row_at_the_same_place_is_not_believed() {
    const PLACE: &str = "SELECT ctid::text FROM accounts WHERE id = 'alice'";
    for (currency, outcome) in USES {
        let servers = Servers::start(2).await;
        let mut here = start(&servers, 0).await;
        let mut there = start(&servers, 1).await;
        work(&mut here, OPEN).await;
        work(&mut here, &[&pay("funds", "world", "alice", "100")]).await;
        let remembered = text(&servers, PLACE).await;
        let mut rounds = 0;
        loop {
            rounds += 1;
            assert!(rounds < 50, "the place is not used again");
            let one = pay(&format!("there {rounds}"), "alice", "world", "1");
            work(&mut there, &[&one]).await;
            if text(&servers, PLACE).await == remembered {
                break;
            }
            servers.execute("VACUUM accounts").await;
        }
        assert_eq!(work_again(&mut here, &use_of(currency)).await, outcome);
    }
}

/// The writer is the same, too: one transaction opened them all.
#[tokio::test]
async fn another_row_at_the_same_place_is_not_believed() {
    const ALICE: &str = "SELECT ctid::text FROM accounts WHERE id = 'alice'";
    const BOB: &str = "SELECT ctid::text FROM accounts WHERE id = 'bob'";
    let open = |id: &str| {
        format!(r#"{{"command":"open_account","id":"{id}","currency":"USD","min_balance":null}}"#)
    };
    for (currency, outcome) in USES {
        let servers = Servers::start(1).await;
        let mut here = start(&servers, 0).await;
        work(&mut here, &[&open("aaaa")]).await;
        work(&mut here, &[&open("alice"), &open("bob"), &open("carol")]).await;
        let alice = text(&servers, ALICE).await;
        let delete = "DELETE FROM accounts WHERE id = 'aaaa'";
        servers.execute(delete).await;
        // Each of the others moves to the place of the one before it, once no session sees the deleted one.
        until(async || {
            servers.execute("VACUUM FULL accounts").await;
            text(&servers, BOB).await == alice
        })
        .await;
        assert_eq!(work_again(&mut here, &use_of(currency)).await, outcome);
        let carol = "SELECT version FROM accounts WHERE id = 'carol'";
        assert_eq!(servers.number(carol).await, 0);
    }
}

#[tokio::test]
async fn a_commit_that_nobody_heard_of_is_read_again() {
    let servers = Servers::start(1).await;
    let mut here = start(&servers, 0).await;
    work(&mut here, OPEN).await;
    work(&mut here, &[&pay("funds", "world", "alice", "10")]).await;
    let (transaction, _) = here.open(&[&pay("1", "alice", "bob", "10")]).await.unwrap();
    {
        let mut commit = pin!(transaction.commit());
        assert!(futures::poll!(&mut commit).is_pending());
        let applied = "SELECT applied FROM partitions";
        until(async || servers.number(applied).await == 3).await;
    }
    here.applied += 1;
    let lines = [
        pay("2", "alice", "world", "0.01"),
        pay("3", "bob", "world", "10"),
    ];
    // Whoever wrote them may never have been on disk: its number may be another's by now.
    let believed = here.work(&[&lines[0], &lines[1]]).await;
    assert!(is_conflict(&believed), "{believed:?}");
    let outcomes = work(&mut here, &[&lines[0], &lines[1]]).await;
    assert_eq!(
        outcomes,
        [EventKind::TransferRefused, EventKind::TransferPosted]
    );
}

/// What the other does while it holds the accounts, how it ends, and what that makes of us who remember them.
const MEANWHILE: [(&str, &str, bool, bool); 6] = [
    ("refused", "posted", true, true),
    ("refused", "refused", true, true),
    ("posted", "posted", true, false),
    ("posted", "refused", true, false),
    ("posted", "posted", false, true),
    ("posted", "refused", false, true),
];

/// Ours are locked by the same statement that draws the serial, or by one before.
#[tokio::test]
async fn a_serial_is_drawn_behind_whoever_holds_an_account() {
    const DRAWN: &str = "SELECT last_value FROM commits_serial";
    let servers = Servers::start(2).await;
    work(&mut start(&servers, 0).await, OPEN).await;
    let line = |key: String, what| match what {
        "posted" => pay(&key, "world", "alice", "1"),
        _ => pay(&key, "alice", "world", "1000"),
    };
    for (round, (theirs, ours, committed, holds)) in MEANWHILE.into_iter().enumerate() {
        // Others, as it takes a while to believe again.
        let mut here = start(&servers, 0).await;
        let there = start(&servers, 1).await;
        work(&mut here, &[&line(format!("seen {round}"), "posted")]).await;
        let theirs = line(format!("there {round}"), theirs);
        let (transaction, _) = there.open(&[&theirs]).await.unwrap();
        let drawn = servers.number(DRAWN).await;
        let ours = line(format!("here {round}"), ours);
        let ours = [&ours[..]];
        let mut written = pin!(here.open(&ours));
        meets_locks(&servers, written.as_mut()).await;
        assert_eq!(servers.number(DRAWN).await, drawn, "{theirs}");
        if committed {
            transaction.commit().await.unwrap();
        } else {
            drop(transaction);
        }
        let written = written.await;
        assert_eq!(
            is_conflict(&written),
            !holds,
            "{theirs}: {:?}",
            written.map(drop)
        );
        if let Ok((transaction, _)) = written {
            transaction.commit().await.unwrap();
            assert!(servers.number(DRAWN).await > drawn);
        }
    }
    // The serials of what was committed are in the order of the table's rows, which are only added to.
    let disorder =
        "SELECT count(*) FROM commits a JOIN commits b ON a.ctid < b.ctid AND a.serial > b.serial";
    assert_eq!(servers.number(disorder).await, 0);
}

/// Polls until somebody waits for a lock, which this needs to go on.
async fn meets_locks<T>(servers: &Servers, held_up: Pin<&mut impl Future<Output = T>>) {
    let waits = async { until(async || servers.number(WAITING).await == 1).await };
    tokio::select! {
        _ = held_up => panic!("the other one holds the accounts"),
        () = waits => {}
    }
}

/// Others may have decided meanwhile, and left no trace in the account.
#[tokio::test]
async fn who_waits_for_an_account_decides_behind_whoever_held_it() {
    const NOW: &str = "SELECT (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000";
    let servers = Servers::start(2).await;
    let mut there = start(&servers, 1).await;
    work(&mut there, OPEN).await;
    let refused = pay("there", "alice", "bob", "1");
    let (transaction, _) = there.open(&[&refused]).await.unwrap();
    let here = Process::start(servers.careful_store(), 0).await;
    let ours = pay("here", "alice", "bob", "2");
    let ours = [&ours[..]];
    let mut written = pin!(here.open(&ours));
    meets_locks(&servers, written.as_mut()).await;
    let held = servers.number(NOW).await;
    transaction.commit().await.unwrap();
    let (_, commit) = written.await.unwrap();
    assert!(commit.decided_at.nanoseconds() > held);
}

/// A process that remembers one of two accounts reads the other one, and waits for nobody who has it locked.
#[tokio::test]
async fn what_is_not_remembered_is_read_without_a_lock_and_confirmed() {
    let servers = Servers::start(2).await;
    work(&mut start(&servers, 1).await, OPEN).await;
    for meanwhile in [false, true] {
        let there = start(&servers, 1).await;
        let mut here = start(&servers, 0).await;
        work(
            &mut here,
            &[&pay(&format!("seen {meanwhile}"), "world", "alice", "2")],
        )
        .await;
        let theirs = pay(&format!("there {meanwhile}"), "world", "bob", "1");
        let (theirs, _) = there.open(&[&theirs]).await.unwrap();
        let line = pay(&format!("here {meanwhile}"), "alice", "bob", "1");
        let commands = batch(here.lease.partition, here.applied + 1, &[&line]);
        let reads = ledger::reads(&commands);
        let advance = step(here.applied, here.applied + 1);
        let begun = here.store.begin(here.lease, advance, &reads).await;
        let (mut transaction, loaded) = begun.unwrap();
        assert!(loaded.rows.accounts.iter().all(Option::is_some));
        if meanwhile {
            theirs.commit().await.unwrap();
        } else {
            drop(theirs);
        }
        let written = transaction
            .write(&decide(here.lease, &commands, &reads, loaded))
            .await;
        assert_eq!(is_conflict(&written), meanwhile, "{written:?}");
        drop(transaction);
        let outcome = work_out(&mut here, &line).await;
        assert_eq!(outcome, EventKind::TransferPosted);
    }
}

#[tokio::test]
async fn who_believed_in_vain_holds_nothing_up() {
    let servers = Servers::start(2).await;
    let mut here = start(&servers, 0).await;
    let mut there = start(&servers, 1).await;
    work(&mut here, OPEN).await;
    work(&mut there, &[&pay("1", "world", "alice", "1")]).await;
    for (key, lines) in [
        (
            "posted",
            [
                pay("2", "world", "alice", "1"),
                pay("3", "world", "bob", "1"),
            ],
        ),
        (
            "refused",
            [
                pay("4", "alice", "bob", "999"),
                pay("5", "world", "bob", "1"),
            ],
        ),
    ] {
        let mut late = start(&servers, 0).await;
        work(
            &mut late,
            &[
                &pay(&format!("{key} seen"), "world", "bob", "1"),
                &pay(&format!("{key} seen too"), "alice", "bob", "999"),
            ],
        )
        .await;
        work_out(
            &mut there,
            &pay(&format!("{key} there"), "world", "alice", "1"),
        )
        .await;
        let stale = late.work(&[&lines[0], &lines[1]]).await;
        assert!(is_conflict(&stale), "{key}: {stale:?}");
        let line = pay(&format!("{key} then"), "alice", "bob", "0.01");
        let free = work_out(&mut there, &line);
        // Sooner than Postgres would end an idle session.
        let free = tokio::time::timeout(times::IDLE_MAX / 2, free).await;
        assert_eq!(
            free.expect("nothing stays locked"),
            EventKind::TransferPosted
        );
    }
}

async fn work_out(process: &mut Process<Postgres>, line: &str) -> EventKind {
    loop {
        match process.work(&[line]).await {
            Err(Error::Conflict(_)) => {}
            worked => return worked.unwrap()[0],
        }
    }
}
