//! What stands in the way of a commit on its way to EVENTS, and how one is told.

use schemas::{Partition, Position};
use worker::Config;

use super::bed::{Servers, open, transfer, until};

const PARTITION: Partition = Partition(0);

/// Somebody publishes on the subject of a partition's events.
async fn junk(servers: &Servers) -> u64 {
    let jetstream = servers.jetstream();
    let sent = jetstream.publish("sluice.evt.0", "junk".into());
    sent.await.unwrap().await.unwrap().sequence
}

/// Waits until everything that is applied is published, and says up to where.
async fn published(servers: &Servers) -> i64 {
    let applied = servers.number("SELECT applied FROM partitions").await;
    until(async || {
        let last = servers.log.last_published(PARTITION).await.unwrap();
        last.position().map(Position::number) == Some(applied)
    })
    .await;
    applied
}

async fn limit_events(servers: &Servers, bytes_max: i64) {
    let jetstream = servers.jetstream();
    let stream = jetstream.get_stream(streams::EVENTS).await.unwrap();
    let mut config = stream.cached_info().config.clone();
    config.max_bytes = bytes_max;
    jetstream.update_stream(config).await.unwrap();
}

async fn epoch(servers: &Servers) -> i64 {
    servers.number("SELECT epoch FROM partitions").await
}

async fn stopped(servers: &Servers) -> Option<String> {
    sqlx::query_scalar("SELECT stopped FROM partitions")
        .fetch_one(&servers.admin)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_record_of_somebody_elses_on_events_holds_nothing_up() {
    let servers = Servers::start(1).await;
    // On an empty EVENTS, between two commits, and before a takeover.
    junk(&servers).await;
    let role = servers.process(Config::default());
    let opened = servers
        .append(0, &[open("world", true), open("alice", false)])
        .await;
    servers.applied(&[(0, opened)]).await;
    published(&servers).await;
    for number in 0..3 {
        junk(&servers).await;
        let line = transfer(&format!("k{number}"), "world", "alice", 1);
        let sequence = servers.append(0, &[line]).await;
        servers.applied(&[(0, sequence)]).await;
        published(&servers).await;
    }
    assert_eq!(epoch(&servers).await, 1, "nothing was taken over");
    role.stop().await;
    let last = junk(&servers).await;
    let role = servers.process(Config::default());
    let sequence = servers
        .append(0, &[transfer("after", "world", "alice", 1)])
        .await;
    servers.applied(&[(0, sequence)]).await;
    published(&servers).await;
    let on_events = servers.log.last_published(PARTITION).await.unwrap();
    assert_eq!(
        (on_events.sequence, on_events.foreign()),
        (last + 1, None),
        "one commit stands behind the last foreign record"
    );
    assert_eq!(stopped(&servers).await, None);
    role.stop().await;
}

#[tokio::test]
async fn why_a_commit_is_not_published_is_shown_until_it_is() {
    let servers = Servers::start(1).await;
    limit_events(&servers, 1).await;
    let role = servers.process(Config::default());
    let opened = servers
        .append(0, &[open("world", true), open("alice", false)])
        .await;
    servers.applied(&[(0, opened)]).await;
    let mut why = None;
    until(async || {
        why = stopped(&servers).await;
        why.is_some()
    })
    .await;
    // With the server's own words.
    let why = why.unwrap();
    assert!(why.contains("is not on EVENTS yet"), "{why}");
    assert!(why.contains("the stream EVENTS is full: "), "{why}");
    assert!(why.contains("maximum bytes exceeded"), "{why}");
    // Money goes on meanwhile.
    let sequence = servers
        .append(0, &[transfer("k", "world", "alice", 1)])
        .await;
    servers.applied(&[(0, sequence)]).await;

    limit_events(&servers, 1 << 20).await;
    until(async || stopped(&servers).await.is_none()).await;
    published(&servers).await;
    assert_eq!(epoch(&servers).await, 1, "nothing was taken over");
    role.stop().await;
}
