//! The bytes of events, held by golden files: what an encoder wrote once, it writes for ever.
//!
//! A golden file of a released encoder is never edited. New bytes need a new encoder and a new folder.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;

use schemas::{
    Account, AccountId, AccountRefused, AccountStatus, Actor, After, Amount, Currency,
    DeadLettered, Encoder, Event, EventKind, Funds, IdempotencyKey, KeyReused, LedgerName,
    LinePosition, Metadata, Money, Outcome, ParsedEvent, Partition, Position, Refusal,
    RefusalReason, Replayed, Seen, Timestamp, Transfer, TransferId, TransferOrder, Verdict,
};

#[test]
fn every_event_is_written_as_its_golden_file_says() {
    for (encoder, kind) in Encoder::ALL
        .iter()
        .flat_map(|encoder| EventKind::ALL.iter().map(move |kind| (*encoder, kind)))
    {
        let folder = format!("tests/golden/v{}", encoder.number());
        let file = format!("{folder}/{}.jsonl", kind.as_str());
        let golden = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file));
        let golden = golden.unwrap_or_default();
        let mut written = Vec::new();
        for event in events_of(encoder)
            .iter()
            .filter(|event| event.outcome.kind() == *kind)
        {
            event.encode(encoder, &mut written);
        }
        assert!(
            golden == written,
            "{file} says\n{}\nand the encoder\n{}",
            String::from_utf8_lossy(&golden),
            String::from_utf8_lossy(&written)
        );
    }
}

#[test]
fn every_event_gives_its_outcome_back() {
    for event in events_of(Encoder::NEWEST) {
        let mut line = Vec::new();
        event.encode(Encoder::NEWEST, &mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        let parsed = ParsedEvent::parse(&line).unwrap();
        assert_eq!(parsed.outcome().unwrap(), event.outcome);
        assert_eq!(parsed.kind(), Some(event.outcome.kind()));
        assert_eq!(parsed.id, event.at.to_string());
        assert_eq!(parsed.time, event.decided_at);
        assert_eq!(parsed.actor, event.actor);
        let source = match &event.ledger {
            Some(ledger) => format!("/ledgers/{ledger}"),
            None => "/ledgers".to_owned(),
        };
        assert_eq!(parsed.source, source);
    }
}

#[test]
fn every_kind_of_event_has_a_golden_case() {
    let seen: BTreeSet<&str> = events()
        .iter()
        .map(|event| event.outcome.kind().as_str())
        .collect();
    let all: BTreeSet<&str> = EventKind::ALL.iter().map(|kind| kind.as_str()).collect();
    assert_eq!(seen, all);
}

/// A released encoder keeps its cases: those that came later are of the encoders that came with them.
fn events_of(encoder: Encoder) -> Vec<Event> {
    match encoder {
        Encoder::V1 => events(),
        Encoder::V2 => [events(), what_refusals_saw()].concat(),
    }
}

fn what_refusals_saw() -> Vec<Event> {
    let unlimited = Funds {
        balance: i64::MIN,
        min_balance: None,
    };
    let outcomes = [
        Outcome::Decided(refused_after(None)),
        Outcome::Decided(refused_after(Some(unlimited))),
        Outcome::Replayed(Replayed {
            transfer: refused_after(Some(unlimited)),
        }),
    ];
    outcomes
        .map(|outcome| event(101, outcome))
        .into_iter()
        .collect()
}

fn events() -> Vec<Event> {
    let outcomes = [
        Outcome::Decided(posted()),
        Outcome::Decided(posted_in_full()),
        Outcome::Decided(refused()),
        Outcome::Decided(refused_in_full()),
        Outcome::Replayed(Replayed { transfer: posted() }),
        Outcome::Replayed(Replayed {
            transfer: refused_in_full(),
        }),
        Outcome::KeyReused(KeyReused {
            transfer_id: posted().id,
            differs: vec!["amount".to_owned()],
        }),
        Outcome::KeyReused(KeyReused {
            transfer_id: posted_in_full().id,
            differs: [
                "debit_account",
                "credit_account",
                "amount",
                "currency",
                "description",
                "metadata",
            ]
            .map(str::to_owned)
            .to_vec(),
        }),
        Outcome::AccountOpened(account(AccountStatus::Open)),
        Outcome::AccountOpened(account_in_full(AccountStatus::Open)),
        Outcome::AccountChanged(account(AccountStatus::Open)),
        Outcome::AccountChanged(account_in_full(AccountStatus::Frozen)),
        Outcome::AccountFrozen(account(AccountStatus::Frozen)),
        Outcome::AccountFrozen(account_in_full(AccountStatus::Frozen)),
        Outcome::AccountUnfrozen(account(AccountStatus::Open)),
        Outcome::AccountUnfrozen(account_in_full(AccountStatus::Open)),
        Outcome::AccountClosed(account(AccountStatus::Closed)),
        Outcome::AccountClosed(Account {
            balance: money(0, 3),
            ..account_in_full(AccountStatus::Closed)
        }),
        Outcome::AccountUnchanged(account(AccountStatus::Open)),
        Outcome::AccountUnchanged(account_in_full(AccountStatus::Closed)),
        Outcome::AccountRefused(AccountRefused {
            id: id("alice"),
            command: "freeze_account".to_owned(),
            reason: RefusalReason::AccountUnknown,
            detail: "there is no account alice".to_owned(),
            differs: vec![],
        }),
        Outcome::AccountRefused(AccountRefused {
            id: id("user:42_main-KWD"),
            command: "open_account".to_owned(),
            reason: RefusalReason::AccountExists,
            detail: "account user:42_main-KWD was opened with another currency, metadata"
                .to_owned(),
            differs: vec!["currency".to_owned(), "metadata".to_owned()],
        }),
        Outcome::DeadLettered(DeadLettered {
            reason: "json_malformed".to_owned(),
            detail: "the JSON is malformed: EOF while parsing an object at line 1 column 1"
                .to_owned(),
        }),
        Outcome::DeadLettered(DeadLettered {
            reason: "unknown_field".to_owned(),
            detail: format!("the field {AWKWARD} is not known here"),
        }),
    ];
    (0..)
        .zip(outcomes)
        .map(|(line, outcome)| event(line, outcome))
        .collect()
}

/// Even lines are the minimal cases, odd ones the full ones.
fn event(line: u32, outcome: Outcome) -> Event {
    if line.is_multiple_of(2) {
        let ledger = (!matches!(outcome, Outcome::DeadLettered(_))).then(|| ledger("demo"));
        Event {
            at: LinePosition {
                partition: Partition(0),
                position: Position::new(0, 1),
                line,
            },
            ledger,
            decided_at: time("2026-11-21T08:18:00Z"),
            actor: None,
            outcome,
        }
    } else {
        Event {
            at: LinePosition {
                partition: Partition(7),
                position: Position::new(2, 1042),
                line,
            },
            ledger: Some(ledger("Shop_1-eu")),
            decided_at: time("2026-11-21T08:18:00.123456789Z"),
            actor: Some(Actor::Sluice),
            outcome,
        }
    }
}

/// What a writer of JSON must escape, and what it must not.
const AWKWARD: &str = "\"\\/\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}<&>'é漢🎉\u{2028}\u{feff}";

fn posted() -> Transfer {
    Transfer {
        id: TransferId::derive(&ledger("demo"), &key("k1")),
        order: TransferOrder {
            idempotency_key: key("k1"),
            debit_account: id("world"),
            credit_account: id("alice"),
            amount: Amount::from_minor(5000).unwrap(),
            currency: currency("JPY"),
            exponent: 0,
            description: None,
            metadata: None,
        },
        accepted_at: time("2026-11-21T08:17:59.5Z"),
        decided_at: time("2026-11-21T08:18:00Z"),
        partition: Partition(3),
        position: Position::new(0, 1),
        actor: None,
        verdict: posting((1, -5000), (1, 5000)),
    }
}

fn posted_in_full() -> Transfer {
    let every_ascii: String = (' '..='~').collect();
    let minimal = posted();
    Transfer {
        id: TransferId::derive(&ledger("Shop_1-eu"), &key(&every_ascii)),
        order: TransferOrder {
            idempotency_key: key(&every_ascii),
            amount: Amount::from_minor(1).unwrap(),
            currency: currency("KWD"),
            exponent: 3,
            description: Some(AWKWARD.to_owned()),
            metadata: Some(metadata()),
            ..minimal.order
        },
        decided_at: time("2026-11-21T08:18:00.123456789Z"),
        position: Position::new(2, 1042),
        actor: Some(Actor::parse("key:4f2a-9C_").unwrap()),
        verdict: posting((i64::MAX, i64::MIN), (42, -7)),
        ..minimal
    }
}

fn posting(debit: (i64, i64), credit: (i64, i64)) -> Verdict {
    let [debit, credit] = [debit, credit].map(|(version, balance)| After { version, balance });
    Verdict::Posted { debit, credit }
}

/// As a version decided that did not record what it saw.
fn refused() -> Transfer {
    let minimal = posted();
    Transfer {
        order: TransferOrder {
            credit_account: id("world"),
            ..minimal.order
        },
        verdict: Verdict::Refused {
            refusal: Refusal {
                reason: RefusalReason::AccountsMustDiffer,
                detail: "the debit account and the credit account are both world".to_owned(),
            },
            seen: None,
        },
        ..minimal
    }
}

fn refused_in_full() -> Transfer {
    refused_after(Some(Funds {
        balance: 0,
        min_balance: Some(0),
    }))
}

fn refused_after(funds: Option<Funds>) -> Transfer {
    Transfer {
        verdict: Verdict::Refused {
            refusal: Refusal {
                reason: RefusalReason::InsufficientFunds,
                detail: "account world has 0.000 and may not fall below 0.000".to_owned(),
            },
            seen: Some(Seen {
                version: 1042,
                funds,
            }),
        },
        ..posted_in_full()
    }
}

fn account(status: AccountStatus) -> Account {
    Account {
        id: id("alice"),
        currency: currency("JPY"),
        kind: None,
        status,
        balance: money(0, 0),
        min_balance: None,
        version: 0,
        metadata: None,
        opened_at: time("2026-11-21T08:18:00Z"),
    }
}

fn account_in_full(status: AccountStatus) -> Account {
    Account {
        id: id("user:42_main-KWD"),
        currency: currency("KWD"),
        kind: Some("wallet.v1:main".to_owned()),
        status,
        balance: money(12_345, 3),
        min_balance: Some(money(-5, 3)),
        version: 1042,
        metadata: Some(metadata()),
        opened_at: time("2026-11-21T08:18:00.000000001Z"),
    }
}

/// Not in canonical order on purpose.
fn metadata() -> Metadata {
    let text = serde_json::to_string(AWKWARD).unwrap();
    Metadata::parse(&format!(
        r#"{{"z": [1, -2, 2.50, 1e30, 18446744073709551615, true, null], "a": {{"é": {text}, {text}: {{}}}}}}"#
    ))
    .unwrap()
}

fn money(minor: i64, exponent: u8) -> Money {
    Money { minor, exponent }
}

fn id(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::parse(text).unwrap()
}

fn ledger(text: &str) -> LedgerName {
    LedgerName::parse(text).unwrap()
}

fn currency(text: &str) -> Currency {
    Currency::parse(text).unwrap()
}

fn time(text: &str) -> Timestamp {
    Timestamp::parse(text, "").unwrap()
}
