//! No event is longer than its command promised: ingest and processors close records on that promise.

#![cfg(test)]

use proptest::char::range;
use proptest::collection::vec;
use proptest::prelude::*;
use schemas::{
    Account, AccountChange, AccountId, AccountRefused, AccountStatus, Actor, After, Amount,
    Command, Currency, Encoder, Event, Funds, IdempotencyKey, KeyId, KeyReused, LedgerName,
    LinePosition, Metadata, Money, Opening, Order, Outcome, Partition, Position, Refusal,
    RefusalReason, Replayed, Seen, TEXT_BYTES_MAX, Timestamp, Transfer, TransferOrder, Units,
    Verdict,
};

/// Longer than any sentence of the core: two ids, two balances and some words.
const DETAIL_BYTES: usize = 300;

#[test]
fn the_longest_commands_keep_their_promise() {
    let quotes = |count| "\"\\".repeat(count / 2);
    let controls = "\u{1}".repeat(TEXT_BYTES_MAX / 6);
    let long = longest_metadata();
    for key in [quotes(IdempotencyKey::BYTES_MAX - 1), "k".to_owned()] {
        for (description, metadata) in [
            (None, None),
            (Some(controls.clone()), None),
            (Some(quotes(TEXT_BYTES_MAX / 2)), None),
            (Some("é".repeat(TEXT_BYTES_MAX / 2)), None),
            (None, Some(long.as_str())),
        ] {
            check(&transfer(&key, description, metadata));
        }
    }
    for metadata in [None, Some(long.as_str())] {
        for change in changes(metadata) {
            check(&account_command(change));
        }
    }
}

proptest! {
    #[test]
    fn any_transfer_keeps_its_promise(
        key in vec(prop_oneof![Just('"'), Just('\\'), range(' ', '~')], 1..=IdempotencyKey::BYTES_MAX),
        description in proptest::option::of(vec(prop_oneof![range('\u{1}', '\u{1f}'), any::<char>()], 0..600)),
        metadata in proptest::option::of(vec(prop_oneof![range('\u{1}', '\u{1f}'), any::<char>()], 0..100)),
    ) {
        let key: String = key.into_iter().collect();
        let text = |chars: Vec<char>| chars.into_iter().filter(|char| *char != '\0').collect::<String>();
        let metadata = metadata.map(|chars| serde_json::json!({ "a": [text(chars)] }).to_string());
        check(&transfer(&key, description.map(text), metadata.as_deref()));
    }
}

/// Every outcome that can follow, with everything in it as long as it can be.
fn check(command: &Command) {
    let outcomes = match &command.order {
        Order::Transfer(order) => transfer_outcomes(order, &command.ledger),
        Order::Account(id, change) => account_outcomes(id, change),
    };
    let promised = command.event_bytes_max();
    for outcome in outcomes {
        let event = Event {
            at: LinePosition {
                partition: Partition(u16::MAX),
                position: Position::from_number(i64::MAX),
                line: u32::MAX,
            },
            ledger: Some(command.ledger.clone()),
            decided_at: longest_time(),
            actor: Some(longest_actor()),
            outcome,
        };
        let mut line = Vec::new();
        event.encode(Encoder::NEWEST, &mut line);
        assert!(
            line.len() <= promised,
            "{promised} bytes promised, {} written: {}",
            line.len(),
            String::from_utf8_lossy(&line)
        );
    }
}

fn transfer_outcomes(order: &TransferOrder, ledger: &LedgerName) -> Vec<Outcome> {
    let posted = Transfer {
        id: order.id(ledger),
        order: order.clone(),
        accepted_at: longest_time(),
        decided_at: longest_time(),
        partition: Partition(u16::MAX),
        position: Position::from_number(i64::MAX),
        actor: Some(longest_actor()),
        verdict: Verdict::Posted {
            debit: LONGEST_AFTER,
            credit: LONGEST_AFTER,
        },
    };
    let refused = Transfer {
        verdict: Verdict::Refused {
            refusal: Refusal {
                reason: longest_reason(),
                detail: "d".repeat(DETAIL_BYTES),
            },
            seen: Some(Seen {
                version: i64::MAX,
                funds: Some(Funds {
                    balance: i64::MIN,
                    min_balance: Some(i64::MIN),
                }),
            }),
        },
        ..posted.clone()
    };
    let differs = [
        "debit_account",
        "credit_account",
        "amount",
        "currency",
        "description",
        "metadata",
    ];
    vec![
        Outcome::Replayed(Replayed {
            transfer: posted.clone(),
        }),
        Outcome::Replayed(Replayed {
            transfer: refused.clone(),
        }),
        Outcome::KeyReused(KeyReused {
            transfer_id: posted.id,
            differs: differs.map(str::to_owned).to_vec(),
        }),
        Outcome::Decided(posted),
        Outcome::Decided(refused),
    ]
}

/// An account's metadata may be as long as allowed, whatever the command says.
fn account_outcomes(id: &AccountId, change: &AccountChange) -> Vec<Outcome> {
    let account = Account {
        id: id.clone(),
        currency: longest_currency(),
        kind: Some("k".repeat(64)),
        status: AccountStatus::Frozen,
        balance: longest_money(),
        min_balance: Some(longest_money()),
        version: i64::MAX,
        metadata: Some(longest_metadata()),
        opened_at: longest_time(),
    };
    let differs = ["currency", "type", "min_balance", "metadata"];
    vec![
        Outcome::AccountOpened(account.clone()),
        Outcome::AccountChanged(account.clone()),
        Outcome::AccountFrozen(account.clone()),
        Outcome::AccountUnfrozen(account.clone()),
        Outcome::AccountClosed(account.clone()),
        Outcome::AccountUnchanged(account),
        Outcome::AccountRefused(AccountRefused {
            id: id.clone(),
            command: change.command().to_owned(),
            reason: longest_reason(),
            detail: "d".repeat(DETAIL_BYTES),
            differs: differs.map(str::to_owned).to_vec(),
        }),
    ]
}

fn transfer(key: &str, description: Option<String>, metadata: Option<&str>) -> Command {
    Command {
        ledger: longest_ledger(),
        accepted_at: Some(longest_time()),
        actor: Some(longest_actor()),
        traceparent: None,
        order: Order::Transfer(TransferOrder {
            idempotency_key: IdempotencyKey::parse(key).unwrap(),
            debit_account: longest_id(),
            credit_account: longest_id(),
            amount: Amount::from_minor(i64::MAX).unwrap(),
            currency: longest_currency(),
            exponent: Units::EXPONENT_MAX,
            description,
            metadata: metadata.map(|json| Metadata::parse(json).unwrap()),
        }),
    }
}

fn account_command(change: AccountChange) -> Command {
    Command {
        ledger: longest_ledger(),
        accepted_at: Some(longest_time()),
        actor: Some(longest_actor()),
        traceparent: None,
        order: Order::Account(longest_id(), change),
    }
}

fn changes(metadata: Option<&str>) -> Vec<AccountChange> {
    let metadata = metadata.map(|json| Metadata::parse(json).unwrap());
    vec![
        AccountChange::Open {
            opening: Opening {
                currency: longest_currency(),
                kind: None,
                min_balance: Some(i64::MIN),
                metadata: metadata.clone(),
            },
            exponent: Units::EXPONENT_MAX,
        },
        AccountChange::Change {
            min_balance: Some(None),
            metadata: Some(metadata),
        },
        AccountChange::Freeze,
        AccountChange::Unfreeze,
        AccountChange::Close,
    ]
}

const LONGEST_AFTER: After = After {
    version: i64::MAX,
    balance: i64::MIN,
};

fn longest_actor() -> Actor {
    Actor::Key(KeyId::parse(&"k".repeat(KeyId::BYTES_MAX)).unwrap())
}

fn longest_id() -> AccountId {
    AccountId::parse(&"a".repeat(AccountId::BYTES_MAX)).unwrap()
}

fn longest_ledger() -> LedgerName {
    LedgerName::parse(&"l".repeat(LedgerName::BYTES_MAX)).unwrap()
}

fn longest_currency() -> Currency {
    Currency::parse(&"C".repeat(Currency::BYTES_MAX)).unwrap()
}

fn longest_money() -> Money {
    Money {
        minor: i64::MIN,
        exponent: Units::EXPONENT_MAX,
    }
}

fn longest_time() -> Timestamp {
    Timestamp::parse("2026-11-21T08:18:00.123456789Z", "").unwrap()
}

fn longest_reason() -> RefusalReason {
    let reasons = RefusalReason::ALL.iter().copied();
    reasons.max_by_key(|reason| reason.as_str().len()).unwrap()
}

fn longest_metadata() -> Metadata {
    let text = "x".repeat(TEXT_BYTES_MAX - r#"{"a":""}"#.len());
    let metadata = Metadata::parse(&format!(r#"{{"a":"{text}"}}"#)).unwrap();
    assert_eq!(metadata.as_str().len(), TEXT_BYTES_MAX);
    metadata
}
