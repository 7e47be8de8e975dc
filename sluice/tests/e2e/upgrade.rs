//! A database and a log as the version before left them: EVENTS was full, so that the last commits are not published
//! and the last commands not decided. `before/` holds a dump of its Postgres and the files of its nats-server.

use crate::process::{eventually, run_ok};
use crate::system::System;

/// More than the 4 KiB that EVENTS was left with.
const ROOM: &str = "1000000000";

#[tokio::test]
async fn what_the_version_before_wrote_goes_on() {
    let mut system = System::of_the_version_before().await;
    let unpublished: i64 = scalar(
        &system,
        "SELECT count(*) FROM commits c JOIN partitions p USING (partition) WHERE c.position > p.published",
    )
    .await;
    assert!(unpublished >= 8, "{unpublished} commits wait for EVENTS");
    let (nats, database) = (system.nats.url(), system.database_url.clone());
    let migrate = [
        "migrate",
        "--nats",
        &nats,
        "--database",
        &database,
        "--events-bytes-max",
        ROOM,
    ];
    run_ok(&migrate).await;
    system.admit().await;
    system.start_processor(&[]).await;
    system.start_ingest("127.0.0.1:0").await;
    // Every commit from before is published with the hash that it was committed with, every command is decided.
    system.verify().await;

    let mut client = system.client();
    let late = client.get("/v1/transfers/by-key/late-39").await.expect(200);
    assert_eq!(late["status"], "posted");
    a_retry_gets_its_first_answer(&mut client).await;
    a_refusal_from_before_is_replayed_over_the_log(&system).await;

    client
        .transfer("new", "a0", "a1", "0.01", true)
        .await
        .expect(200);
    system.verify().await;
    let encoders: Vec<i16> =
        sqlx::query_scalar("SELECT DISTINCT encoder FROM commits ORDER BY encoder")
            .fetch_all(&system.database)
            .await
            .unwrap();
    assert_eq!(encoders.first(), Some(&1), "{encoders:?}");
    // Done again, it changes nothing.
    run_ok(&migrate).await;
}

async fn a_retry_gets_its_first_answer(client: &mut crate::http::Client) {
    let cases = [
        (
            "meta-small",
            r#"{"debit_account":"a0","credit_account":"a1","amount":"1.00","currency":"USD","metadata":{"x":1e-25,"y":0.416776807665196328},"description":"ä \"quoted\""}"#,
            "posted",
        ),
        (
            "meta-digits",
            r#"{"debit_account":"a2","credit_account":"a3","amount":"1.00","currency":"USD","metadata":{"x":0.416776807665196328}}"#,
            "posted",
        ),
        (
            "poor",
            r#"{"debit_account":"a4","credit_account":"a5","amount":"5000.00","currency":"USD"}"#,
            "refused",
        ),
        (
            "closed",
            r#"{"debit_account":"a1","credit_account":"a9","amount":"1.00","currency":"USD"}"#,
            "refused",
        ),
    ];
    for (key, body, status) in cases {
        let headers = [("Idempotency-Key", key), ("Prefer", "wait=10")];
        let again = client.post("/v1/transfers", &headers, body).await;
        assert_eq!(
            again.header("Idempotent-Replayed"),
            Some("true"),
            "{again:?}"
        );
        assert_eq!(again.expect(200)["status"], status, "{key}");
    }
}

async fn a_refusal_from_before_is_replayed_over_the_log(system: &System) {
    let line = r#"{"ledger":"demo","idempotency_key":"poor","debit_account":"a4","credit_account":"a5","amount":"5000.00","currency":"USD"}"#;
    let replays = "SELECT count(*) FROM outcomes WHERE kind = 'sluice.transfer.replayed.v1'";
    let before: i64 = scalar(system, replays).await;
    let nats = system.nats_client().await;
    nats.publish("sluice.submit.a4", line.into()).await.unwrap();
    nats.flush().await.unwrap();
    eventually("the replay is decided", async || {
        (scalar(system, replays).await > before).then_some(())
    })
    .await;
    system.drained().await;
    let (mut client, mut path) = (system.client(), "/v1/events".to_owned());
    let mut reasons = Vec::new();
    loop {
        let page = client.get(&path).await.expect(200);
        let events = page["data"].as_array().unwrap();
        if events.is_empty() {
            break;
        }
        reasons.extend(
            events
                .iter()
                .filter(|event| event["type"] == "sluice.transfer.replayed.v1")
                .map(|event| &event["data"]["transfer"])
                .filter(|transfer| transfer["idempotency_key"] == "poor")
                .map(|transfer| transfer["reason"].clone()),
        );
        path = format!("/v1/events?after={}", page["next"].as_str().unwrap());
    }
    // Two of them are from before.
    assert!(reasons.len() >= 3, "{reasons:?}");
    assert!(reasons.iter().all(|reason| reason == "insufficient_funds"));
}

async fn scalar(system: &System, query: &'static str) -> i64 {
    sqlx::query_scalar(query)
        .fetch_one(&system.database)
        .await
        .unwrap()
}
