//! Following EVENTS of a real nats-server.
#![cfg(test)]

use std::time::Duration;

use bytes::Bytes;
use schemas::{Partition, Position};
use streams::{EventRecord, Follow, Log, Settings};

const PARTITION: Partition = Partition(0);
const QUIET: Duration = Duration::from_secs(1);

async fn events(count: i64) -> (stack::Nats, Log) {
    let nats = stack::testing::nats().await;
    let connection = streams::connect(&nats.url(), "test").await.unwrap();
    let log = Log::create(connection, &Settings::default()).await.unwrap();
    for number in 1..=count {
        publish(&log, number).await;
    }
    (nats, log)
}

/// At every tenth position.
async fn publish(log: &Log, number: i64) {
    let last = log.last_published(PARTITION).await.unwrap();
    let position = Position::from_number(10 * number);
    let record = EventRecord {
        partition: PARTITION,
        first_position: position,
        position,
        count: 1,
        encoder: 1,
        previous_hash: [0; 32],
        hash: hash(number),
        committed_at: None,
        body: Bytes::from_static(b"{}\n"),
    };
    log.publish(&record, last.sequence).await.unwrap();
}

/// Different for each.
fn hash(number: i64) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..8].copy_from_slice(&number.to_le_bytes());
    hash
}

async fn next(follow: &mut Follow) -> Option<i64> {
    let record = follow.next(QUIET).await.unwrap()?;
    record.position().map(Position::number)
}

#[tokio::test]
async fn it_begins_behind_any_position() {
    let (_nats, log) = events(7).await;
    for after in 0..=75 {
        let position = Position::from_number(after);
        let mut follow = log.follow_events(PARTITION, position).await.unwrap();
        for expected in (after / 10 + 1)..=7 {
            assert_eq!(
                next(&mut follow).await,
                Some(10 * expected),
                "after {after}"
            );
        }
    }
}

#[tokio::test]
async fn quiet_is_not_away() {
    let (nats, log) = events(1).await;
    let start = Position::default();
    let mut follow = log.follow_events(PARTITION, start).await.unwrap();
    assert_eq!(next(&mut follow).await, Some(10));
    assert_eq!(next(&mut follow).await, None);
    publish(&log, 2).await;
    assert_eq!(next(&mut follow).await, Some(20));
    nats.kill().unwrap();
    let lost = follow.next(QUIET).await;
    assert!(lost.is_err(), "{lost:?}");
    nats.restart().await.unwrap();
    publish(&log, 3).await;
    assert_eq!(next(&mut follow).await, Some(30));
}
