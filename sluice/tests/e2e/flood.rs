//! More than anything can take: every queue, record, batch and process stays within its named limit.

use std::time::Duration;

use ingest::Limits;
use schemas::Partition;
use worker::Config;

use crate::http::{Client, transfer};
use crate::process::{eventually, memory};
use crate::system::System;

/// Enough for several of the longest records on the way and several full transactions after it.
const MEMORY_MAX: u64 = 256 << 20;

#[tokio::test]
async fn a_flood_stays_within_the_limits_and_nothing_accepted_is_lost() {
    let mut system = System::start().await;
    system.open(&["a", "b"]).await;
    let processor = system.processors.pop().unwrap();
    assert!(processor.stop().await.success());
    let (limits, batch) = (Limits::default(), Config::default());
    let before = commands(&system).await;

    // The log stands still, so that everything has to wait for it; all commands are of one partition.
    system.nats.freeze().unwrap();
    let floods: Vec<_> = (0..limits.batches_max + 4)
        .map(|number| tokio::spawn(flood(system.client(), number, limits.batch_lines_max)))
        .collect();
    fill_the_queue(&system).await;
    system.nats.thaw().unwrap();

    let (mut accepted, mut overloaded) = (0, 0);
    for flood in floods {
        match flood.await.unwrap() {
            Some(lines) => accepted += lines,
            None => overloaded += 1,
        }
    }
    assert!(
        overloaded >= 4,
        "{overloaded} batches were told to come back"
    );
    assert!(
        accepted > limits.queue_commands_max,
        "{accepted} commands do not fill a queue of {}",
        limits.queue_commands_max
    );
    let ingest = system.ingest.as_ref().unwrap().pid();
    assert!(
        memory(ingest, "VmHWM:") < MEMORY_MAX,
        "{}",
        memory(ingest, "VmHWM:")
    );

    let records = commands(&system).await.split_off(before.len());
    let lines: usize = records.iter().map(|(lines, _)| lines).sum();
    assert!(lines >= accepted, "{lines} of {accepted} stand on the log");
    let longest = records.iter().map(|(lines, _)| *lines).max().unwrap();
    assert_eq!(longest, limits.record_commands_max);
    let log = system.log().await;
    let bytes_max = log.payload_bytes_max();
    assert!(records.iter().all(|(_, bytes)| *bytes <= bytes_max));

    system.start_processor(&[]).await;
    system.drained().await;
    let largest: i32 = sqlx::query_scalar("SELECT max(commands) FROM commits")
        .fetch_one(&system.database)
        .await
        .unwrap();
    assert_eq!(usize::try_from(largest).unwrap(), batch.batch_commands_max);
    for number in 0..log.partitions() {
        let mut scan = log.scan_events(Partition(number), 0).await.unwrap();
        while let Some(record) = scan.next().await.unwrap() {
            assert!(record.body.len() <= bytes_max, "{}", record.body.len());
        }
    }
    let processor = system.processors[0].pid();
    assert!(
        memory(processor, "VmHWM:") < MEMORY_MAX,
        "{}",
        memory(processor, "VmHWM:")
    );
    system.verify().await;
}

/// Sends single requests until one is told that the queue is full.
async fn fill_the_queue(system: &System) {
    let mut number = 0;
    let full = eventually("the queue is full", async || {
        let key = format!("single-{number}");
        number += 1;
        let (headers, body) = (
            [("idempotency-key", key.as_str())],
            transfer("a", "b", "0.01"),
        );
        let mut client = system.client();
        let sent = client.send("POST", "/v1/transfers", &headers, &body);
        // Without an answer it waits in the queue, which is not full yet.
        let answered = tokio::time::timeout(Duration::from_millis(50), sent).await;
        answered.ok().map(Result::unwrap)
    })
    .await;
    assert!(full.header("retry-after").is_some());
    assert_eq!(full.expect(503)["code"], "queue_full");
}

/// One batch of the longest kind; gives how many of its lines were accepted, or nothing if it was to come back.
async fn flood(mut client: Client, number: usize, lines: usize) -> Option<usize> {
    let body: Vec<String> = (0..lines)
        .map(|line| {
            format!(
                r#"{{"idempotency_key":"flood-{number}-{line}","debit_account":"a","credit_account":"b","amount":"0.01","currency":"USD"}}"#
            )
        })
        .collect();
    let headers = [("content-type", "application/x-ndjson")];
    let answer = client
        .post("/v1/transfers/batch", &headers, &body.join("\n"))
        .await;
    if answer.status == 503 {
        assert_eq!(answer.expect(503)["code"], "overloaded");
        return None;
    }
    assert_eq!(answer.status, 200, "{answer:?}");
    let accepted = answer
        .text
        .lines()
        .filter(|line| line.contains(r#""status":"pending""#))
        .count();
    Some(accepted)
}

/// Lines and bytes of each command record, by partition.
async fn commands(system: &System) -> Vec<(usize, usize)> {
    let log = system.log().await;
    let mut records = Vec::new();
    for number in 0..log.partitions() {
        let mut scan = log.scan_commands(Partition(number), 0).await.unwrap();
        while let Some(record) = scan.next().await.unwrap() {
            let lines = record.body.split(|byte| *byte == b'\n');
            records.push((lines.count(), record.body.len(), record.sequence));
        }
    }
    records.sort_unstable_by_key(|(_, _, sequence)| *sequence);
    let sizes = records.into_iter().map(|(lines, bytes, _)| (lines, bytes));
    sizes.collect()
}
