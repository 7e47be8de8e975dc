//! What reaches the log, and what is said about it.

use futures::future::join_all;
use serde_json::json;

use crate::harness::{Api, transfer_body};

#[tokio::test]
async fn an_accepted_transfer_is_on_the_log_and_pending() {
    let api = Api::start().await;
    let answer = api.transfer("k1", "alice", "bob").await;
    let transfer = answer.expect(202);
    assert_eq!(transfer["status"], "pending");
    assert_eq!(transfer["amount"], "1.00");
    assert_eq!(transfer["idempotency_key"], "k1");
    let (partition, position) = (&transfer["partition"], &transfer["position"]);
    let id = transfer["id"].as_str().unwrap();
    let location = format!("/v1/transfers/{id}?at={partition}.{position}");
    assert_eq!(answer.header("location"), location);
    assert_eq!(answer.header("idempotent-replayed"), "");
    assert_eq!(answer.header("sluice-durability"), "");

    let pending = api.get(&api.read_key, &location).await.expect(202);
    assert_eq!(pending["status"], "pending");
    assert_eq!(pending["id"], id);

    let commands = api.commands().await;
    assert_eq!(commands.len(), 1);
    assert_eq!(commands[0]["ledger"], "demo");
    assert_eq!(commands[0]["idempotency_key"], "k1");
    assert_eq!(commands[0]["accepted_at"], transfer["accepted_at"]);
}

#[tokio::test]
async fn commands_that_arrive_together_share_records() {
    let api = Api::start().await;
    let keys: Vec<String> = (0..200).map(|number| format!("k{number}")).collect();
    let answers = join_all(keys.iter().map(|key| api.transfer(key, "alice", "bob"))).await;
    for answer in &answers {
        answer.expect(202);
    }
    let records = api.records().await;
    let commands: usize = records.iter().map(Vec::len).sum();
    assert_eq!(commands, 200);
    assert!(records.len() < 200, "{} records", records.len());
}

#[tokio::test]
async fn a_repeat_is_recognised_and_appends_nothing() {
    let api = Api::start().await;
    let first = api.transfer("k1", "alice", "bob").await;
    let again = api.transfer("k1", "alice", "bob").await;
    assert_eq!(again.expect(202), first.expect(202));
    assert_eq!(again.header("idempotent-replayed"), "true");
    assert_eq!(again.header("location"), first.header("location"));
    assert_eq!(api.commands().await.len(), 1);
}

#[tokio::test]
async fn equal_requests_at_the_same_time_join_one_append() {
    let api = Api::start().await;
    let answers = join_all((0..32).map(|_| api.transfer("k1", "alice", "bob"))).await;
    let first = answers[0].expect(202);
    let replayed = answers
        .iter()
        .filter(|answer| answer.header("idempotent-replayed") == "true")
        .count();
    assert!(answers.iter().all(|answer| answer.expect(202) == first));
    assert_eq!(replayed, 31);
    assert_eq!(api.commands().await.len(), 1);
}

#[tokio::test]
async fn another_request_under_a_pending_key_is_left_to_the_processor() {
    let api = Api::start().await;
    api.transfer("k1", "alice", "bob").await.expect(202);
    let other = api.transfer("k1", "alice", "carol").await;
    other.expect(202);
    assert_eq!(other.header("idempotent-replayed"), "");
    assert_eq!(api.commands().await.len(), 2);
}

#[tokio::test]
async fn a_wait_without_an_outcome_ends_pending() {
    let api = Api::start().await;
    let body = transfer_body("alice", "bob", "1").to_string();
    let headers = [("idempotency-key", "k1"), ("prefer", "wait=1")];
    let answer = api.post("/v1/transfers", &headers, &body).await;
    assert_eq!(answer.expect(202)["status"], "pending");
    assert_eq!(answer.header("preference-applied"), "wait=1");
}

#[tokio::test]
async fn a_batch_is_answered_line_by_line_in_order() {
    let api = Api::start().await;
    let line = |key: &str, amount: &str| {
        let mut line = transfer_body("alice", "bob", amount);
        line["idempotency_key"] = json!(key);
        line.to_string()
    };
    let body = [
        line("a", "1"),
        "{broken".to_owned(),
        String::new(),
        line("b", "1.234"),
        line("a", "1"),
        transfer_body("alice", "bob", "1").to_string(),
        line("c", "2"),
    ]
    .join("\n");
    let headers = [("content-type", "application/x-ndjson")];
    let answer = api.post("/v1/transfers/batch", &headers, &body).await;
    assert_eq!(answer.status, 200);
    let lines: Vec<serde_json::Value> = answer
        .body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .map(|line| serde_json::from_slice(line).unwrap())
        .collect();
    let told: Vec<String> = lines
        .iter()
        .map(|line| {
            let code = line["problem"]["code"].as_str();
            let status = line["status"].as_str();
            format!("{} {}", line["line"], code.or(status).unwrap())
        })
        .collect();
    assert_eq!(
        told,
        [
            "1 pending",
            "2 json_malformed",
            "4 amount_too_many_decimals",
            "5 pending",
            "6 idempotency_key_missing",
            "7 pending",
        ]
    );
    assert_eq!(lines[0]["id"], lines[3]["id"]);
    assert_eq!(lines[3]["replayed"], true);
    let keys: Vec<_> = api
        .commands()
        .await
        .iter()
        .map(|command| command["idempotency_key"].clone())
        .collect();
    assert_eq!(keys, ["a", "c"]);
}

#[tokio::test]
async fn the_order_of_a_batch_is_the_order_on_the_log() {
    let api = Api::start().await;
    let body: Vec<String> = (0..3000)
        .map(|number| {
            let mut line = transfer_body("alice", "bob", "1");
            line["idempotency_key"] = json!(format!("k{number}"));
            line.to_string()
        })
        .collect();
    let answer = api.post("/v1/transfers/batch", &[], &body.join("\n")).await;
    assert_eq!(answer.status, 200);
    let commands = api.commands().await;
    assert_eq!(commands.len(), 3000);
    for (number, command) in commands.iter().enumerate() {
        assert_eq!(command["idempotency_key"], format!("k{number}"));
    }
}

#[tokio::test]
async fn an_account_is_opened_over_the_log() {
    let api = Api::start_with(|config| {
        config.limits.account_wait = std::time::Duration::from_millis(200);
    })
    .await;
    let open = async |headers: &[(&str, &str)]| {
        let answer = api
            .post("/v1/accounts", headers, r#"{"currency":"USD"}"#)
            .await;
        let pending = answer.expect(202);
        let id = pending["id"].as_str().unwrap().to_owned();
        let location = answer.header("location").to_owned();
        assert!(location.starts_with(&format!("/v1/accounts/{id}?at=")));
        api.get(&api.read_key, &location).await.expect(202);
        id
    };
    let first = open(&[("idempotency-key", "a1")]).await;
    let again = open(&[("idempotency-key", "a1")]).await;
    assert_eq!(first, again);
    assert_ne!(first, open(&[]).await);
    let commands = api.commands().await;
    assert!(
        commands
            .iter()
            .all(|command| command["command"] == "open_account")
    );
}

#[tokio::test]
async fn each_command_says_who_asked_and_keeps_a_trace_context_of_its_own() {
    let api = Api::start().await;
    let trace = |number: usize| format!("00-{:032x}-00f067aa0ba902b7-01", number + 1);
    let body = transfer_body("alice", "bob", "1").to_string();
    let asked: Vec<(String, String)> = (0..50)
        .map(|number| (format!("k{number}"), trace(number)))
        .collect();
    let sent = asked.iter().map(async |(key, trace)| {
        let headers = [("idempotency-key", key.as_str()), ("traceparent", trace)];
        api.post("/v1/transfers", &headers, &body).await.expect(202);
    });
    join_all(sent).await;
    let record = api.records().await;
    assert!(record.len() < asked.len(), "some share a record");
    let id = |key: &str| format!("key:{}", key.split('_').nth(1).unwrap());
    let commands = api.commands().await;
    for (key, trace) in &asked {
        let mine = |command: &&serde_json::Value| command["idempotency_key"] == **key;
        let command = commands.iter().find(mine).unwrap();
        assert_eq!(command["traceparent"], **trace);
        assert_eq!(command["actor"], id(&api.write_key));
    }
    let limit = r#"{"id":"carol","currency":"USD","min_balance":null}"#;
    let path = "/v1/accounts";
    let opening = api.send(
        axum::http::Method::POST,
        path,
        &api.admin_key,
        &[],
        limit.into(),
    );
    let on_the_log = crate::harness::eventually("it is on the log", async || {
        let commands = api.commands().await;
        commands
            .iter()
            .any(|command| command["id"] == "carol" && command["actor"] == id(&api.admin_key))
    });
    tokio::select! {
        answer = opening => panic!("nobody decides: {}", answer.status),
        () = on_the_log => {}
    }
}
