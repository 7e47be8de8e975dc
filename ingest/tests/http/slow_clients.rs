//! Clients that send half of something, or too slowly, or do not read, or stay for ever.

use std::time::Duration;

use axum::http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::harness::{Api, eventually};

const PATIENCE: Duration = Duration::from_secs(10);

/// Sends `text` and gives what comes back until the server closes.
async fn speak(api: &Api, text: &str) -> String {
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    hear(&mut stream).await
}

async fn hear(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    timeout(PATIENCE, stream.read_to_end(&mut answer))
        .await
        .expect("the server closes the connection")
        .unwrap();
    String::from_utf8(answer).unwrap()
}

async fn impatient() -> Api {
    Api::start_with(|config| {
        config.limits.header_time_max = Duration::from_millis(300);
        config.limits.body_time_max = Duration::from_millis(300);
    })
    .await
}

#[tokio::test]
async fn silence_and_half_a_request_are_hung_up_on() {
    let api = impatient().await;
    for half in [
        "",
        "POST /v1/tra",
        "POST /v1/transfers HTTP/1.1\r\nhost: a\r\n",
    ] {
        let answer = speak(&api, half).await;
        assert!(
            !answer.contains(" 200 ") && !answer.contains(" 500 "),
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_is_a_408() {
    let api = impatient().await;
    let head = format!(
        "POST /v1/transfers HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\nidempotency-key: k\r\n",
        api.write_key
    );
    for rest in [
        "content-length: 50\r\n\r\n{\"debit",
        "transfer-encoding: chunked\r\n\r\n5\r\n{\"deb\r\n",
    ] {
        let answer = speak(&api, &format!("{head}{rest}")).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(answer.contains("\"code\":\"body_timeout\""), "{answer}");
    }
    assert!(api.commands().await.is_empty());
}

#[tokio::test]
async fn what_is_no_http_is_a_400_or_hung_up_on() {
    let api = impatient().await;
    let chunked = format!(
        "POST /v1/transfers HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\nidempotency-key: k\r\n\
         transfer-encoding: chunked\r\n\r\nzz\r\n{{}}\r\n0\r\n\r\n",
        api.write_key
    );
    for garbage in [
        "\x16\x03\x01 hello TLS\r\n\r\n",
        "GET\r\n\r\n",
        "POST /v1/transfers HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n",
        &chunked,
    ] {
        let answer = speak(&api, garbage).await;
        let is_refused = answer.is_empty() || answer.starts_with("HTTP/1.1 400 ");
        assert!(is_refused, "{garbage:?}: {answer:?}");
    }
    assert!(api.commands().await.is_empty());
}

#[tokio::test]
async fn a_connection_above_the_limit_is_told_to_come_back() {
    let api = Api::start_with(|config| config.limits.connections_max = 1).await;
    let mut first = TcpStream::connect(api.address).await.unwrap();
    first
        .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        .await
        .unwrap();
    let mut start = [0; 12];
    first.read_exact(&mut start).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");

    let mut second = TcpStream::connect(api.address).await.unwrap();
    let answer = hear(&mut second).await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains(&format!("content-length: {}\r\n", body.len())));
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(problem["code"], "overloaded");
    assert!(head.contains(problem["request_id"].as_str().unwrap()));

    drop(first);
    eventually("there is room again", async || {
        let mut stream = TcpStream::connect(api.address).await.unwrap();
        stream
            .write_all(b"GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
            .await
            .is_ok()
            && hear(&mut stream).await.starts_with("HTTP/1.1 200 ")
    })
    .await;
}

#[tokio::test]
async fn slow_clients_hold_up_nobody_else() {
    let api = impatient().await;
    let mut slow = Vec::new();
    for _ in 0..100 {
        let mut stream = TcpStream::connect(api.address).await.unwrap();
        stream.write_all(b"POST /v1/tra").await.unwrap();
        slow.push(stream);
    }
    let answer = api.transfer("k", "alice", "bob").await;
    assert_eq!(answer.status, StatusCode::ACCEPTED);
    for mut stream in slow {
        hear(&mut stream).await;
    }
}

#[tokio::test]
async fn more_than_32_kb_of_headers_are_a_431() {
    let api = impatient().await;
    for (kilobytes, status) in [(30, "200"), (33, "431"), (1_000, "431")] {
        let head = format!(
            "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-long: {}\r\n\r\n",
            "x".repeat(kilobytes << 10)
        );
        let mut stream = TcpStream::connect(api.address).await.unwrap();
        // The server may have hung up before the end.
        stream.write_all(head.as_bytes()).await.ok();
        let mut start = [0; 12];
        if stream.read_exact(&mut start).await.is_ok() {
            assert_eq!(&start[9..], status.as_bytes(), "{kilobytes} kB");
        } else {
            assert_eq!(status, "431", "{kilobytes} kB: hung up on");
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_is_hung_up_on() {
    let api = Api::start_with(|config| {
        config.limits.write_time_max = Duration::from_millis(300);
    })
    .await;
    let request = "GET /docs/swagger-ui-bundle.js HTTP/1.1\r\nhost: a\r\n\r\n";
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    stream
        .write_all(request.repeat(20).as_bytes())
        .await
        .unwrap();
    eventually("the server hangs up", async || {
        stream.write_all(b"\r\n").await.is_err()
    })
    .await;

    // Whoever reads gets every answer, in order, however many were asked for at once.
    let mut stream = TcpStream::connect(api.address).await.unwrap();
    let last = "GET /healthz HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    let requests = request.repeat(20) + last;
    stream.write_all(requests.as_bytes()).await.unwrap();
    let answers = hear(&mut stream).await;
    assert_eq!(answers.matches("HTTP/1.1 200 OK\r\n").count(), 21);
    assert!(answers.ends_with("\r\n\r\nok\n"));
}

#[tokio::test]
async fn batches_that_come_slowly_hold_up_no_other() {
    let api = Api::start().await;
    let mut slow = Vec::new();
    // Several times what batches may hold together, and more than are worked on at a time.
    for _ in 0..20 {
        let mut stream = TcpStream::connect(api.address).await.unwrap();
        let head = format!(
            "POST /v1/transfers/batch HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {}\r\ncontent-length: 8000000\r\n\r\n",
            api.write_key
        );
        let body = vec![b'x'; 5_000_000];
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(tokio::spawn(async move {
            // Fails where another one needed the room.
            stream.write_all(&body).await.ok();
            stream
        }));
    }
    let mut arrived = Vec::new();
    for slow in slow {
        arrived.push(slow.await.unwrap());
    }
    let line = |key: String| {
        format!(
            r#"{{"idempotency_key":"{key}","debit_account":"a","credit_account":"b","amount":"1","currency":"USD","description":"{}"}}"#,
            "x".repeat(1_000)
        )
    };
    for number in 0..3 {
        let lines: Vec<String> = (0..1_000)
            .map(|at| line(format!("{number}-{at}")))
            .collect();
        let answer = api
            .post("/v1/transfers/batch", &[], &lines.join("\n"))
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
    assert_eq!(api.commands().await.len(), 3_000);
}
