//! What holds for every sequence of commands, however it is cut into batches.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use ledger::{AccountKey, Item};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use schemas::{
    After, Command, Event, EventKind, Money, Order, Outcome, Timestamp, Transfer, TransferOrder,
    Verdict,
};

use crate::book::{Book, item};
use crate::model::Model;
use crate::words::{read, say};

/// Commands of one batch and the time at which they are decided.
type Cut = (Vec<Item>, Timestamp);

#[test]
fn the_model_agrees_command_by_command() {
    let seen = RefCell::new(BTreeSet::new());
    for_any_log(|cuts| {
        let (mut book, mut model) = (Book::default(), Model::default());
        for (items, now) in cuts {
            for (item, (_, outcome)) in items.iter().zip(book.commit(items, *now).outcomes) {
                assert_eq!(
                    say(&outcome),
                    model.decide(item.ledger, &item.order),
                    "{item:?}"
                );
                seen.borrow_mut().insert(outcome.kind().as_str());
            }
        }
        assert_eq!(book.accounts.len(), model.accounts.len());
        for ((key, row), ((ledger, id), held)) in book.accounts.iter().zip(&model.accounts) {
            let account = &row.account;
            assert_eq!((key.ledger, key.id.as_str()), (*ledger, id.as_str()));
            assert_eq!(i128::from(account.balance.minor), held.balance);
            assert_eq!(
                account.min_balance.map(|least| i128::from(least.minor)),
                held.min_balance
            );
            assert_eq!(
                (account.version, account.status),
                (held.version, held.status)
            );
        }
    });
    let decided = EventKind::ALL
        .iter()
        .filter(|kind| **kind != EventKind::CommandDeadLettered);
    let all: BTreeSet<&str> = decided.map(|kind| kind.as_str()).collect();
    assert_eq!(
        seen.into_inner(),
        all,
        "every kind of outcome was really compared"
    );
}

#[test]
fn batching_does_not_show() {
    for_any_log(|cuts| {
        let (mut cut, mut single) = (Book::default(), Book::default());
        for (items, now) in cuts {
            let together = cut.commit(items, *now).outcomes;
            let alone = items
                .iter()
                .flat_map(|item| single.commit(std::slice::from_ref(item), *now).outcomes);
            assert_eq!(together, alone.collect::<Vec<_>>());
            assert_eq!(cut, single);
        }
    });
}

#[test]
fn a_second_run_moves_no_money_and_repeats_the_answers() {
    let replays = RefCell::new(0);
    for_any_log(|cuts| {
        let mut book = Book::default();
        let first = run(&mut book, cuts);
        let (balances, transfers) = (balances(&book), book.transfers.clone());
        for ((_, before), (_, again)) in first.iter().zip(run(&mut book, cuts)) {
            match before {
                Outcome::Decided(transfer) => {
                    let Outcome::Replayed(replayed) = again else {
                        panic!("{before:?} became {again:?}")
                    };
                    assert_eq!(replayed.transfer, *transfer);
                    *replays.borrow_mut() += 1;
                }
                Outcome::Replayed(_) | Outcome::KeyReused(_) => assert_eq!(*before, again),
                _ => assert!(!matches!(again, Outcome::AccountOpened(_))),
            }
        }
        assert_eq!(self::balances(&book), balances);
        assert_eq!(book.transfers, transfers);
    });
    assert!(replays.into_inner() > 0);
}

#[test]
fn money_is_conserved_and_nobody_falls_below_the_limit() {
    let moved = RefCell::new(0);
    for_any_log(|cuts| {
        let mut book = Book::default();
        for (items, now) in cuts {
            book.commit(items, *now);
            let mut sums = BTreeMap::new();
            for (key, row) in &book.accounts {
                let account = &row.account;
                let minor = account.balance.minor;
                *sums.entry((key.ledger, account.currency)).or_insert(0) += i128::from(minor);
                *moved.borrow_mut() += i32::from(minor != 0);
                assert!(
                    account.min_balance.is_none_or(|least| least.minor <= minor),
                    "{account:?}"
                );
            }
            assert!(sums.values().all(|sum| *sum == 0), "{sums:?}");
        }
    });
    assert!(moved.into_inner() > 0);
}

#[test]
fn versions_have_no_gap_and_each_balance_follows_from_the_one_before() {
    for_any_log(|cuts| {
        let mut book = Book::default();
        let mut last: BTreeMap<AccountKey, (i64, i64)> = BTreeMap::new();
        for (key, order, debit, credit) in posted(&run(&mut book, cuts), cuts) {
            let amount = order.amount.minor();
            let sides = [
                (&order.debit_account, -amount, debit),
                (&order.credit_account, amount, credit),
            ];
            for (id, moved, after) in sides {
                let key = AccountKey {
                    ledger: key,
                    id: id.clone(),
                };
                let (before, balance) = last.get(&key).copied().unwrap_or_default();
                assert_eq!(
                    (after.version, after.balance),
                    (before + 1, balance + moved)
                );
                last.insert(key, (before + 1, balance + moved));
            }
        }
        for (key, row) in &book.accounts {
            let (version, balance) = last.get(key).copied().unwrap_or_default();
            assert_eq!(
                (row.account.version, row.account.balance.minor),
                (version, balance)
            );
        }
    });
}

#[test]
fn the_time_of_an_account_never_goes_back() {
    let held_up = RefCell::new(0);
    for_any_log(|cuts| {
        let mut book = Book::default();
        let mut last: BTreeMap<AccountKey, Timestamp> = BTreeMap::new();
        for (items, now) in cuts {
            for (item, (at, outcome)) in items.iter().zip(book.commit(items, *now).outcomes) {
                assert!(at >= *now);
                *held_up.borrow_mut() += i32::from(at > *now);
                for id in changed(&outcome) {
                    let before = last.insert(
                        AccountKey {
                            ledger: item.ledger,
                            id,
                        },
                        at,
                    );
                    assert!(before <= Some(at), "{outcome:?}");
                }
                if let Outcome::Decided(transfer) = outcome {
                    assert_eq!(transfer.decided_at, at);
                }
            }
        }
        let stored = book
            .accounts
            .into_iter()
            .map(|(key, row)| (key, row.changed_at));
        assert_eq!(stored.collect::<BTreeMap<_, _>>(), last);
    });
    assert!(held_up.into_inner() > 0, "the clock really went back");
}

#[test]
fn ledgers_do_not_touch_each_other() {
    for_any_log(|cuts| {
        let mut both = Book::default();
        let together = run(&mut both, cuts);
        let items = cuts.iter().flat_map(|(items, _)| items);
        let of_both: Vec<_> = items.map(|item| item.ledger).zip(together).collect();
        for ledger in LEDGERS {
            let only = |items: &Vec<Item>| {
                items
                    .iter()
                    .filter(|item| item.ledger == ledger)
                    .cloned()
                    .collect()
            };
            let cuts: Vec<Cut> = cuts
                .iter()
                .map(|(items, now)| (only(items), *now))
                .collect();
            let mut alone = Book::default();
            let outcomes = run(&mut alone, &cuts);
            let beside = of_both.iter().filter(|(of, _)| *of == ledger);
            assert_eq!(
                outcomes,
                beside
                    .map(|(_, outcome)| outcome.clone())
                    .collect::<Vec<_>>()
            );
            let mine = both.accounts.iter().filter(|(key, _)| key.ledger == ledger);
            assert!(mine.eq(alone.accounts.iter()));
        }
    });
}

#[test]
fn no_event_is_longer_than_its_command_promised() {
    for_any_log(|cuts| {
        let outcomes = run(&mut Book::default(), cuts);
        for (item, (decided_at, outcome)) in cuts.iter().flat_map(|(items, _)| items).zip(outcomes)
        {
            let command = Command {
                ledger: item.ledger_name.clone(),
                accepted_at: Some(item.accepted_at),
                actor: Some(item.actor.clone()),
                traceparent: None,
                order: item.order.clone(),
            };
            let ledger = Some(item.ledger_name.clone());
            let mut line = Vec::new();
            Event {
                at: item.at,
                ledger,
                decided_at,
                actor: Some(item.actor.clone()),
                outcome,
            }
            .encode(schemas::Encoder::NEWEST, &mut line);
            assert!(line.len() <= command.event_bytes_max());
        }
    });
}

fn run(book: &mut Book, cuts: &[Cut]) -> Vec<(Timestamp, Outcome)> {
    cuts.iter()
        .flat_map(|(items, now)| book.commit(items, *now).outcomes)
        .collect()
}

fn balances(book: &Book) -> Vec<(AccountKey, Money, i64)> {
    let rows = book.accounts.iter();
    rows.map(|(key, row)| (key.clone(), row.account.balance, row.account.version))
        .collect()
}

fn posted<'a>(
    outcomes: &'a [(Timestamp, Outcome)],
    cuts: &'a [Cut],
) -> impl Iterator<Item = (i32, &'a TransferOrder, After, After)> {
    let items = cuts.iter().flat_map(|(items, _)| items);
    items
        .zip(outcomes)
        .filter_map(|(item, (_, outcome))| match outcome {
            Outcome::Decided(Transfer {
                order,
                verdict: Verdict::Posted { debit, credit },
                ..
            }) => Some((item.ledger, order, *debit, *credit)),
            _ => None,
        })
}

fn changed(outcome: &Outcome) -> Vec<schemas::AccountId> {
    match outcome {
        Outcome::Decided(transfer) if transfer.refusal().is_none() => vec![
            transfer.order.debit_account.clone(),
            transfer.order.credit_account.clone(),
        ],
        Outcome::AccountOpened(account)
        | Outcome::AccountChanged(account)
        | Outcome::AccountFrozen(account)
        | Outcome::AccountUnfrozen(account)
        | Outcome::AccountClosed(account) => vec![account.id.clone()],
        Outcome::Decided(_)
        | Outcome::Replayed(_)
        | Outcome::KeyReused(_)
        | Outcome::AccountUnchanged(_)
        | Outcome::AccountRefused(_)
        | Outcome::DeadLettered(_) => vec![],
    }
}

const LEDGERS: [i32; 2] = [1, 2];

/// Checks a property on logs that two ledgers share, cut into batches anywhere; the clock may go back between batches.
fn for_any_log(check: impl Fn(&[Cut])) {
    let cut = (vec((1..=2_i32, command()), 0..16), 0..100_i64);
    let mut runner = TestRunner::default();
    let checked = runner.run(&vec(cut, 1..12), |cuts| {
        check(&placed(cuts));
        Ok(())
    });
    if let Err(failure) = checked {
        panic!("{failure}");
    }
}

/// Gives every command its place in the log, after the accounts that most of them need.
fn placed(cuts: Vec<(Vec<(i32, Order)>, i64)>) -> Vec<Cut> {
    let opening =
        |ledger| ["open world USD unlimited", "open a USD"].map(|line| (ledger, read(line)));
    let first = (LEDGERS.into_iter().flat_map(opening).collect(), 0);
    let mut line = 0;
    let mut place = |(ledger, order)| {
        line += 1;
        item(ledger, line, order)
    };
    std::iter::once(first)
        .chain(cuts)
        .map(|(orders, now): (Vec<_>, _)| {
            (
                orders.into_iter().map(&mut place).collect(),
                Timestamp::from_nanoseconds(now),
            )
        })
        .collect()
}

fn command() -> impl Strategy<Value = Order> {
    let id = || prop::sample::select(vec!["world", "a", "a", "b", "c", LONG]);
    let limit = prop::sample::select(vec![
        "",
        "unlimited",
        "min=-0.50",
        "min=-5",
        "min=92233720368547758.07",
        "min=1.00",
        "min=0.005",
        "min=0",
    ]);
    let option = prop::sample::select(vec!["", "", "metadata={\"a\":[1]}", "metadata={}"]);
    let amount = prop::sample::select(vec!["1", "1", "3", "5", "20", "9223372036854775"]);
    let currency = prop::sample::select(vec!["USD", "USD", "USD", "USD", "JPY", "KWD"]);
    let opening = (
        id(),
        currency.clone(),
        prop::sample::select(vec!["", "unlimited", "min=-5"]),
        option.clone(),
    );
    let transfer = ((0..40, id(), id(), amount), currency, option.clone());
    let line = prop_oneof![
        8 => transfer.prop_map(|((key, debit, credit, amount), currency, option)| {
            format!("transfer k{key} {debit} {credit} {amount} {currency} {option}")
        }),
        2 => opening.prop_map(|(id, currency, limit, option)| format!("open {id} {currency} {limit} {option}")),
        1 => (id(), limit, option).prop_map(|(id, limit, option)| format!("change {id} {limit} {option}")),
        1 => (prop::sample::select(vec!["freeze", "unfreeze", "unfreeze", "close"]), id())
            .prop_map(|(verb, id)| format!("{verb} {id}")),
    ];
    line.prop_map(|line| read(&line))
}

const LONG: &str = "0123456789_abcdefghijklmnopqrstuvwxyz-ABCDEFGHIJKLMNOPQRSTUVWXYZ";
