//! Records as a publisher may send them, not as our programs do.
#![cfg(test)]

use std::time::Duration;

use schemas::Partition;
use stack::testing::RawNats;
use streams::{Log, Settings};
use tokio::time::timeout;

const PARTITION: Partition = Partition(0);
const PATIENCE: Duration = Duration::from_secs(20);

/// Header blocks, and whether they can be read.
const BLOCKS: &[(&[u8], bool)] = &[
    (b"NATS/1.0\r\nA: one\r\n\r\n", true),
    // Latin-1.
    (b"NATS/1.0\r\nA: caf\xe9\r\n\r\n", false),
    // A bare carriage return panics in the client library.
    (b"NATS/1.0\r\nA: one\rtwo\r\n\r\n", false),
    (b"NATS/1.0\r\nA: one\rtwo\r\n\r\n", false),
    (b"NATS/1.0\r\nno colon\r\n\r\n", false),
    (b"NATS/1.0\r\nA b: one\r\n\r\n", false),
    (b"NATS/1.0\r\n: one\r\n\r\n", true),
    (b"NATS/1.0\r\nA: \0\r\n\r\n", true),
    // What the server says in this form is no record; newer ones take the status out before they store it.
    (b"NATS/1.0 100 Idle Heartbeat\r\n\r\n", true),
    (b"NATS/1.0 404 No Messages\r\n\r\n", true),
    (b"NATS/1.0 409 Consumer Deleted\r\n\r\n", true),
    (b"NATS/1.0 abc\r\n\r\n", true),
    (b"NATS/1.0 12345\r\n\r\n", true),
    (b"NATS/1.0", true),
    (b"\r\n", false),
    (b"\xff\xfe", false),
];

struct Bed {
    nats: stack::Nats,
    log: Log,
    raw: RawNats,
}

impl Bed {
    async fn start() -> Self {
        let nats = stack::testing::nats_with(|options| stack::NatsOptions {
            lazy_sync: true,
            ..options
        })
        .await;
        let connection = streams::connect(&nats.url(), "test").await.unwrap();
        let settings = Settings {
            partitions: 1,
            ..Settings::default()
        };
        let log = Log::create(connection, &settings).await.unwrap();
        let raw = RawNats::connect(&nats.url()).unwrap();
        Self { nats, log, raw }
    }

    /// Every block twice, a record without one behind each second of them.
    fn publish(&mut self, subject: &str) -> Vec<bool> {
        let mut readable = Vec::new();
        for (block, can_be_read) in BLOCKS.iter().flat_map(|block| [block, block]) {
            self.raw.publish(subject, Some(block), b"{}").unwrap();
            readable.push(*can_be_read);
            if readable.len() % 3 == 0 {
                self.raw.publish(subject, None, b"{}").unwrap();
                readable.push(true);
            }
        }
        self.raw.flush().unwrap();
        readable
    }
}

#[tokio::test]
async fn a_reader_reads_whatever_was_published() {
    let mut bed = Bed::start().await;
    let mut reader = bed.log.read(PARTITION, "reader", 0).await.unwrap();
    let readable = bed.publish("sluice.cmd.0");
    for (sequence, readable) in (1..).zip(&readable) {
        let record = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
        assert_eq!(record.sequence, sequence);
        assert_eq!(
            record.unreadable.is_none(),
            *readable,
            "{:?}",
            record.headers
        );
        assert_eq!(&record.body[..], b"{}");
        let stored_at = bed.log.stored_at(PARTITION, sequence).await.unwrap();
        assert_eq!(stored_at, Some(record.stored_at));
        let next = bed.log.next_after(PARTITION, sequence - 1).await.unwrap();
        assert_eq!(next, Some((sequence, record.stored_at)));
    }
    bed.raw.publish("sluice.cmd.0", None, b"last").unwrap();
    let last = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
    assert_eq!(&last.body[..], b"last");
}

#[tokio::test]
async fn a_scan_reads_whatever_was_published_to_its_end() {
    let mut bed = Bed::start().await;
    let commands = bed.publish("sluice.cmd.0");
    let events = bed.publish("sluice.evt.0");
    for (expected, mut scan) in [
        (commands, bed.log.scan_commands(PARTITION, 0).await.unwrap()),
        (events, bed.log.scan_events(PARTITION, 0).await.unwrap()),
    ] {
        let mut readable = Vec::new();
        while let Some(record) = timeout(PATIENCE, scan.next()).await.unwrap().unwrap() {
            readable.push(record.unreadable.is_none());
        }
        assert_eq!(readable, expected);
    }
    // None has headers of ours.
    let last = bed.log.last_published(PARTITION).await.unwrap();
    assert_eq!((last.commit, last.foreign()), (None, Some(last.sequence)));
}

#[tokio::test]
async fn hostile_records_do_not_touch_the_connection_that_publishes() {
    let mut bed = Bed::start().await;
    let mut reader = bed.log.read(PARTITION, "reader", 0).await.unwrap();
    let hostile = b"NATS/1.0\r\nA: one\rtwo\r\n\r\n";
    for sequence in 1..=3 {
        bed.raw.publish("sluice.cmd.0", Some(hostile), b"").unwrap();
        let record = timeout(PATIENCE, reader.next()).await.unwrap().unwrap();
        assert_eq!(record.sequence, sequence);
    }
    assert!(bed.log.is_connected());
    assert_eq!(bed.log.usage().await.unwrap().len(), 3);
}

#[tokio::test]
async fn a_hostile_reply_does_not_end_the_listening() {
    let mut bed = Bed::start().await;
    let mut replies = bed.log.replies().await.unwrap();
    let subject = replies.to().subject().to_owned();
    let hostile = b"NATS/1.0\r\nA: one\rtwo\r\n\r\n";
    bed.raw.publish(&subject, Some(hostile), b"").unwrap();
    bed.raw.flush().unwrap();
    let sound = b"NATS/1.0\r\nSluice-Record: r\r\nSluice-Position: 1\r\n\r\n";
    // What is sent while the connection is away is lost.
    let reply = async {
        loop {
            bed.raw.publish(&subject, Some(sound), b"{}").unwrap();
            let patience = Duration::from_millis(100);
            if let Ok(reply) = timeout(patience, replies.next()).await {
                return reply;
            }
        }
    };
    assert_eq!(timeout(PATIENCE, reply).await.unwrap().record, "r");
    drop(bed.nats);
}
