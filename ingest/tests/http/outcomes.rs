//! Clients that wait for the outcome, with replies as a processor sends them.

use std::time::{Duration, Instant};

use schemas::{
    Account, AccountId, AccountRefused, AccountStatus, Actor, After, Amount, Currency,
    DeadLettered, Event, Funds, IdempotencyKey, KeyReused, LedgerName, LinePosition, Metadata,
    Money, Outcome, Partition, Position, Refusal, RefusalReason, Replayed, Seen, Timestamp,
    Transfer, TransferId, TransferOrder, Verdict, partition_of,
};
use serde_json::{Value, json};
use streams::{Reply, ReplyTo};

use crate::book::{Book, apply};
use crate::harness::{Answer, Api, transfer_body};

/// Far below the waits that the tests ask for.
const SOON: Duration = Duration::from_secs(5);

/// Waits for the first record of the partition of `account` and replies with what `decide` makes of its lines.
async fn decide_first(api: &Api, account: &str, decide: impl Fn(&Value) -> Outcome) {
    decide_at(api, account, 0, decide).await;
}

/// As [`decide_first`], as if it were so many positions further.
async fn decide_at(api: &Api, account: &str, further: u64, decide: impl Fn(&Value) -> Outcome) {
    let account = AccountId::parse(account).unwrap();
    let partition = partition_of(&account, api.log.partitions());
    let record = loop {
        let mut scan = api.log.scan_commands(partition, 0).await.unwrap();
        if let Some(record) = scan.next().await.unwrap() {
            break record;
        }
    };
    let position = Position::new(0, record.sequence + further);
    let mut events = Vec::new();
    for (line, command) in (0..).zip(record.body.split(|byte| *byte == b'\n')) {
        let event = Event {
            at: LinePosition {
                partition,
                position,
                line,
            },
            ledger: Some(LedgerName::parse("demo").unwrap()),
            decided_at: Timestamp::from_nanoseconds(7),
            actor: Some(Actor::Nats),
            outcome: decide(&serde_json::from_slice(command).unwrap()),
        };
        event.encode(schemas::Encoder::NEWEST, &mut events);
    }
    let reply = Reply {
        record: record.header("Nats-Msg-Id").unwrap().to_owned(),
        position: position.number(),
        events: events.into(),
    };
    let to = ReplyTo::parse(record.header("Sluice-Reply").unwrap()).unwrap();
    api.log.reply(&to, reply).await.unwrap();
}

fn posted(command: &Value) -> Transfer {
    let account = |field: &str| AccountId::parse(command[field].as_str().unwrap()).unwrap();
    let after = |balance| After {
        version: 1,
        balance,
    };
    Transfer {
        id: TransferId::derive(
            &LedgerName::parse("demo").unwrap(),
            &IdempotencyKey::parse(command["idempotency_key"].as_str().unwrap()).unwrap(),
        ),
        order: TransferOrder {
            idempotency_key: IdempotencyKey::parse("k").unwrap(),
            debit_account: account("debit_account"),
            credit_account: account("credit_account"),
            amount: Amount::from_minor(100).unwrap(),
            currency: Currency::parse("USD").unwrap(),
            exponent: 2,
            description: None,
            metadata: None::<Metadata>,
        },
        accepted_at: Timestamp::default(),
        decided_at: Timestamp::from_nanoseconds(7),
        partition: Partition(0),
        position: Position::new(0, 1),
        actor: Some(Actor::Nats),
        verdict: Verdict::Posted {
            debit: after(0),
            credit: after(100),
        },
    }
}

async fn waited(decide: impl Fn(&Value) -> Outcome) -> Answer {
    let api = Api::start().await;
    let body = transfer_body("alice", "bob", "1").to_string();
    let headers = [("idempotency-key", "k"), ("prefer", "wait=15")];
    let started = Instant::now();
    let (answer, ()) = tokio::join!(
        api.post("/v1/transfers", &headers, &body),
        decide_first(&api, "alice", decide)
    );
    assert!(started.elapsed() < SOON);
    answer
}

#[tokio::test]
async fn a_waiting_client_hears_whatever_was_decided() {
    let answer = waited(|command| Outcome::Decided(posted(command))).await;
    assert_eq!(answer.expect(200)["status"], "posted");
    assert_eq!(answer.header("preference-applied"), "wait=15");
    assert_eq!(answer.header("idempotent-replayed"), "");

    let refused = |command: &Value| {
        Outcome::Decided(Transfer {
            verdict: Verdict::Refused {
                refusal: Refusal {
                    reason: RefusalReason::InsufficientFunds,
                    detail: "account alice has 5.00 and may not fall below 4.50".to_owned(),
                },
                seen: Some(Seen {
                    version: 3,
                    funds: Some(Funds {
                        balance: 500,
                        min_balance: Some(450),
                    }),
                }),
            },
            ..posted(command)
        })
    };
    let answer = waited(refused).await;
    let refusal = answer.expect(200);
    assert_eq!(refusal["reason"], "insufficient_funds");
    assert_eq!(refusal["balance_seen"], "5.00");
    assert_eq!(refusal["version_seen"], 3);
    assert_eq!(refusal["min_balance_seen"], "4.50");
    assert_eq!(refusal["actor"], "nats");

    let replayed = |command: &Value| {
        let transfer = posted(command);
        Outcome::Replayed(Replayed { transfer })
    };
    let answer = waited(replayed).await;
    assert_eq!(answer.expect(200)["status"], "posted");
    assert_eq!(answer.header("idempotent-replayed"), "true");
}

#[tokio::test]
async fn a_conflict_or_a_dead_letter_is_a_422() {
    let reused = |command: &Value| {
        Outcome::KeyReused(KeyReused {
            transfer_id: posted(command).id,
            differs: vec!["amount".to_owned()],
        })
    };
    let answer = waited(reused).await;
    answer.expect_problem(422, "idempotency_key_reused");
    assert_eq!(answer.json()["differs"], json!(["amount"]));
    let dead = |_: &Value| {
        Outcome::DeadLettered(DeadLettered {
            reason: "panicked".to_owned(),
            detail: "the core panicked".to_owned(),
        })
    };
    waited(dead).await.expect_problem(422, "dead_lettered");
}

#[tokio::test]
async fn a_reply_about_another_transfer_is_not_believed() {
    type Decide<'a> = &'a dyn Fn(&Value) -> Outcome;
    let another = |command: &Value| {
        Outcome::Decided(Transfer {
            id: TransferId::from_bytes([1; 16]),
            ..posted(command)
        })
    };
    let reused = |_: &Value| {
        Outcome::KeyReused(KeyReused {
            transfer_id: TransferId::from_bytes([1; 16]),
            differs: vec!["amount".to_owned()],
        })
    };
    let right = |command: &Value| Outcome::Decided(posted(command));
    let forged: [(u64, Decide); 3] = [(0, &another), (0, &reused), (1, &right)];
    for (further, decide) in forged {
        let api = Api::start().await;
        let body = transfer_body("alice", "bob", "1").to_string();
        let headers = [("idempotency-key", "k"), ("prefer", "wait=15")];
        let truth = async {
            decide_at(&api, "alice", further, decide).await;
            let mut book = Book::new(&api, "demo").await;
            book.refused("k", "alice", "bob", 100).await;
            book.close().await;
            let alice = AccountId::parse("alice").unwrap();
            apply(&api, partition_of(&alice, api.log.partitions()), 1).await;
        };
        let started = Instant::now();
        let (answer, ()) = tokio::join!(api.post("/v1/transfers", &headers, &body), truth);
        assert_eq!(answer.expect(200)["status"], "refused");
        assert!(started.elapsed() < SOON);
    }
}

#[tokio::test]
async fn a_reply_about_another_account_is_not_believed() {
    let api = Api::start_with(|config| config.limits.account_wait = Duration::from_secs(2)).await;
    let (answer, ()) = tokio::join!(
        api.post("/v1/accounts", &[], r#"{"id":"alice","currency":"USD"}"#),
        decide_first(&api, "alice", |_| Outcome::AccountRefused(AccountRefused {
            id: AccountId::parse("bob").unwrap(),
            command: "open_account".to_owned(),
            reason: RefusalReason::AccountExists,
            detail: "of another".to_owned(),
            differs: Vec::new(),
        }))
    );
    assert_eq!(answer.expect(202)["status"], "pending");
}

#[tokio::test]
async fn a_batch_that_waits_shows_its_transfers() {
    let api = Api::start().await;
    let mut line = transfer_body("alice", "bob", "1");
    line["idempotency_key"] = json!("k");
    let body = line.to_string();
    let (answer, ()) = tokio::join!(
        api.post("/v1/transfers/batch", &[("prefer", "wait=15")], &body),
        decide_first(&api, "alice", |command| Outcome::Decided(posted(command)))
    );
    let line = answer.expect(200);
    assert_eq!(line["status"], "posted");
    assert_eq!(line["credit_balance_after"], "1.00");
}

fn account() -> Account {
    let usd = |minor| Money { minor, exponent: 2 };
    Account {
        id: AccountId::parse("alice").unwrap(),
        currency: Currency::parse("USD").unwrap(),
        kind: None,
        status: AccountStatus::Open,
        balance: usd(0),
        min_balance: Some(usd(0)),
        version: 0,
        metadata: None,
        opened_at: Timestamp::default(),
    }
}

#[tokio::test]
async fn a_change_of_an_account_is_answered_with_its_outcome() {
    let refused = |reason| {
        Outcome::AccountRefused(AccountRefused {
            id: account().id,
            command: "open_account".to_owned(),
            reason,
            detail: "because".to_owned(),
            differs: vec!["currency".to_owned()],
        })
    };
    let cases = [
        (Outcome::AccountOpened(account()), 200, ""),
        (Outcome::AccountUnchanged(account()), 200, ""),
        (refused(RefusalReason::AccountExists), 409, "account_exists"),
        (
            refused(RefusalReason::AccountUnknown),
            422,
            "account_unknown",
        ),
        (
            refused(RefusalReason::BalanceNotZero),
            422,
            "balance_not_zero",
        ),
    ];
    for (outcome, status, code) in cases {
        let api = Api::start().await;
        let (answer, ()) = tokio::join!(
            api.post("/v1/accounts", &[], r#"{"id":"alice","currency":"USD"}"#),
            decide_first(&api, "alice", |_| outcome.clone())
        );
        if code.is_empty() {
            assert_eq!(answer.expect(status)["id"], "alice");
        } else {
            answer.expect_problem(status, code);
        }
    }
}

#[tokio::test]
async fn a_stop_lets_requests_under_way_finish() {
    let api = Api::start().await;
    let body = transfer_body("alice", "bob", "1").to_string();
    let request = axum::http::Request::post("/v1/transfers")
        .header("host", "test")
        .header("authorization", format!("Bearer {}", api.write_key))
        .header("idempotency-key", "k")
        .header("prefer", "wait=2")
        .body(http_body_util::Full::new(body.into()))
        .unwrap();
    let address = api.address;
    let under_way = tokio::spawn(crate::harness::exchange(address, request));
    crate::harness::eventually("it is on the log", async || {
        !api.commands().await.is_empty()
    })
    .await;
    let _api = api.stopping();
    let answer = under_way.await.unwrap();
    assert_eq!(answer.expect(202)["status"], "pending");
    crate::harness::eventually("nobody listens any more", async || {
        tokio::net::TcpStream::connect(address).await.is_err()
    })
    .await;
}
