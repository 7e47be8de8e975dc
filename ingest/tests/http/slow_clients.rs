//! Clients that send half of something, or too slowly, or stay for ever.

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
