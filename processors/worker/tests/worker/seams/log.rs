//! The log, as the loop needs it.

use std::time::Duration;

use bytes::Bytes;
use schemas::{Encoder, LinePosition, Partition, Position, Timestamp};
use streams::{Copied, DeadLetterRecord, EventRecord, PublishError, ReadError};
use tokio::time::timeout;
use worker::simulation::{Feed as _, Log};

use super::bench::Bench;

const FIRST: Partition = Partition(0);
const SECOND: Partition = Partition(1);
/// A server answers within this, or the test fails.
const PATIENCE: Duration = Duration::from_secs(20);

super::contract! {
    records_of_a_partition_come_in_order_from_where_they_are_asked_for;
    a_stolen_record_is_noticed;
    a_deleted_consumer_is_lost;
    a_commit_is_published_behind_the_one_before;
    a_second_copy_is_never_stored;
    an_emptied_stream_has_no_last_commit;
    a_record_of_somebody_elses_does_not_hide_the_last_commit;
    a_dead_letter_is_copied_once_and_in_order;
}

async fn records_of_a_partition_come_in_order_from_where_they_are_asked_for(bench: impl Bench) {
    let log = bench.log();
    let mut sequences = Vec::new();
    for number in 0..6 {
        let partition = [FIRST, SECOND][number % 2];
        sequences.push(
            bench
                .append(partition, ["{}", "{\"a\":1}"][number % 2])
                .await,
        );
    }
    let mut feed = log.read(FIRST, "reader", sequences[0]).await.unwrap();
    for expected in [sequences[2], sequences[4]] {
        let record = timeout(PATIENCE, feed.next()).await.unwrap().unwrap();
        assert_eq!((record.sequence, &record.body[..]), (expected, &b"{}"[..]));
        assert_eq!(record.schema, None);
        let stored_at = Some(record.stored_at);
        assert_eq!(log.stored_at(FIRST, expected).await.unwrap(), stored_at);
        assert_eq!(log.stored_at(SECOND, expected).await.unwrap(), None);
        let next = log.next_after(FIRST, expected - 1).await.unwrap();
        assert_eq!(next, Some((expected, record.stored_at)));
    }
    feed.acknowledge().await.unwrap();
    assert!(feed.try_next().unwrap().is_none());
    assert_eq!(log.next_after(FIRST, sequences[4]).await.unwrap(), None);
    assert_eq!(log.stored_at(FIRST, 99).await.unwrap(), None);
    let later = bench.append(FIRST, "{}").await;
    let record = timeout(PATIENCE, feed.next()).await.unwrap().unwrap();
    assert_eq!(record.sequence, later);
}

async fn a_stolen_record_is_noticed(bench: impl Bench) {
    let log = bench.log();
    let mut feed = log.read(FIRST, "reader", 0).await.unwrap();
    let mut expected = bench.append(FIRST, "{}").await;
    loop {
        match timeout(PATIENCE, feed.next()).await.unwrap() {
            // Never past a record that somebody else got.
            Ok(record) => assert_eq!(record.sequence, expected),
            Err(ReadError::Stolen(consumer)) => {
                assert_eq!(consumer, "reader");
                break;
            }
            Err(error) => panic!("{error}"),
        }
        expected += 1;
        bench.append(FIRST, "{}").await;
        bench.steal("reader").await;
        bench.append(FIRST, "{}").await;
    }
    let mut again = log
        .read(FIRST, "second-reader", expected - 1)
        .await
        .unwrap();
    let record = timeout(PATIENCE, again.next()).await.unwrap().unwrap();
    assert_eq!(record.sequence, expected);
}

async fn a_deleted_consumer_is_lost(bench: impl Bench) {
    let log = bench.log();
    let mut feed = log.read(FIRST, "reader", 0).await.unwrap();
    bench.append(FIRST, "{}").await;
    timeout(PATIENCE, feed.next()).await.unwrap().unwrap();
    bench.delete_consumer("reader").await;
    let lost = timeout(PATIENCE, feed.next()).await.unwrap();
    assert!(
        matches!(&lost, Err(ReadError::Lost { consumer, .. }) if consumer == "reader"),
        "{lost:?}"
    );
}

async fn a_commit_is_published_behind_the_one_before(bench: impl Bench) {
    let log = bench.log();
    assert_eq!(log.last_published(FIRST).await.unwrap().commit, None);
    assert!(is_wrong_last(&log, &event_record(FIRST, 1), 3).await);
    let first = log.publish(&event_record(FIRST, 1), 0).await.unwrap();
    log.publish(&event_record(SECOND, 2), 0).await.unwrap();
    let newer = event_record(FIRST, 3);
    assert!(is_wrong_last(&log, &newer, 0).await);
    let last = log.publish(&newer, first).await.unwrap();
    assert!(is_wrong_last(&log, &event_record(FIRST, 4), first).await);
    let published = log.last_published(FIRST).await.unwrap().commit.unwrap();
    assert_eq!(
        (published.sequence, published.position, published.hash),
        (last, newer.position, newer.hash)
    );
}

async fn a_second_copy_is_never_stored(bench: impl Bench) {
    let log = bench.log();
    let record = event_record(FIRST, 1);
    let first = log.publish(&record, 0).await.unwrap();
    assert!(is_wrong_last(&log, &record, 0).await);
    let last = log.last_published(FIRST).await.unwrap().commit.unwrap();
    assert_eq!((last.sequence, last.hash), (first, record.hash));
}

async fn an_emptied_stream_has_no_last_commit(bench: impl Bench) {
    let log = bench.log();
    let first = log.publish(&event_record(FIRST, 1), 0).await.unwrap();
    bench.empty_events().await;
    assert_eq!(log.last_published(FIRST).await.unwrap().commit, None);
    assert!(is_wrong_last(&log, &event_record(FIRST, 2), first).await);
    // The same commit again, and at once: it is stored.
    assert!(log.publish(&event_record(FIRST, 1), 0).await.unwrap() > first);
    let last = log.last_published(FIRST).await.unwrap().commit.unwrap();
    assert_eq!(last.hash, event_record(FIRST, 1).hash);
}

async fn a_record_of_somebody_elses_does_not_hide_the_last_commit(bench: impl Bench) {
    let log = bench.log();
    bench.publish_foreign(FIRST, 1).await;
    let last = log.last_published(FIRST).await.unwrap();
    assert_eq!((last.commit, last.foreign()), (None, Some(last.sequence)));
    let first = event_record(FIRST, 1);
    assert!(is_wrong_last(&log, &first, 0).await);
    let mut after = log.publish(&first, last.sequence).await.unwrap();
    // More than one window, two windows, and behind records of another partition.
    for (position, foreign) in [(2, 1), (3, 70), (4, 300)] {
        let other = log.last_published(SECOND).await.unwrap().sequence;
        let between = event_record(SECOND, position);
        log.publish(&between, other).await.unwrap();
        bench.publish_foreign(FIRST, foreign).await;
        let last = log.last_published(FIRST).await.unwrap();
        let commit = last.commit.unwrap();
        let before = event_record(FIRST, position - 1);
        assert_eq!((commit.sequence, commit.hash), (after, before.hash));
        assert_eq!(last.position(), Some(before.position));
        assert_eq!(last.foreign(), Some(last.sequence));
        let next = event_record(FIRST, position);
        assert!(is_wrong_last(&log, &next, after).await);
        after = log.publish(&next, last.sequence).await.unwrap();
    }
    let last = log.last_published(FIRST).await.unwrap();
    assert_eq!((last.sequence, last.foreign()), (after, None));
}

async fn a_dead_letter_is_copied_once_and_in_order(bench: impl Bench) {
    let log = bench.log();
    let letter = |partition, line, body| DeadLetterRecord {
        at: LinePosition {
            partition,
            position: Position::new(0, 7),
            line,
        },
        whole: false,
        recorded_at: Timestamp::default(),
        reason: "json_malformed".to_owned(),
        detail: "line\nbreak".to_owned(),
        body,
    };
    let empty = Copied {
        sequence: 0,
        at: None,
    };
    assert_eq!(log.dead_letters_copied(FIRST).await.unwrap(), empty);
    let first = letter(FIRST, 0, Bytes::from_static(b"{"));
    let sequence = log.publish_dead_letter(&first, 0).await.unwrap();
    // Recognised by its id for a while, then by what it expects to stand last.
    let late = async {
        loop {
            match log.publish_dead_letter(&first, 0).await {
                Ok(again) => assert_eq!(again, sequence),
                Err(PublishError::WrongLast) => break,
                Err(error) => panic!("{error}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(200), late).await.unwrap();
    let other = letter(SECOND, 9, Bytes::new());
    log.publish_dead_letter(&other, 0).await.unwrap();
    let second = letter(FIRST, 1, Bytes::from_static(b"\xff\0"));
    let sequence = log.publish_dead_letter(&second, sequence).await.unwrap();
    let whole = Bytes::from(vec![b'x'; log.payload_bytes_max() + 1]);
    let cut = letter(FIRST, 2, whole);
    let sequence = log.publish_dead_letter(&cut, sequence).await.unwrap();
    let copied = Copied {
        sequence,
        at: Some(cut.at),
    };
    assert_eq!(log.dead_letters_copied(FIRST).await.unwrap(), copied);
    assert_eq!(bench.dead_letters().await, 4);
}

async fn is_wrong_last<L: Log>(log: &L, record: &EventRecord, after: u64) -> bool {
    matches!(
        log.publish(record, after).await,
        Err(PublishError::WrongLast)
    )
}

fn event_record(partition: Partition, position: u64) -> EventRecord {
    let position = Position::new(0, position);
    let body = Bytes::from(format!("{position} of {partition}\n"));
    EventRecord {
        partition,
        first_position: position,
        position,
        count: 1,
        encoder: Encoder::NEWEST.number(),
        previous_hash: [0; 32],
        committed_at: None,
        hash: journal::link(&[0; 32], &body),
        body,
    }
}
