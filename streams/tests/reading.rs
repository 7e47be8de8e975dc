//! Reading from a real nats-server what is more than fits.
#![cfg(test)]

use bytes::Bytes;
use schemas::Partition;
use streams::{CommandRecord, Log, RecordIds, Settings};

const PARTITION: Partition = Partition(0);
const RECORDS: u64 = 60;
const RECORD_BYTES: usize = 1 << 20;
/// A reader asks for 8 MiB at a time, or for one record of the longest kind.
const WAITING_RECORDS_MAX: u64 = 9;

/// A nats-server with a backlog of long records.
async fn backlog() -> (stack::Nats, async_nats::Client, Log) {
    let nats = stack::testing::nats().await;
    let connection = streams::connect(&nats.url(), "test").await.unwrap();
    let settings = Settings {
        partitions: 1,
        ..Settings::default()
    };
    let log = Log::create(connection.clone(), &settings).await.unwrap();
    let ids = RecordIds::random();
    for _ in 0..RECORDS {
        let record = CommandRecord {
            partition: PARTITION,
            id: ids.next(),
            body: Bytes::from(vec![b'x'; RECORD_BYTES]),
            count: 1,
            reply_to: None,
        };
        log.append(&record).await.unwrap();
    }
    (nats, connection.client(), log)
}

#[tokio::test]
async fn a_slow_reader_holds_a_bounded_part_of_a_backlog() {
    let (_nats, client, log) = backlog().await;
    let mut reader = log.read(PARTITION, "slow", 0).await.unwrap();
    let jetstream = async_nats::jetstream::new(client);
    let stream = jetstream.get_stream("COMMANDS").await.unwrap();
    let mut most = 0;
    for taken in 1..=RECORDS {
        assert_eq!(reader.next().await.unwrap().sequence, taken);
        // Time for what was asked for to arrive.
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let consumer = stream.consumer_info("slow").await.unwrap();
        most = most.max(consumer.delivered.consumer_sequence - taken);
    }
    assert!(most <= WAITING_RECORDS_MAX, "{most} records wait");
    assert!(most > 1, "a reader reads ahead");
}

#[tokio::test]
async fn a_scan_goes_on_after_the_server_was_killed() {
    let (nats, _client, log) = backlog().await;
    let mut scan = log.scan_commands(PARTITION, 0).await.unwrap();
    let mut sequences = Vec::new();
    while let Some(record) = scan.next().await.unwrap() {
        sequences.push(record.sequence);
        if record.sequence == RECORDS / 2 {
            nats.kill().unwrap();
            nats.restart().await.unwrap();
        }
    }
    assert_eq!(sequences, (1..=RECORDS).collect::<Vec<_>>());
}
