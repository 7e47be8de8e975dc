//! What users do, from the first account to the proof.

use serde_json::json;

use crate::http::Client;
use crate::process::{eventually, run_ok};
use crate::system::{System, create_key};

#[tokio::test]
async fn money_moves_and_everything_can_be_looked_up() {
    let system = System::start().await;
    system.open(&["alice", "bob"]).await;
    let mut client = system.client();

    let posted = client
        .transfer("t1", "alice", "bob", "12.34", true)
        .await
        .expect(200);
    assert_eq!(posted["status"], "posted");
    assert_eq!(posted["debit_balance_after"], "987.66");
    assert_eq!(posted["credit_balance_after"], "1012.34");
    assert_eq!(
        (&posted["debit_version"], &posted["credit_version"]),
        (&json!(2), &json!(2))
    );
    let id = posted["id"].as_str().unwrap();

    assert_eq!(
        client.get(&format!("/v1/transfers/{id}")).await.expect(200),
        posted
    );
    assert_eq!(
        client.get("/v1/transfers/by-key/t1").await.expect(200),
        posted
    );
    assert_eq!(client.balance("alice").await, "987.66");

    let statement = client.get("/v1/accounts/alice/statement").await.expect(200);
    let lines: Vec<_> = statement["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| {
            (
                line["version"].clone(),
                line["amount"].clone(),
                line["balance_after"].clone(),
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            (json!(1), json!("1000.00"), json!("1000.00")),
            (json!(2), json!("-12.34"), json!("987.66"))
        ]
    );

    let timeline = client
        .get(&format!("/v1/transfers/{id}/timeline"))
        .await
        .expect(200);
    let steps = timeline["data"].to_string();
    assert!(
        steps.contains("accepted") && steps.contains("posted"),
        "{steps}"
    );

    let events = client.get("/v1/events?limit=200").await.expect(200);
    let kinds = events["data"].to_string();
    for kind in ["sluice.account.opened.v1", "sluice.transfer.posted.v1"] {
        assert!(kinds.contains(kind), "{kind} is in the feed");
    }
    system.verify().await;
}

#[tokio::test]
async fn a_retry_gets_the_first_answer_and_a_reused_key_is_refused() {
    let system = System::start().await;
    system.open(&["alice", "bob"]).await;
    let mut client = system.client();
    let first = client
        .transfer("once", "alice", "bob", "5.00", true)
        .await
        .expect(200);

    let again = client.transfer("once", "alice", "bob", "5.00", false).await;
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.expect(200), first);

    let other = client
        .transfer("once", "alice", "bob", "6.00", true)
        .await
        .expect(422);
    assert_eq!(other["code"], "idempotency_key_reused");
    assert_eq!(other["transfer_id"], first["id"]);
    assert_eq!(other["differs"], json!(["amount"]));

    // An ingest that never saw the key lets the processor recognise it.
    let mut system = system;
    system.start_ingest("127.0.0.1:0").await;
    let mut fresh = system.client();
    let replay = fresh.transfer("once", "alice", "bob", "5.0", true).await;
    assert_eq!(replay.header("idempotent-replayed"), Some("true"));
    assert_eq!(replay.expect(200), first);
    let reused = fresh
        .transfer("once", "bob", "alice", "5.00", true)
        .await
        .expect(422);
    assert_eq!(
        reused["differs"],
        json!(["debit_account", "credit_account"])
    );
    assert_eq!(fresh.balance("alice").await, "995.00");
    system.verify().await;
}

#[tokio::test]
async fn refusals_are_outcomes_with_a_reason() {
    let system = System::start().await;
    system.open(&["alice", "bob", "ice", "gone"]).await;
    let mut admin = system.admin();
    admin
        .post("/v1/accounts", &[], r#"{"id":"eve","currency":"EUR"}"#)
        .await;
    admin
        .post("/v1/accounts/ice/freeze", &[], "")
        .await
        .expect(200);
    admin
        .transfer("empty", "gone", "world", "1000.00", true)
        .await
        .expect(200);
    admin
        .post("/v1/accounts/gone/close", &[], "")
        .await
        .expect(200);
    let cases = [
        ("alice", "bob", "1000.01", "insufficient_funds"),
        ("alice", "nobody", "1.00", "account_unknown"),
        ("nobody", "bob", "1.00", "account_unknown"),
        ("ice", "bob", "1.00", "account_frozen"),
        ("alice", "ice", "1.00", "account_frozen"),
        ("alice", "gone", "1.00", "account_closed"),
        ("alice", "alice", "1.00", "accounts_must_differ"),
        ("alice", "eve", "1.00", "currency_differs"),
        ("world", "alice", "92233720368547758.00", "balance_overflow"),
    ];
    for (number, (from, to, amount, reason)) in cases.into_iter().enumerate() {
        let refused = admin
            .transfer(&format!("r{number}"), from, to, amount, true)
            .await
            .expect(200);
        assert_eq!(
            (&refused["status"], &refused["reason"]),
            (&json!("refused"), &json!(reason)),
            "{refused}"
        );
        let again = admin
            .transfer(&format!("r{number}"), from, to, amount, true)
            .await
            .expect(200);
        assert_eq!(
            again, refused,
            "a retry of a refused transfer gets the refusal"
        );
    }
    let refused = admin
        .get("/v1/transfers?status=refused&limit=50")
        .await
        .expect(200);
    assert_eq!(refused["data"].as_array().unwrap().len(), cases.len());
    system.verify().await;
}

#[tokio::test]
async fn accounts_open_once_and_obey_their_limits() {
    let system = System::start().await;
    system.open(&["alice"]).await;
    let mut admin = system.admin();
    let body = r#"{"id":"carl","currency":"USD","type":"wallet","metadata":{"tier":1}}"#;
    let opened = admin.post("/v1/accounts", &[], body).await.json();
    assert_eq!(opened["balance"], "0.00");
    let again = admin.post("/v1/accounts", &[], body).await.expect(200);
    assert_eq!(again, opened);
    let conflict = admin
        .post("/v1/accounts", &[], r#"{"id":"carl","currency":"EUR"}"#)
        .await
        .expect(409);
    assert_eq!(conflict["differs"], json!(["currency", "type", "metadata"]));

    let mut writer = system.client();
    for body in [
        r#"{"id":"deep","currency":"USD","min_balance":null}"#,
        r#"{"id":"deep","currency":"USD","min_balance":"-5.00"}"#,
    ] {
        assert_eq!(
            writer.post("/v1/accounts", &[], body).await.expect(403)["code"],
            "scope_insufficient"
        );
    }
    let patched = admin
        .send(
            "PATCH",
            "/v1/accounts/carl",
            &[],
            r#"{"min_balance":"-10.00"}"#,
        )
        .await
        .unwrap()
        .expect(200);
    assert_eq!(patched["min_balance"], "-10.00");
    let overdrawn = admin
        .transfer("over", "carl", "alice", "10.00", true)
        .await
        .expect(200);
    assert_eq!(overdrawn["debit_balance_after"], "-10.00");
    let close = admin
        .post("/v1/accounts/carl/close", &[], "")
        .await
        .expect(422);
    assert_eq!(close["code"], "balance_not_zero");
    admin
        .post("/v1/accounts/carl/freeze", &[], "")
        .await
        .expect(200);
    let thawed = admin
        .post("/v1/accounts/carl/unfreeze", &[], "")
        .await
        .expect(200);
    assert_eq!(thawed["status"], "open");
    system.verify().await;
}

#[tokio::test]
async fn units_of_a_ledgers_own_and_other_ledgers_stay_apart() {
    let system = System::start().await;
    system.open(&["alice"]).await;
    run_ok(&[
        "ledgers",
        "set",
        "demo",
        "--unit",
        "POINTS:0",
        "--database",
        &system.database_url,
    ])
    .await;
    let mut admin = system.admin();
    // The unit is known within the refresh of the keys.
    let opened = eventually("the new unit is known", async || {
        let answer = admin
            .post("/v1/accounts", &[], r#"{"id":"loyal","currency":"POINTS"}"#)
            .await;
        (answer.status < 300).then(|| answer.json())
    })
    .await;
    assert_eq!(opened["balance"], "0");

    let key = create_key(&system.database_url, "other", "admin").await;
    let mut other = Client::new(&system.api_url, &key);
    assert_eq!(other.get("/v1/accounts/alice").await.status, 404);
    assert_eq!(
        other.get("/v1/accounts").await.expect(200)["data"],
        json!([])
    );
    assert_eq!(other.get("/v1/events").await.expect(200)["data"], json!([]));
    let refused = other
        .transfer("t", "alice", "world", "1.00", true)
        .await
        .expect(200);
    assert_eq!(refused["reason"], "account_unknown");
    system.verify().await;
}

#[tokio::test]
async fn a_batch_answers_line_by_line() {
    let system = System::start().await;
    system.open(&["alice", "bob"]).await;
    let line = |key: &str, amount: &str| {
        format!(
            r#"{{"idempotency_key":"{key}","debit_account":"alice","credit_account":"bob","amount":"{amount}","currency":"USD"}}"#
        )
    };
    let body = [
        line("b1", "1.00"),
        "{broken".to_owned(),
        line("b2", "1000.00"),
        line("b1", "1.00"),
        line("b3", "1.005"),
    ]
    .join("\n");
    let headers = [
        ("content-type", "application/x-ndjson"),
        ("prefer", "wait=10"),
    ];
    let answer = system
        .client()
        .post("/v1/transfers/batch", &headers, &body)
        .await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let lines: Vec<serde_json::Value> = answer
        .text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(
        lines
            .iter()
            .map(|line| line["line"].as_u64().unwrap())
            .collect::<Vec<_>>(),
        [1, 2, 3, 4, 5]
    );
    assert_eq!(lines[0]["status"], "posted");
    assert_eq!(lines[1]["problem"]["code"], "json_malformed");
    assert_eq!(lines[2]["status"], "refused");
    assert_eq!(lines[3]["status"], "posted");
    assert_eq!(lines[3]["id"], lines[0]["id"]);
    assert_eq!(lines[4]["problem"]["code"], "amount_too_many_decimals");
    assert_eq!(system.client().balance("alice").await, "999.00");
    system.verify().await;
}

#[tokio::test]
async fn every_metric_of_both_roles_answers() {
    let system = System::start().await;
    system.open(&["alice", "bob"]).await;
    system
        .client()
        .transfer("m", "alice", "bob", "1.00", true)
        .await
        .expect(200);
    let metrics = system.client().get("/metrics").await;
    assert_eq!(metrics.status, 200);
    assert!(
        metrics
            .text
            .contains("sluice_ingest_accepted_commands_total"),
        "{}",
        metrics.text
    );
    let ready = std::fs::read(system.path().join("process-2.ready")).unwrap();
    let ready: serde_json::Value = serde_json::from_slice(&ready).unwrap();
    let url = ready["metrics_url"].as_str().unwrap();
    let mut client = Client::new(url.strip_suffix("/metrics").unwrap(), "");
    let metrics = client.get("/metrics").await.text;
    for name in [
        "sluice_worker_commands_applied_total",
        "sluice_worker_batch_commands_bucket",
        "sluice_worker_partition_epoch",
    ] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
}
