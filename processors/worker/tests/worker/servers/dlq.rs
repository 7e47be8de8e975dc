//! DLQ holds copies: it never stands in the way of money, and gets each dead letter once.

use std::collections::BTreeMap;

use async_nats::HeaderMap;
use schemas::{Partition, Position};
use worker::Config;

use super::bed::{Servers, open, transfer, until};

/// How often each dead letter stands on DLQ.
async fn copies(servers: &Servers) -> BTreeMap<String, u32> {
    let stream = servers.jetstream().get_stream(streams::DLQ).await.unwrap();
    let state = &stream.cached_info().state;
    let mut copies = BTreeMap::new();
    if state.messages == 0 {
        return copies;
    }
    for sequence in state.first_sequence..=state.last_sequence {
        let record = stream.get_raw_message(sequence).await.unwrap();
        let id = record.headers.get("Nats-Msg-Id").unwrap().to_string();
        *copies.entry(id).or_default() += 1;
    }
    copies
}

async fn limit(servers: &Servers, bytes_max: i64) {
    let jetstream = servers.jetstream();
    let stream = jetstream.get_stream(streams::DLQ).await.unwrap();
    let mut config = stream.cached_info().config.clone();
    config.max_bytes = bytes_max;
    jetstream.update_stream(config).await.unwrap();
}

#[tokio::test]
async fn a_full_dlq_holds_nothing_up_and_gets_each_dead_letter_once_when_there_is_room() {
    let servers = Servers::start(1).await;
    limit(&servers, 1).await;
    let role = servers.process(Config::default());
    let opened = servers
        .append(0, &[open("world", true), open("alice", false)])
        .await;
    servers.applied(&[(0, opened)]).await;
    let mut last = 0;
    // More than may wait to be published.
    for number in 0..20 {
        let line = transfer(&format!("k{number}"), "world", "alice", 1);
        last = servers.append(0, &[line, "{".to_owned()]).await;
        servers.applied(&[(0, last)]).await;
    }
    until(async || {
        let published = servers.log.last_published(Partition(0)).await.unwrap();
        published.position().map(Position::sequence) == Some(last)
    })
    .await;
    assert_eq!(copies(&servers).await.len(), 0);

    limit(&servers, 1 << 20).await;
    let behind = "SELECT count(*) FROM partitions WHERE dlq_published < applied";
    until(async || servers.number(behind).await == 0).await;
    let copies = copies(&servers).await;
    assert_eq!(copies.len(), 20);
    assert!(copies.values().all(|times| *times == 1), "{copies:?}");
    role.stop().await;
}

#[tokio::test]
async fn copies_of_the_version_before_count() {
    let servers = Servers::start(1).await;
    let jetstream = servers.jetstream();
    let stream = jetstream.get_stream(streams::DLQ).await.unwrap();
    let mut config = stream.cached_info().config.clone();
    config.subjects = vec!["sluice.dlq.*".to_owned()];
    jetstream.update_stream(config).await.unwrap();
    for line in 0..2 {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("dlq.process.0.1.{line}"));
        let sent = jetstream.publish_with_headers("sluice.dlq.process", headers, "{".into());
        sent.await.unwrap().await.unwrap();
    }
    let settings = streams::Settings {
        partitions: 1,
        ..streams::Settings::default()
    };
    let connection = streams::connect(&servers.url(), "migrate").await.unwrap();
    streams::Log::create(connection, &settings).await.unwrap();

    let role = servers.process(Config::default());
    let lines: Vec<String> = (0..3).map(|_| "{".to_owned()).collect();
    servers.append(0, &lines).await;
    let behind = "SELECT count(*) FROM partitions WHERE dlq_published < 1";
    until(async || servers.number(behind).await == 0).await;
    // A record of somebody else's between ours.
    let sent = jetstream.publish("sluice.dlq.process.0", "by hand".into());
    sent.await.unwrap().await.unwrap();
    let after = servers.append(0, &["{".to_owned()]).await;
    until(async || servers.number("SELECT dlq_published FROM partitions").await == 2).await;
    role.stop().await;

    let mut stream = jetstream.get_stream(streams::DLQ).await.unwrap();
    let stored = stream.info().await.unwrap().state.messages;
    // Two from before, one of the three, one by hand, the last one.
    assert_eq!(stored, 5);
    let last = stream.get_raw_message(5).await.unwrap();
    let id = last.headers.get("Nats-Msg-Id").unwrap().as_str();
    assert_eq!(id, format!("dlq.process.0.{after}.0"));
}
