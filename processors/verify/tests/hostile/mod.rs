//! Random and mutated records, published by hand while valid ones flow.

use std::collections::BTreeSet;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sqlx::PgPool;
use stack::testing::{RawNats, fresh_database};
use verify::{Config, Connections, verify};

use crate::history::{PARTITIONS, System, usd};

const HOSTILE: usize = 400;
const VALID: usize = 200;

/// Header blocks of which parts are taken, changed and put together.
const BLOCKS: &[&[u8]] = &[
    b"NATS/1.0\r\nSluice-Schema: cmd.v1\r\nSluice-Count: 1\r\n\r\n",
    b"NATS/1.0\r\nSluice-Reply: sluice.reply.abc\r\nNats-Msg-Id: m\r\n\r\n",
    b"NATS/1.0 503 No Responders\r\n\r\n",
    b"NATS/1.0\r\nA: caf\xe9\r\nB: one\rtwo\r\n folded\r\n\r\n",
    b"NATS/1.0\r\ntraceparent: 00-\0\r\n\r\n",
];

fn mutate(chance: &mut StdRng, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..chance.random_range(0..6) {
        let at = chance.random_range(0..=bytes.len());
        match chance.random_range(0..4) {
            0 => bytes.insert(at, chance.random()),
            1 => bytes.truncate(at),
            2 => {
                let part = BLOCKS[chance.random_range(0..BLOCKS.len())];
                let end = chance.random_range(0..=part.len());
                bytes.splice(at..at, part[..end].iter().copied());
            }
            _ if at < bytes.len() => bytes[at] = [0, 13, 10, 32, 0xe9, 0xff][at % 6],
            _ => {}
        }
    }
    bytes
}

fn block(chance: &mut StdRng) -> Vec<u8> {
    if chance.random_bool(0.2) {
        return (0..chance.random_range(0..64))
            .map(|_| chance.random())
            .collect();
    }
    let block = BLOCKS[chance.random_range(0..BLOCKS.len())].to_vec();
    mutate(chance, block)
}

fn body(chance: &mut StdRng, number: usize) -> Vec<u8> {
    let line = usd(&format!("h{number}"), "alice", "bob", "0.01").to_string();
    match chance.random_range(0..4) {
        0 => Vec::new(),
        1 => (0..chance.random_range(0..200))
            .map(|_| chance.random())
            .collect(),
        2 => vec![b'{'; chance.random_range(0..5_000)],
        _ => mutate(chance, line.into_bytes()),
    }
}

#[tokio::test]
async fn whatever_is_published_every_valid_command_is_decided_and_verify_reads_to_the_end() {
    let seed: u64 = rand::random();
    eprintln!("seed {seed}");
    let mut chance = StdRng::seed_from_u64(seed);
    let system = System::start().await;
    let url = fresh_database().await.url;
    system.live(&url).await;
    let database = PgPool::connect(&url).await.unwrap();
    let worker = system.worker(&url).await;
    let mut raw = RawNats::connect(&system.url()).unwrap();
    let mut valid = BTreeSet::new();
    for number in 0..HOSTILE {
        let subject = format!("sluice.cmd.{}", chance.random_range(0..PARTITIONS));
        let headers = chance.random_bool(0.8).then(|| block(&mut chance));
        let body = body(&mut chance, number);
        raw.publish(&subject, headers.as_deref(), &body).unwrap();
        if number % (HOSTILE / VALID) == 0 {
            // A block that the server itself refuses costs no more than the connection.
            if raw.flush().is_err() {
                raw = RawNats::connect(&system.url()).unwrap();
            }
            let key = format!("v{number}");
            let line = usd(&key, "world", "alice", "1.00").to_string();
            system.append("world", line).await;
            valid.insert(key);
        }
    }
    assert_eq!(valid.len(), VALID);
    let mut raw = RawNats::connect(&system.url()).unwrap();
    let long = "x".repeat(50_000);
    let block = format!("NATS/1.0\r\nSluice-Schema: cmd.v9\r\nA: {long}\r\n\r\n");
    raw.publish("sluice.cmd.0", Some(block.as_bytes()), b"{}")
        .unwrap();
    raw.flush().unwrap();
    worker.stop().await;
    system.work(&url).await;
    let posted: Vec<String> = sqlx::query_scalar(
        "SELECT idempotency_key FROM transfers WHERE reason IS NULL AND idempotency_key LIKE 'v%'",
    )
    .fetch_all(&database)
    .await
    .unwrap();
    assert_eq!(posted.into_iter().collect::<BTreeSet<_>>(), valid);
    let buried = "SELECT count(*) FROM dead_letters WHERE reason = 'headers_malformed'";
    let buried: i64 = sqlx::query_scalar(buried)
        .fetch_one(&database)
        .await
        .unwrap();
    assert!(buried > 0, "no header was hostile");
    let connections = Connections {
        log: system.log.clone(),
        database,
    };
    let report = verify(&connections, &Config::default(), &mut |_| {})
        .await
        .unwrap();
    assert!(report.is_clean(), "{report:#?}");
    let dead_letters = report.checks.iter();
    let dead_letters = dead_letters.filter(|check| check.name == "dead_letters");
    let left_out: Vec<_> = dead_letters
        .flat_map(|check| &check.not_decidable)
        .collect();
    let cut = "dead letters whose record's headers were too long to keep";
    assert_eq!(left_out, [(&cut, &1)]);
}
