//! What a publisher may send, and what becomes of it.

use std::time::Duration;

use stack::testing::RawNats;
use tokio::time::Instant;
use worker::Config;

use super::bed::{Servers, open, transfer};

const LATIN_1: &[u8] = b"NATS/1.0\r\nSluice-Note: caf\xe9\r\n\r\n";
const BARE_RETURN: &[u8] = b"NATS/1.0\r\nSluice-Note: one\rtwo\r\n\r\n";
/// Unreadable records in a row delay what is behind them by less than this.
const DELAY_MAX: Duration = Duration::from_secs(5);

#[tokio::test]
async fn unreadable_headers_become_dead_letters_and_the_partition_goes_on() {
    let servers = Servers::start(2).await;
    let role = servers.process(Config::default());
    let opened = servers
        .append(0, &[open("world", true), open("alice", false)])
        .await;
    servers.applied(&[(0, opened)]).await;
    let mut raw = RawNats::connect(&servers.url()).unwrap();
    let line = transfer("hostile", "world", "alice", 1);
    for (subject, headers) in [
        ("sluice.cmd.0", LATIN_1),
        ("sluice.cmd.1", BARE_RETURN),
        ("sluice.cmd.0", BARE_RETURN),
    ] {
        raw.publish(subject, Some(headers), line.as_bytes())
            .unwrap();
    }
    raw.flush().unwrap();
    let after = servers
        .append(0, &[transfer("after", "world", "alice", 1)])
        .await;
    servers.applied(&[(0, after), (1, after - 2)]).await;
    role.stop().await;
    let buried = "SELECT count(*) FROM dead_letters WHERE reason = 'headers_malformed'";
    assert_eq!(servers.number(buried).await, 3);
    let kept: Vec<Vec<u8>> =
        sqlx::query_scalar("SELECT headers FROM dead_letters WHERE reason = 'headers_malformed'")
            .fetch_all(&servers.admin)
            .await
            .unwrap();
    assert!(kept.iter().any(|headers| headers == LATIN_1));
    let epochs = "SELECT max(epoch) FROM partitions";
    assert_eq!(servers.number(epochs).await, 1, "nothing was taken over");
}

#[tokio::test]
async fn foreign_text_in_headers_never_makes_our_records_unpublishable() {
    let servers = Servers::start(1).await;
    let role = servers.process(Config::default());
    let mut raw = RawNats::connect(&servers.url()).unwrap();
    let long = "x\"\\".repeat(10_000);
    for headers in [
        "Sluice-Schema: \0".to_owned(),
        format!("Sluice-Schema: {long}"),
        format!("Nats-Msg-Id: {long}\r\nSluice-Reply: sluice.reply.a"),
        "Nats-Msg-Id: a\0\r\nSluice-Reply: sluice.reply.a\0".to_owned(),
    ] {
        let block = format!("NATS/1.0\r\n{headers}\r\n\r\n");
        raw.publish("sluice.cmd.0", Some(block.as_bytes()), b"{}\0\xff")
            .unwrap();
    }
    raw.flush().unwrap();
    servers.applied(&[(0, 4)]).await;
    // The commits are on EVENTS when the partition is given back.
    role.stop().await;
    let published = "SELECT count(*) FROM partitions WHERE published = applied";
    assert_eq!(servers.number(published).await, 1);
    let longest = "SELECT max(length(detail))::bigint FROM dead_letters";
    assert!(servers.number(longest).await <= 200);
    let all = "SELECT count(*) FROM dead_letters";
    assert_eq!(servers.number(all).await, 4);
}

#[tokio::test]
async fn the_headers_of_a_record_are_kept_once_and_up_to_a_limit() {
    let servers = Servers::start(1).await;
    let role = servers.process(Config::default());
    let mut raw = RawNats::connect(&servers.url()).unwrap();
    let mut lines = vec![open("world", true)];
    lines.resize(101, "x".to_owned());
    let block = |text: &str| format!("NATS/1.0\r\nA: {text}\r\n\r\n");
    let long = block(&"long".repeat(15_000));
    let short = block("short");
    let bodies = [lines.join("\n"), String::new(), lines.join("\n")];
    for (headers, body) in [&long, &long, &short].into_iter().zip(&bodies) {
        raw.publish("sluice.cmd.0", Some(headers.as_bytes()), body.as_bytes())
            .unwrap();
    }
    raw.flush().unwrap();
    servers.applied(&[(0, 3)]).await;
    role.stop().await;
    let all = "SELECT count(*) FROM dead_letters";
    assert_eq!(servers.number(all).await, 201);
    let kept: Vec<(i32, Vec<u8>)> = sqlx::query_as(
        "SELECT line, headers FROM dead_letters WHERE headers IS NOT NULL ORDER BY position, line",
    )
    .fetch_all(&servers.admin)
    .await
    .unwrap();
    let cut = &long.as_bytes()[..journal::HEADERS_KEPT_MAX];
    let expected = [(1, cut), (0, cut), (1, short.as_bytes())];
    let expected = expected.map(|(line, headers)| (line, headers.to_vec()));
    assert!(
        kept == expected,
        "{:?}",
        kept.iter()
            .map(|(line, headers)| (line, headers.len()))
            .collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn many_unreadable_records_delay_a_partition_for_seconds_only() {
    let servers = Servers::start(1).await;
    let role = servers.process(Config::default());
    let opened = servers
        .append(0, &[open("world", true), open("alice", false)])
        .await;
    servers.applied(&[(0, opened)]).await;
    let mut raw = RawNats::connect(&servers.url()).unwrap();
    let started = Instant::now();
    for _ in 0..200 {
        raw.publish("sluice.cmd.0", Some(BARE_RETURN), b"{}")
            .unwrap();
    }
    raw.flush().unwrap();
    let after = servers
        .append(0, &[transfer("after", "world", "alice", 1)])
        .await;
    servers.applied(&[(0, after)]).await;
    let took = started.elapsed();
    assert!(took < DELAY_MAX, "took {took:?}");
    role.stop().await;
    let buried = "SELECT count(*) FROM dead_letters WHERE reason = 'headers_malformed'";
    assert_eq!(servers.number(buried).await, 200);
}
