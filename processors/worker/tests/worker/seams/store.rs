//! Postgres, as the loop needs it.

use std::collections::BTreeSet;
use std::time::Duration;

use journal::rebuild;
use schemas::{
    Account, AccountStatus, After, Event, EventKind, LinePosition, Money, Outcome, Partition,
    Position, Timestamp, Transfer, Verdict,
};
use worker::simulation::{Commit, Lease, Loaded, Rehearsal as _, Row, Store, Transaction as _};
use worker::{Error, times};

use super::bench::Bench;
use super::commits::{ACCEPTED_AT, batch, dead_letter, decide, open, open_behind, rehearse, step};
use crate::double::copy;

const FIRST: Partition = Partition(0);
const SECOND: Partition = Partition(1);

super::contract! {
    a_partition_is_taken_while_its_lease_is_free_or_ours;
    a_lease_that_ran_out_is_anybodys_and_its_old_owner_is_fenced;
    only_the_owner_moves_the_position_and_only_from_where_it_stands;
    what_is_dropped_without_commit_never_happened;
    a_dropped_transaction_gives_back_its_locks_at_once;
    a_fenced_transaction_holds_nothing;
    the_stream_is_bound_once;
    the_reason_of_a_stop_is_kept_until_it_is_taken_back;
    the_published_position_never_goes_back;
    every_kind_of_outcome_is_read_back_as_it_was_written;
    a_key_that_another_partition_took_meanwhile_is_a_conflict;
    a_command_that_cannot_be_stored_is_poison;
    what_an_account_may_hold_is_written_with_what_it_holds;
    a_row_that_breaks_a_constraint_is_poison;
    a_second_write_stands_on_the_first;
    no_commit_decides_before_what_was_certain;
}

async fn take<S: Store>(store: &S, partition: Partition, owner: &str) -> Row {
    let taken = store.take_over(partition, owner).await.unwrap();
    taken.expect("the partition is free")
}

/// For results by value, so that a call reads as a sentence.
#[expect(clippy::needless_pass_by_value, reason = "callers have no use for it")]
fn is_fenced<T>(result: Result<T, Error>) -> bool {
    matches!(result, Err(Error::Fenced))
}

async fn a_partition_is_taken_while_its_lease_is_free_or_ours(bench: impl Bench) {
    let store = bench.store();
    let first = take(&store, FIRST, "a").await;
    assert_eq!((first.lease.epoch, first.applied), (1, Position::default()));
    assert_eq!(first.stream_created, None);
    assert_eq!(store.take_over(FIRST, "b").await.unwrap(), None);
    assert_eq!(take(&store, SECOND, "b").await.lease.epoch, 1);
    let again = take(&store, FIRST, "a").await;
    assert_eq!(again.lease.epoch, 2);
    assert!(is_fenced(
        store.release(first.lease, Position::default()).await
    ));
    store
        .release(again.lease, Position::default())
        .await
        .unwrap();
    assert_eq!(take(&store, FIRST, "b").await.lease.epoch, 3);
}

async fn a_lease_that_ran_out_is_anybodys_and_its_old_owner_is_fenced(bench: impl Bench) {
    let store = bench.store();
    let old = take(&store, FIRST, "a").await.lease;
    store.renew(old, Position::default()).await.unwrap();
    let taken = loop {
        if let Some(row) = store.take_over(FIRST, "b").await.unwrap() {
            break row;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(taken.lease.epoch, 2);
    let none = Position::default();
    assert!(is_fenced(store.renew(old, none).await));
    assert!(is_fenced(store.release(old, none).await));
    assert!(is_fenced(store.set_stopped(old, Some("why")).await));
    assert!(is_fenced(
        store.bind_stream(old, Timestamp::default()).await
    ));
    assert!(is_fenced(store.rehearse(old, step(0, 1)).await));
    store.rehearse(taken.lease, step(0, 1)).await.unwrap();
}

async fn only_the_owner_moves_the_position_and_only_from_where_it_stands(bench: impl Bench) {
    let store = bench.store();
    let lease = take(&store, FIRST, "a").await.lease;
    let other = Lease { epoch: 9, ..lease };
    assert!(is_fenced(store.rehearse(other, step(0, 1)).await));
    assert!(is_fenced(store.rehearse(lease, step(4, 5)).await));
    post(&store, lease, 0, 7, &[OPEN_WORLD]).await;
    assert!(is_fenced(store.rehearse(lease, step(0, 8)).await));
    let row = take(&store, FIRST, "a").await;
    assert_eq!(row.applied, Position::new(0, 7));
    assert_eq!(row.applied_at, Timestamp::from_nanoseconds(ACCEPTED_AT + 1));
    assert_eq!(take(&store, SECOND, "a").await.applied, Position::default());
}

async fn what_is_dropped_without_commit_never_happened(bench: impl Bench) {
    let store = bench.store();
    let lease = take(&store, FIRST, "a").await.lease;
    let opening = batch(FIRST, 7, &[OPEN_WORLD]);
    drop(open(&store, lease, step(0, 7), &opening).await.unwrap());
    assert_eq!(store.last_commit(FIRST).await.unwrap(), None);
    let mut again = store.rehearse(lease, step(0, 7)).await.unwrap();
    let loaded = again.load(&ledger::reads(&opening)).await.unwrap();
    assert_eq!(loaded.rows.accounts, [None]);
}

/// Rows of partitions, accounts and keys.
async fn a_dropped_transaction_gives_back_its_locks_at_once(bench: impl Bench) {
    let store = bench.store();
    let [first, second] = [
        take(&store, FIRST, "a").await.lease,
        take(&store, SECOND, "b").await.lease,
    ];
    post(&store, first, 0, 1, &BEFORE[..3]).await;
    let pay = r#"{"idempotency_key":"k","debit_account":"world","credit_account":"alice","amount":"1","currency":"USD"}"#;
    for written in [false, true] {
        let [here, there] = [batch(FIRST, 2, &[pay]), batch(SECOND, 3, &[pay])];
        let mut dropped = store.rehearse(first, step(1, 2)).await.unwrap();
        if written {
            rehearse(&mut dropped, first, &here).await.unwrap();
        } else {
            dropped.load(&ledger::reads(&here)).await.unwrap();
        }
        drop(dropped);
        // Sooner than Postgres would end an idle session.
        let free = tokio::time::timeout(times::IDLE_MAX / 2, async {
            let mut other = store.rehearse(second, step(0, 3)).await.unwrap();
            let written = rehearse(&mut other, second, &there).await;
            drop(store.rehearse(first, step(1, 2)).await.unwrap());
            written.unwrap()
        });
        let written = free.await.expect("nothing stays locked");
        let kind = written.events[0].event.outcome.kind();
        assert_eq!(kind, EventKind::TransferPosted);
    }
}

async fn a_fenced_transaction_holds_nothing(bench: impl Bench) {
    let store = bench.store();
    let lease = take(&store, FIRST, "a").await.lease;
    let old = Lease { epoch: 0, ..lease };
    // More than there are sessions.
    for _ in 0..16 {
        assert!(is_fenced(store.rehearse(old, step(0, 1)).await));
        assert!(is_fenced(store.rehearse(lease, step(3, 4)).await));
    }
    let free = post(&store, lease, 0, 1, &[OPEN_WORLD]);
    tokio::time::timeout(times::IDLE_MAX / 2, free)
        .await
        .expect("nothing stays locked");
    let row = take(&store, FIRST, "a").await;
    assert_eq!(row.applied, Position::new(0, 1));
}

async fn the_stream_is_bound_once(bench: impl Bench) {
    let store = bench.store();
    let lease = take(&store, FIRST, "a").await.lease;
    let created = Timestamp::from_nanoseconds(ACCEPTED_AT);
    store.bind_stream(lease, created).await.unwrap();
    assert!(is_fenced(
        store.bind_stream(lease, Timestamp::default()).await
    ));
    assert_eq!(take(&store, FIRST, "a").await.stream_created, Some(created));
}

async fn the_reason_of_a_stop_is_kept_until_it_is_taken_back(bench: impl Bench) {
    let store = bench.store();
    let lease = take(&store, FIRST, "a").await.lease;
    store
        .set_stopped(lease, Some("an older copy"))
        .await
        .unwrap();
    let row = take(&store, FIRST, "a").await;
    assert_eq!(row.stopped.as_deref(), Some("an older copy"));
    store.set_stopped(row.lease, None).await.unwrap();
    assert_eq!(take(&store, FIRST, "a").await.stopped, None);
}

async fn the_published_position_never_goes_back(bench: impl Bench) {
    let store = bench.store();
    let lease = take(&store, FIRST, "a").await.lease;
    store.renew(lease, Position::new(0, 5)).await.unwrap();
    store.renew(lease, Position::new(0, 3)).await.unwrap();
    store.release(lease, Position::new(0, 4)).await.unwrap();
    assert_eq!(
        take(&store, FIRST, "a").await.published,
        Position::new(0, 5)
    );
}

const OPEN_WORLD: &str =
    r#"{"command":"open_account","id":"world","currency":"USD","min_balance":null}"#;

/// Every kind of outcome, in two batches so that rows are read back in between.
const BEFORE: &[&str] = &[
    OPEN_WORLD,
    r#"{"command":"open_account","id":"alice","currency":"USD","type":"user","metadata":{"b":1,"a":"\u00e4"}}"#,
    r#"{"command":"open_account","id":"bob","currency":"USD","min_balance":"-5.50"}"#,
    r#"{"idempotency_key":"k1","debit_account":"world","credit_account":"alice","amount":"12.34","currency":"USD","description":"a \"gift\"","metadata":{"n":1.50}}"#,
    r#"{"idempotency_key":"k2","debit_account":"bob","credit_account":"alice","amount":"100","currency":"USD"}"#,
];
const AFTER: &[&str] = &[
    r#"{"idempotency_key":"k1","debit_account":"world","credit_account":"alice","amount":"12.34","currency":"USD","description":"a \"gift\"","metadata":{"n":1.50}}"#,
    r#"{"idempotency_key":"k2","debit_account":"bob","credit_account":"alice","amount":"100","currency":"USD"}"#,
    r#"{"idempotency_key":"k1","debit_account":"world","credit_account":"alice","amount":"12.35","currency":"USD"}"#,
    r#"{"idempotency_key":"k3","debit_account":"alice","credit_account":"bob","amount":"0.04","currency":"USD"}"#,
    r#"{"idempotency_key":"k3","debit_account":"alice","credit_account":"bob","amount":"0.04","currency":"USD"}"#,
    r#"{"command":"change_account","id":"alice","min_balance":"1.00","metadata":null}"#,
    r#"{"command":"freeze_account","id":"alice"}"#,
    r#"{"command":"open_account","id":"carol","currency":"USD"}"#,
    r#"{"command":"close_account","id":"carol"}"#,
    r#"{"command":"freeze_account","id":"bob"}"#,
    r#"{"command":"unfreeze_account","id":"bob"}"#,
    r#"{"command":"unfreeze_account","id":"bob"}"#,
    r#"{"command":"close_account","id":"bob"}"#,
    r#"{"command":"open_account","id":"bob","currency":"EUR"}"#,
    r#"{"command":"freeze_account","id":"nobody"}"#,
];

async fn every_kind_of_outcome_is_read_back_as_it_was_written(bench: impl Bench) {
    let store = bench.store();
    let lease = take(&store, FIRST, "a").await.lease;
    let mut kinds = BTreeSet::new();
    let (mut from, mut previous_hash) = (0, [0; 32]);
    let bodies: [(&[&str], &[u8], bool); 2] = [(BEFORE, b"{\xff\0", false), (AFTER, b"{", true)];
    for (position, (lines, body, named)) in [4, 9].into_iter().zip(bodies) {
        let commands = batch(FIRST, position, lines);
        let dead = dead_letter(&commands, body, named);
        let (transaction, written) = open_behind(
            &store,
            (lease, step(from, position)),
            &commands,
            Some(dead.clone()),
            previous_hash,
        )
        .await
        .unwrap();
        transaction.commit().await.unwrap();

        let commit = store
            .commit_after(FIRST, Position::new(0, from))
            .await
            .unwrap()
            .unwrap();
        assert_eq!(
            store.commit_at(FIRST, commit.position).await.unwrap(),
            Some(commit)
        );
        assert_eq!(store.last_commit(FIRST).await.unwrap(), Some(commit));
        let events = store.journal(FIRST, &commit).await.unwrap();
        let before = LinePosition { line: 0, ..dead.at };
        let dead_letters = store.dead_letters_after(before, 9).await.unwrap();
        let expected: Vec<Event> = written
            .events
            .into_iter()
            .map(|decided| decided.event)
            .collect();
        assert_eq!(events, expected);
        assert_eq!(dead_letters, [copy(&dead)]);
        assert_eq!(rebuild(FIRST, &commit, &events).unwrap(), written.record);
        kinds.extend(events.iter().map(|event| event.outcome.kind().as_str()));

        let reads = ledger::reads(&commands);
        let mut reading = store
            .rehearse(lease, step(position, position + 1))
            .await
            .unwrap();
        let Loaded { rows, now } = reading.load(&reads).await.unwrap();
        assert!(now >= written.decided_at);
        for (key, row) in written.opened.iter().chain(&written.changed) {
            let place = reads.accounts.binary_search(key).unwrap();
            assert_eq!(rows.accounts[place].as_ref(), Some(row));
        }
        drop(reading);
        (from, previous_hash) = (position, written.record.hash);
    }
    let all: BTreeSet<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(kinds, all);
    assert_eq!(
        store
            .commit_after(FIRST, Position::new(0, 9))
            .await
            .unwrap(),
        None
    );
}

async fn a_key_that_another_partition_took_meanwhile_is_a_conflict(bench: impl Bench) {
    let store = bench.store();
    let [first, second] = [
        take(&store, FIRST, "a").await.lease,
        take(&store, SECOND, "b").await.lease,
    ];
    post(&store, first, 0, 1, &BEFORE[..3]).await;
    let from_world = r#"{"idempotency_key":"k","debit_account":"world","credit_account":"nobody","amount":"1","currency":"USD"}"#;
    let from_alice = r#"{"idempotency_key":"k","debit_account":"alice","credit_account":"bob","amount":"1","currency":"USD"}"#;
    let [here, there] = [
        batch(FIRST, 2, &[from_world]),
        batch(SECOND, 3, &[from_alice]),
    ];

    let reads = ledger::reads(&there);
    let begun = store.begin(second, step(0, 3), &reads).await;
    let (mut late, loaded) = begun.unwrap();
    let early = open(&store, first, step(1, 2), &here).await;
    early.unwrap().0.commit().await.unwrap();
    let refused = late.write(&decide(second, &there, &reads, loaded)).await;
    assert!(matches!(refused, Err(Error::Conflict(_))), "{refused:?}");
    drop(late);

    let again = open(&store, second, step(0, 3), &there).await;
    let (again, written) = again.unwrap();
    assert_eq!(written.events[0].event.outcome.kind(), EventKind::KeyReused);
    again.commit().await.unwrap();
}

async fn a_command_that_cannot_be_stored_is_poison(bench: impl Bench) {
    let store = bench.store();
    let lease = take(&store, FIRST, "a").await.lease;
    post(&store, lease, 0, 1, &BEFORE[..3]).await;
    let refused = r#"{"idempotency_key":"k","debit_account":"world","credit_account":"bob","amount":"1","currency":"USD","description":"poison"}"#;
    let spoilt = batch(FIRST, 2, &[refused]);
    let opened = open(&store, lease, step(1, 2), &spoilt).await;
    let written = opened.map(|(_, commit)| commit);
    assert!(matches!(written, Err(Error::Poison(_))), "{written:?}");
    assert_eq!(take(&store, FIRST, "a").await.applied, Position::new(0, 1));
}

/// One batch each, written after `BEFORE`: what is true once all of it is decided need not be true halfway.
const CHANGED_AND_USED: &[&[&str]] = &[
    &[
        r#"{"command":"change_account","id":"bob","min_balance":"-100"}"#,
        r#"{"idempotency_key":"c1","debit_account":"bob","credit_account":"alice","amount":"100","currency":"USD"}"#,
    ],
    &[
        r#"{"idempotency_key":"c2","debit_account":"alice","credit_account":"bob","amount":"107","currency":"USD"}"#,
        r#"{"command":"change_account","id":"bob","min_balance":"7"}"#,
    ],
    &[
        r#"{"command":"change_account","id":"bob","min_balance":null,"metadata":{"limit":"none"}}"#,
        r#"{"idempotency_key":"c3","debit_account":"bob","credit_account":"alice","amount":"1000","currency":"USD"}"#,
        r#"{"idempotency_key":"c4","debit_account":"alice","credit_account":"bob","amount":"1000","currency":"USD"}"#,
        r#"{"command":"change_account","id":"bob","min_balance":"0"}"#,
    ],
    &[
        r#"{"command":"freeze_account","id":"bob"}"#,
        r#"{"command":"unfreeze_account","id":"bob"}"#,
        r#"{"idempotency_key":"c5","debit_account":"bob","credit_account":"world","amount":"7","currency":"USD"}"#,
        r#"{"command":"close_account","id":"bob"}"#,
    ],
    &[
        r#"{"command":"open_account","id":"dave","currency":"USD","min_balance":"-3"}"#,
        r#"{"idempotency_key":"c6","debit_account":"dave","credit_account":"world","amount":"3","currency":"USD"}"#,
        r#"{"idempotency_key":"c7","debit_account":"world","credit_account":"dave","amount":"3","currency":"USD"}"#,
        r#"{"command":"close_account","id":"dave"}"#,
    ],
];

async fn what_an_account_may_hold_is_written_with_what_it_holds(bench: impl Bench) {
    let store = bench.store();
    let lease = take(&store, FIRST, "a").await.lease;
    post(&store, lease, 0, 1, BEFORE).await;
    for (lines, position) in CHANGED_AND_USED.iter().zip(2..) {
        let commands = batch(FIRST, position, lines);
        let opened = open(&store, lease, step(position - 1, position), &commands).await;
        let opened = opened.unwrap_or_else(|error| panic!("{lines:?}: {}", error.chain()));
        let (transaction, written) = opened;
        transaction.commit().await.unwrap();
        let refused = written
            .events
            .iter()
            .find(|decided| match &decided.event.outcome {
                Outcome::Decided(transfer) => transfer.refusal().is_some(),
                outcome => matches!(outcome, Outcome::AccountRefused(_)),
            });
        assert_eq!(refused, None, "each command is meant to be accepted");

        let reads = ledger::reads(&commands);
        let mut reading = store
            .rehearse(lease, step(position, position + 1))
            .await
            .unwrap();
        let Loaded { rows, .. } = reading.load(&reads).await.unwrap();
        for (key, row) in written.opened.iter().chain(&written.changed) {
            let place = reads.accounts.binary_search(key).unwrap();
            assert_eq!(rows.accounts[place].as_ref(), Some(row));
        }
    }
}

/// Constraints are the tables', so a double without them would hide what they do.
async fn a_row_that_breaks_a_constraint_is_poison(bench: impl Bench) {
    let store = bench.store();
    let lease = take(&store, FIRST, "a").await.lease;
    post(&store, lease, 0, 1, BEFORE).await;
    let change = r#"{"command":"change_account","id":"alice","metadata":{"changed":"yes"}}"#;
    let spoil: [fn(&mut Account); 4] = [
        |alice| alice.balance.minor = -1,
        |alice| {
            alice.min_balance = Some(Money {
                minor: 1_000_000,
                exponent: 2,
            });
        },
        |alice| alice.status = AccountStatus::Closed,
        |alice| alice.version = -1,
    ];
    for spoil in spoil {
        let spoilt = |commit: &mut Commit| spoil(&mut commit.changed[0].1.account);
        let written = write_spoilt(&store, lease, change, spoilt).await;
        assert!(matches!(written, Err(Error::Poison(_))), "{written:?}");
    }
    let pay = r#"{"idempotency_key":"new","debit_account":"world","credit_account":"alice","amount":"1","currency":"USD"}"#;
    let spoil: [fn(&mut Transfer); 3] = [
        |transfer| {
            let accounts = &mut transfer.order;
            accounts.credit_account = accounts.debit_account.clone();
        },
        // `BEFORE` posted one of this version.
        |transfer| {
            let after = After {
                version: 1,
                balance: 0,
            };
            transfer.verdict = Verdict::Posted {
                debit: after,
                credit: After {
                    version: 99,
                    ..after
                },
            };
        },
        |transfer| transfer.order.description = Some("\0".to_owned()),
    ];
    for spoil in spoil {
        let spoilt = |commit: &mut Commit| match &mut commit.events[0].event.outcome {
            Outcome::Decided(transfer) => spoil(transfer),
            other => panic!("{other:?}"),
        };
        let written = write_spoilt(&store, lease, pay, spoilt).await;
        assert!(matches!(written, Err(Error::Poison(_))), "{written:?}");
    }
    let untouched = |_: &mut Commit| {};
    for line in [change, pay] {
        write_spoilt(&store, lease, line, untouched).await.unwrap();
    }
}

/// Writes what was decided after it was spoilt, and takes it back.
async fn write_spoilt<S: Store>(
    store: &S,
    lease: Lease,
    line: &str,
    spoil: impl FnOnce(&mut Commit),
) -> Result<(), Error> {
    let commands = batch(FIRST, 2, &[line]);
    let reads = ledger::reads(&commands);
    let mut rehearsal = store.rehearse(lease, step(1, 2)).await.unwrap();
    let loaded = rehearsal.load(&reads).await.unwrap();
    let mut commit = decide(lease, &commands, &reads, loaded);
    spoil(&mut commit);
    rehearsal.write(&commit).await
}

async fn a_second_write_stands_on_the_first(bench: impl Bench) {
    let store = bench.store();
    let lease = take(&store, FIRST, "a").await.lease;
    let mut rehearsal = store.rehearse(lease, step(0, 9)).await.unwrap();
    for (lines, position) in [(BEFORE, 4), (AFTER, 9)] {
        let commands = batch(FIRST, position, lines);
        let written = rehearse(&mut rehearsal, lease, &commands).await.unwrap();
        let kinds: BTreeSet<&str> = written
            .events
            .iter()
            .map(|decided| decided.event.outcome.kind().as_str())
            .collect();
        let stands_on_the_first = kinds.contains(EventKind::TransferReplayed.as_str())
            && kinds.contains(EventKind::AccountFrozen.as_str());
        assert_eq!(stands_on_the_first, position == 9, "{kinds:?}");
    }
    drop(rehearsal);
    assert_eq!(store.last_commit(FIRST).await.unwrap(), None);
}

async fn no_commit_decides_before_what_was_certain(bench: impl Bench) {
    let store = bench.store();
    let lease = take(&store, FIRST, "a").await.lease;
    assert_eq!(bench.certain_at(FIRST).await, Timestamp::default());
    store.renew(lease, Position::default()).await.unwrap();
    let renewed = bench.certain_at(FIRST).await;
    assert!(renewed > Timestamp::default());

    drop(store.rehearse(lease, step(0, 1)).await.unwrap());
    assert_eq!(
        bench.certain_at(FIRST).await,
        renewed,
        "what never happened makes nothing certain"
    );
    post(&store, lease, 0, 1, &[OPEN_WORLD]).await;
    let committed = bench.certain_at(FIRST).await;
    assert!(committed > renewed);

    // As if the clock of the server went back.
    let later = Timestamp::from_nanoseconds(committed.nanoseconds() + 3_600_000_000_000);
    bench.set_certain_at(FIRST, later).await;
    store.renew(lease, Position::default()).await.unwrap();
    let change = batch(FIRST, 2, &[r#"{"command":"freeze_account","id":"world"}"#]);
    let opened = open(&store, lease, step(1, 2), &change).await;
    let (transaction, written) = opened.unwrap();
    assert_eq!(written.decided_at, later);
    transaction.commit().await.unwrap();
    assert_eq!(bench.certain_at(FIRST).await, later);
    assert_eq!(bench.certain_at(SECOND).await, Timestamp::default());
}

/// Decides these commands and commits them.
async fn post<S: Store>(store: &S, lease: Lease, from: u64, position: u64, lines: &[&str]) {
    let commands = batch(lease.partition, position, lines);
    let opened = open(store, lease, step(from, position), &commands).await;
    opened.unwrap().0.commit().await.unwrap();
}
