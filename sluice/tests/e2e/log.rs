//! What operators do on the log, and what may stand there.

use futures::StreamExt;
use serde_json::json;

use crate::process::{eventually, run_ok};
use crate::system::System;

#[tokio::test]
async fn a_transfer_published_by_hand_is_applied_like_a_request() {
    let system = System::start().await;
    system.open(&["alice", "bob"]).await;
    let nats = system.nats_client().await;
    let body = r#"{"ledger":"demo","idempotency_key":"by-hand","debit_account":"alice","credit_account":"bob","amount":"1.50","currency":"USD"}"#;
    let ack = nats
        .request("sluice.submit.alice", body.into())
        .await
        .unwrap();
    let ack: serde_json::Value = serde_json::from_slice(&ack.payload).unwrap();
    assert_eq!(ack["stream"], "COMMANDS", "{ack}");
    let transfer = eventually("the transfer is applied", async || {
        let answer = system.client().get("/v1/transfers/by-key/by-hand").await;
        (answer.status == 200).then(|| answer.json())
    })
    .await;
    assert_eq!(transfer["status"], "posted");
    assert_eq!(transfer["position"], ack["seq"]);
    system.verify().await;
}

/// Lines on the partition of `alice` that are no commands, and why.
const BAD_LINES: &[(&str, &str)] = &[
    ("not json", "json_malformed"),
    (
        r#"{"ledger":"nowhere","idempotency_key":"k","debit_account":"alice","credit_account":"bob","amount":"1","currency":"USD"}"#,
        "ledger_unknown",
    ),
    (
        r#"{"ledger":"demo","debit_account":"alice","credit_account":"bob","amount":"1","currency":"USD"}"#,
        "idempotency_key_missing",
    ),
    (
        r#"{"ledger":"demo","idempotency_key":"k","debit_account":"alice","credit_account":"bob","amount":1,"currency":"USD"}"#,
        "amount_not_a_string",
    ),
    (
        r#"{"ledger":"demo","idempotency_key":"k","debit_account":"bob","credit_account":"alice","amount":"1","currency":"USD"}"#,
        "partition_differs",
    ),
    (
        r#"{"command":"steal","ledger":"demo","id":"alice"}"#,
        "command_unknown",
    ),
];

#[tokio::test]
async fn what_cannot_be_decoded_is_a_dead_letter_and_blocks_nothing() {
    let system = System::start().await;
    system.open(&["alice", "bob"]).await;
    let nats = system.nats_client().await;
    let pretty = "{\n  \"ledger\": \"demo\",\n  \"idempotency_key\": \"pretty\",\n  \"debit_account\": \"alice\",\n  \"credit_account\": \"bob\",\n  \"amount\": \"1.00\",\n  \"currency\": \"USD\"\n}";
    let good = pretty.replace('\n', " ").replace("pretty", "good");
    let body = BAD_LINES
        .iter()
        .map(|(line, _)| (*line).to_owned())
        .chain([good])
        .collect::<Vec<_>>()
        .join("\n");
    nats.request("sluice.submit.alice", body.into())
        .await
        .unwrap();
    nats.request("sluice.submit.alice", "".into())
        .await
        .unwrap();
    let mut headers = async_nats::HeaderMap::new();
    headers.insert("Sluice-Schema", "cmd.v9");
    nats.request_with_headers("sluice.submit.alice", headers, "?".into())
        .await
        .unwrap();
    nats.request("sluice.submit.alice", pretty.into())
        .await
        .unwrap();
    for key in ["good", "pretty"] {
        eventually("the good ones are applied", async || {
            (system
                .client()
                .get(&format!("/v1/transfers/by-key/{key}"))
                .await
                .status
                == 200)
                .then_some(())
        })
        .await;
    }
    let reasons: Vec<String> =
        sqlx::query_scalar("SELECT reason FROM dead_letters ORDER BY position, line")
            .fetch_all(&system.database)
            .await
            .unwrap();
    let expected: Vec<&str> = BAD_LINES
        .iter()
        .map(|(_, reason)| *reason)
        .chain(["record_empty", "schema_unknown"])
        .collect();
    assert_eq!(reasons, expected);

    system.drained().await;
    let jetstream = async_nats::jetstream::new(nats);
    let dlq = eventually("dead letters are copied", async || {
        let dlq = jetstream.get_stream("DLQ").await.unwrap();
        let letters = dlq.cached_info().state.messages;
        (letters == expected.len() as u64).then_some(dlq)
    })
    .await;
    let first = dlq.get_raw_message(1).await.unwrap();
    assert_eq!(&first.payload[..], b"not json");
    assert_eq!(
        first.headers.get("Sluice-Reason").unwrap().as_str(),
        "json_malformed"
    );
    assert_eq!(
        first.headers.get("Sluice-Origin-Stream").unwrap().as_str(),
        "COMMANDS"
    );
    system.verify().await;
}

#[tokio::test]
async fn a_record_taken_by_an_operator_is_not_skipped() {
    let system = System::start().await;
    system.open(&["alice", "bob"]).await;
    let nats = system.nats_client().await;
    let jetstream = async_nats::jetstream::new(nats.clone());
    let stream = jetstream.get_stream("COMMANDS").await.unwrap();
    // Pulls waiting on every consumer compete with the processor for what comes next.
    let mut names = stream.consumer_names();
    while let Some(name) = names.next().await {
        let consumer: async_nats::jetstream::consumer::PullConsumer =
            stream.get_consumer(&name.unwrap()).await.unwrap();
        for _ in 0..3 {
            let consumer = consumer.clone();
            tokio::spawn(async move {
                let mut taken = consumer
                    .batch()
                    .max_messages(2)
                    .expires(std::time::Duration::from_secs(20))
                    .messages()
                    .await
                    .unwrap();
                while let Some(Ok(message)) = taken.next().await {
                    message.ack().await.unwrap();
                }
            });
        }
    }
    let mut client = system.client();
    for n in 0..20 {
        client
            .transfer(&format!("s{n}"), "alice", "bob", "1.00", false)
            .await
            .expect(202);
    }
    eventually("all are applied", async || {
        (system.client().balance("alice").await == "980.00").then_some(())
    })
    .await;
    system.verify().await;
}

#[tokio::test]
async fn events_are_rebuilt_byte_for_byte_after_the_stream_was_deleted() {
    let mut system = System::start().await;
    system.open(&["alice", "bob"]).await;
    let mut client = system.client();
    for n in 0..10 {
        client
            .transfer(&format!("e{n}"), "alice", "bob", "1.00", n % 2 == 0)
            .await;
    }
    client
        .transfer("e0", "alice", "bob", "2.00", true)
        .await
        .expect(422);
    system
        .nats_client()
        .await
        .request("sluice.submit.alice", "junk".into())
        .await
        .unwrap();
    system.verify().await;
    let before = events(&system).await;
    assert!(before.len() > 3);

    let jetstream = async_nats::jetstream::new(system.nats_client().await);
    let processor = system.processors.pop().unwrap();
    assert!(processor.stop().await.success());
    jetstream.delete_stream("EVENTS").await.unwrap();
    run_ok(&[
        "migrate",
        "--nats",
        &system.nats.url(),
        "--database",
        &system.database_url,
    ])
    .await;
    system.start_processor(&[]).await;
    system.verify().await;
    let mut after = events(&system).await;
    after.sort();
    let mut before = before;
    before.sort();
    assert_eq!(after, before);
}

#[tokio::test]
async fn a_late_second_copy_of_an_event_record_is_refused() {
    let system = System::start().await;
    system.open(&["alice", "bob"]).await;
    system.drained().await;
    // Recreated with the shortest window: the copy below comes after it.
    let jetstream = async_nats::jetstream::new(system.nats_client().await);
    let mut config = jetstream
        .get_stream("EVENTS")
        .await
        .unwrap()
        .cached_info()
        .config
        .clone();
    config.duplicate_window = std::time::Duration::from_millis(100);
    jetstream.update_stream(&config).await.unwrap();
    system
        .client()
        .transfer("w", "alice", "bob", "1.00", true)
        .await
        .expect(200);
    system.drained().await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    let log = system.log().await;
    let mut copies = 0;
    for partition in 0..log.partitions() {
        let partition = schemas::Partition(partition);
        let commits = journal::commits_after(
            &system.database,
            partition,
            schemas::Position::default(),
            1000,
        )
        .await
        .unwrap();
        let mut after = 0;
        let mut scan = log.scan_events(partition, 0).await.unwrap();
        for commit in commits {
            let stretch = journal::Stretch::of(partition, &commit);
            let events = journal::events_in(&system.database, stretch, None)
                .await
                .unwrap();
            let record = journal::rebuild(partition, &commit, &events).unwrap();
            let again = log.publish(&record, after).await;
            assert!(
                matches!(again, Err(streams::PublishError::WrongLast)),
                "{again:?}"
            );
            after = scan.next().await.unwrap().unwrap().sequence;
            copies += 1;
        }
    }
    assert!(copies > 3);
    system.verify().await;
}

#[tokio::test]
async fn a_full_log_says_so_and_recovers_when_the_limit_is_raised() {
    let database = stack::testing::fresh_database().await;
    let mut system = System::on(None, database.url, &["--commands-bytes-max", "60000"]).await;
    system.start_ingest("127.0.0.1:0").await;
    system.start_processor(&[]).await;
    system.open(&["alice", "bob"]).await;
    let mut client = system.client();
    let mut accepted = 0;
    let full = loop {
        let answer = client
            .transfer(&format!("f{accepted}"), "alice", "bob", "0.01", false)
            .await;
        if answer.status != 202 {
            break answer;
        }
        accepted += 1;
        assert!(accepted < 1000, "60,000 bytes hold fewer transfers");
    };
    assert!(full.header("retry-after").is_some());
    assert_eq!(full.expect(503)["code"], "log_full");
    run_ok(&[
        "migrate",
        "--nats",
        &system.nats.url(),
        "--database",
        &system.database_url,
        "--commands-bytes-max",
        "10000000",
    ])
    .await;
    let answer = client
        .transfer(&format!("f{accepted}"), "alice", "bob", "0.01", true)
        .await
        .expect(200);
    assert_eq!(answer["status"], "posted");
    system.verify().await;
}

async fn events(system: &System) -> Vec<(u16, Vec<u8>, Option<String>)> {
    let log = system.log().await;
    let mut all = Vec::new();
    for partition in 0..log.partitions() {
        let mut scan = log
            .scan_events(schemas::Partition(partition), 0)
            .await
            .unwrap();
        while let Some(record) = scan.next().await.unwrap() {
            all.push((
                partition,
                record.body.to_vec(),
                record.header("Sluice-Hash").map(str::to_owned),
            ));
        }
    }
    let kinds = json!(
        all.iter()
            .map(|(_, body, _)| String::from_utf8_lossy(body).into_owned())
            .collect::<Vec<_>>()
    )
    .to_string();
    assert!(kinds.contains("sluice.account.opened.v1"));
    all
}
