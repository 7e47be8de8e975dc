//! Connections that ask for much and take little: what one costs is bounded, and others do not notice.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::process::{eventually, memory};
use crate::system::System;

const MIB: u64 = 1 << 20;
const REQUEST: &str = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: a\r\n\r\n";

async fn connect(system: &System) -> TcpStream {
    let authority = system.api_url.strip_prefix("http://").unwrap();
    TcpStream::connect(authority).await.unwrap()
}

/// An answer has begun to come and stands in the way, so the server is at work on all of them.
async fn is_answered(stream: &TcpStream) -> bool {
    let mut byte = [0];
    timeout(Duration::from_secs(10), stream.peek(&mut byte))
        .await
        .is_ok_and(|peeked| peeked.is_ok_and(|bytes| bytes == 1))
}

#[tokio::test]
async fn connections_that_do_not_read_cost_little_and_hold_up_nobody() {
    let system = System::start().await;
    system.open(&["a", "b"]).await;
    let ingest = system.ingest.as_ref().unwrap().pid();
    let before = memory(ingest, "VmHWM:");

    let mut one = connect(&system).await;
    one.write_all(REQUEST.repeat(150).as_bytes()).await.unwrap();
    assert!(is_answered(&one).await);
    system.client().balance("a").await;
    let peak = memory(ingest, "VmHWM:") - before;
    assert!(peak < 64 * MIB, "one connection: {} MiB", peak / MIB);

    let mut many = Vec::new();
    for _ in 0..300 {
        let mut stream = connect(&system).await;
        stream
            .write_all(REQUEST.repeat(20).as_bytes())
            .await
            .unwrap();
        many.push(stream);
    }
    for stream in &many {
        assert!(is_answered(stream).await);
    }
    let mut client = system.client();
    for number in 0..100 {
        let key = format!("k{number}");
        let sent = client.transfer(&key, "a", "b", "0.01", true);
        let answer = timeout(Duration::from_secs(10), sent).await;
        assert_eq!(
            answer.expect("others are served").expect(200)["status"],
            "posted"
        );
    }
    let peak = memory(ingest, "VmHWM:") - before;
    assert!(peak < 200 * MIB, "300 connections: {} MiB", peak / MIB);
}

#[tokio::test]
async fn batches_cost_little_however_their_answers_are_read() {
    let system = System::start().await;
    system.open(&["a", "b"]).await;
    let ingest = system.ingest.as_ref().unwrap().pid();
    let before = memory(ingest, "VmHWM:");
    // As long as a batch may be, and so is its answer.
    let long = "x".repeat(650);
    let lines: Vec<String> = (0..9_500)
        .map(|line| {
            format!(
                r#"{{"idempotency_key":"k{line}","debit_account":"a","credit_account":"b","amount":"0.01","currency":"USD","description":"{long}"}}"#
            )
        })
        .collect();
    let lines = lines.join("\n");
    assert!(lines.len() > 7_000_000);
    let head = format!(
        "POST /v1/transfers/batch HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\nprefer: wait=10\r\ncontent-length: {}\r\n\r\n",
        system.write_key,
        lines.len()
    );
    let mut one = connect(&system).await;
    one.write_all(head.as_bytes()).await.unwrap();
    one.write_all(lines.as_bytes()).await.unwrap();
    assert!(is_answered(&one).await);
    let peak = memory(ingest, "VmHWM:") - before;
    assert!(peak < 64 * MIB, "one batch: {} MiB", peak / MIB);

    let mut many = Vec::new();
    for _ in 0..100 {
        let mut stream = connect(&system).await;
        let (head, lines) = (head.clone(), lines.clone());
        many.push(tokio::spawn(async move {
            // Where there is no room it hears so before it has sent everything.
            stream.write_all(head.as_bytes()).await.ok();
            stream.write_all(lines.as_bytes()).await.ok();
            is_answered(&stream).await;
            stream
        }));
    }
    let mut kept = Vec::new();
    for stream in many {
        kept.push(stream.await.unwrap());
    }
    let peak = memory(ingest, "VmHWM:") - before;
    assert!(peak < 200 * MIB, "100 batches: {} MiB", peak / MIB);
    drop(kept);
    eventually("a batch is taken again", async || {
        let line = r#"{"idempotency_key":"k","debit_account":"a","credit_account":"b","amount":"1","currency":"USD"}"#;
        let headers = [("content-type", "application/x-ndjson")];
        let answer = system.client().post("/v1/transfers/batch", &headers, line).await;
        (answer.status == 200).then_some(())
    })
    .await;
}
