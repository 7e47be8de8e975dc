//! The bytes of events, held by golden files: what an encoder wrote once, it writes for ever.
//!
//! A golden file of a released encoder is never edited. New bytes need a new encoder and a new folder.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::Path;

use schemas::{
    Account, AccountId, AccountRefused, AccountStatus, Currency, DeadLettered, Encoder, Event,
    EventKind, IdempotencyKey, KeyReused, LedgerName, LinePosition, Metadata, Money, Outcome,
    ParsedEvent, Partition, Position, RefusalReason, Replayed, Timestamp, Transfer, TransferId,
    TransferStatus,
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
        for event in events()
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
    for event in events() {
        let mut line = Vec::new();
        event.encode(Encoder::NEWEST, &mut line);
        assert_eq!(line.pop(), Some(b'\n'));
        let parsed = ParsedEvent::parse(&line).unwrap();
        assert_eq!(parsed.outcome().unwrap(), event.outcome);
        assert_eq!(parsed.kind(), Some(event.outcome.kind()));
        assert_eq!(parsed.id, event.at.to_string());
        assert_eq!(parsed.time, event.decided_at);
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

fn events() -> Vec<Event> {
    let outcomes = [
        Outcome::Posted(posted()),
        Outcome::Posted(posted_in_full()),
        Outcome::Refused(refused()),
        Outcome::Refused(refused_in_full()),
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
            outcome,
        }
    }
}

/// What a writer of JSON must escape, and what it must not.
const AWKWARD: &str = "\"\\/\n\r\t\u{8}\u{c}\u{1}\u{1f}\u{7f}<&>'é漢🎉\u{2028}\u{feff}";

fn posted() -> Transfer {
    Transfer {
        id: TransferId::derive(&ledger("demo"), &key("k1")),
        status: TransferStatus::Posted,
        reason: None,
        detail: None,
        debit_account: id("world"),
        credit_account: id("alice"),
        amount: money(5000, 0),
        currency: currency("JPY"),
        description: None,
        metadata: None,
        idempotency_key: key("k1"),
        accepted_at: time("2026-11-21T08:17:59.5Z"),
        decided_at: Some(time("2026-11-21T08:18:00Z")),
        partition: Partition(3),
        position: Position::new(0, 1),
        debit_version: Some(1),
        credit_version: Some(1),
        debit_balance_after: Some(money(-5000, 0)),
        credit_balance_after: Some(money(5000, 0)),
    }
}

fn posted_in_full() -> Transfer {
    let every_ascii: String = (' '..='~').collect();
    Transfer {
        id: TransferId::derive(&ledger("Shop_1-eu"), &key(&every_ascii)),
        amount: money(1, 3),
        currency: currency("KWD"),
        description: Some(AWKWARD.to_owned()),
        metadata: Some(metadata()),
        idempotency_key: key(&every_ascii),
        decided_at: Some(time("2026-11-21T08:18:00.123456789Z")),
        position: Position::new(2, 1042),
        debit_version: Some(i64::MAX),
        credit_version: Some(42),
        debit_balance_after: Some(money(i64::MIN, 3)),
        credit_balance_after: Some(money(-7, 3)),
        ..posted()
    }
}

fn refused() -> Transfer {
    Transfer {
        status: TransferStatus::Refused,
        reason: Some(RefusalReason::AccountsMustDiffer),
        detail: Some("the debit account and the credit account are both world".to_owned()),
        credit_account: id("world"),
        debit_version: None,
        credit_version: None,
        debit_balance_after: None,
        credit_balance_after: None,
        ..posted()
    }
}

fn refused_in_full() -> Transfer {
    Transfer {
        status: TransferStatus::Refused,
        reason: Some(RefusalReason::InsufficientFunds),
        detail: Some("account world has 0.000 and may not fall below 0.000".to_owned()),
        debit_version: None,
        credit_version: None,
        debit_balance_after: None,
        credit_balance_after: None,
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
