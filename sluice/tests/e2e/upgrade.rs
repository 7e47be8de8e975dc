//! A database and a log as the version before left them: EVENTS was full, so that the last commits are not published
//! and the last commands not decided; and its processors while the database is brought up to date. `before/` holds a dump of its Postgres and the files of its nats-server.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use sqlx::PgPool;

use crate::process::{eventually, run, run_ok};
use crate::system::System;

/// More than the 4 KiB that EVENTS was left with.
const ROOM: &str = "1000000000";

#[tokio::test]
async fn what_the_version_before_wrote_goes_on() {
    let mut system = System::of_the_version_before().await;
    let unpublished: i64 = scalar(
        &system,
        "SELECT count(*) FROM commits c JOIN partitions p USING (partition) WHERE c.position > p.published",
    )
    .await;
    assert!(unpublished >= 8, "{unpublished} commits wait for EVENTS");
    let (nats, database) = (system.nats.url(), system.database_url.clone());
    let migrate = [
        "migrate",
        "--nats",
        &nats,
        "--database",
        &database,
        "--events-bytes-max",
        ROOM,
    ];
    run_ok(&migrate).await;
    system.admit().await;
    system.start_processor(&[]).await;
    system.start_ingest("127.0.0.1:0").await;
    // Every commit from before is published with the hash that it was committed with, every command is decided.
    system.verify().await;

    let mut client = system.client();
    let late = client.get("/v1/transfers/by-key/late-39").await.expect(200);
    assert_eq!(late["status"], "posted");
    a_retry_gets_its_first_answer(&mut client).await;
    a_refusal_from_before_is_replayed_over_the_log(&system).await;

    client
        .transfer("new", "a0", "a1", "0.01", true)
        .await
        .expect(200);
    system.verify().await;
    let encoders: Vec<i16> =
        sqlx::query_scalar("SELECT DISTINCT encoder FROM commits ORDER BY encoder")
            .fetch_all(&system.database)
            .await
            .unwrap();
    assert_eq!(encoders.first(), Some(&1), "{encoders:?}");
    // Done again, it changes nothing.
    run_ok(&migrate).await;
}

async fn a_retry_gets_its_first_answer(client: &mut crate::http::Client) {
    let cases = [
        (
            "meta-small",
            r#"{"debit_account":"a0","credit_account":"a1","amount":"1.00","currency":"USD","metadata":{"x":1e-25,"y":0.416776807665196328},"description":"ä \"quoted\""}"#,
            "posted",
        ),
        (
            "meta-digits",
            r#"{"debit_account":"a2","credit_account":"a3","amount":"1.00","currency":"USD","metadata":{"x":0.416776807665196328}}"#,
            "posted",
        ),
        (
            "poor",
            r#"{"debit_account":"a4","credit_account":"a5","amount":"5000.00","currency":"USD"}"#,
            "refused",
        ),
        (
            "closed",
            r#"{"debit_account":"a1","credit_account":"a9","amount":"1.00","currency":"USD"}"#,
            "refused",
        ),
    ];
    for (key, body, status) in cases {
        let headers = [("Idempotency-Key", key), ("Prefer", "wait=10")];
        let again = client.post("/v1/transfers", &headers, body).await;
        assert_eq!(
            again.header("Idempotent-Replayed"),
            Some("true"),
            "{again:?}"
        );
        assert_eq!(again.expect(200)["status"], status, "{key}");
    }
}

async fn a_refusal_from_before_is_replayed_over_the_log(system: &System) {
    let line = r#"{"ledger":"demo","idempotency_key":"poor","debit_account":"a4","credit_account":"a5","amount":"5000.00","currency":"USD"}"#;
    let replays = "SELECT count(*) FROM outcomes WHERE kind = 'sluice.transfer.replayed.v1'";
    let before: i64 = scalar(system, replays).await;
    let nats = system.nats_client().await;
    nats.publish("sluice.submit.a4", line.into()).await.unwrap();
    nats.flush().await.unwrap();
    eventually("the replay is decided", async || {
        (scalar(system, replays).await > before).then_some(())
    })
    .await;
    system.drained().await;
    let (mut client, mut path) = (system.client(), "/v1/events".to_owned());
    let mut reasons = Vec::new();
    loop {
        let page = client.get(&path).await.expect(200);
        let events = page["data"].as_array().unwrap();
        if events.is_empty() {
            break;
        }
        reasons.extend(
            events
                .iter()
                .filter(|event| event["type"] == "sluice.transfer.replayed.v1")
                .map(|event| &event["data"]["transfer"])
                .filter(|transfer| transfer["idempotency_key"] == "poor")
                .map(|transfer| transfer["reason"].clone()),
        );
        path = format!("/v1/events?after={}", page["next"].as_str().unwrap());
    }
    // Two of them are from before.
    assert!(reasons.len() >= 3, "{reasons:?}");
    assert!(reasons.iter().all(|reason| reason == "insufficient_funds"));
}

/// Longest that a commit may take while a migration waits for its turn.
const HELD_UP_MAX: Duration = Duration::from_secs(3);

#[tokio::test]
async fn commits_go_on_while_a_migration_waits_for_a_long_reader() {
    let system = System::of_the_version_before().await;
    let mut reader = system.database.begin().await.unwrap();
    sqlx::raw_sql(
        "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ;
         SET LOCAL application_name = 'a long reader';
         SELECT count(*) FROM commits; SELECT count(*) FROM transfers; SELECT count(*) FROM partitions",
    )
    .execute(&mut *reader)
    .await
    .unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let commits = Arc::new(AtomicU64::new(0));
    let writer = tokio::spawn(commit_as_before(
        system.database.clone(),
        Arc::clone(&stop),
        Arc::clone(&commits),
    ));
    let more = async |count: u64| {
        let target = commits.load(Ordering::Relaxed) + count;
        eventually("commits go on", async || {
            (commits.load(Ordering::Relaxed) >= target).then_some(())
        })
        .await;
    };
    let (nats, database) = (system.nats.url(), system.database_url.clone());
    let migrated = tokio::spawn(async move {
        let migrate = ["migrate", "--nats", &nats, "--database", &database];
        run(&[&migrate[..], &["--events-bytes-max", ROOM]].concat()).await
    });
    for _ in 0..3 {
        eventually("the migration waits for a lock", async || {
            let waits = "SELECT count(*) FROM pg_stat_activity
                          WHERE datname = current_database() AND application_name = 'sluice migrate'
                            AND wait_event_type = 'Lock'";
            (scalar(&system, waits).await > 0).then_some(())
        })
        .await;
        more(200).await;
    }
    assert!(!migrated.is_finished());
    reader.rollback().await.unwrap();
    let output = migrated.await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("a long reader of"), "{said}");
    more(10).await;
    stop.store(true, Ordering::Relaxed);
    let longest = writer.await.unwrap();
    assert!(longest < HELD_UP_MAX, "a commit took {longest:?}");
}

/// Commits until it is stopped, each table in the order of a processor; gives the longest time of one.
async fn commit_as_before(
    database: PgPool,
    stop: Arc<AtomicBool>,
    commits: Arc<AtomicU64>,
) -> Duration {
    const COMMIT: &str = "BEGIN;
        SELECT FROM accounts WHERE id = 'a0' FOR NO KEY UPDATE;
        INSERT INTO transfers (id, position, accepted_at, decided_at, amount, ledger, line, partition, exponent,
               debit_account, credit_account, currency, idempotency_key, reason)
        SELECT gen_random_uuid(), 1 + coalesce(max(position), 0), 1, 1, 1, 1, 0, 99, 2, 'a0', 'a1', 'USD', 'k', 'x'
          FROM transfers WHERE partition = 99;
        INSERT INTO outcomes (position, decided_at, ledger, line, partition, kind, data)
        SELECT 1 + coalesce(max(position), 0), 1, 1, 1, 99, 'x', '{}' FROM outcomes WHERE partition = 99;
        INSERT INTO commits (position, first_position, decided_at, epoch, commands, partition, encoder, previous_hash,
               hash)
        SELECT 1 + coalesce(max(position), 0), 1, 1, 1, 1, 99, 1, decode(repeat('00', 32), 'hex'),
               decode(repeat('00', 32), 'hex')
          FROM commits WHERE partition = 99;
        UPDATE partitions SET applied_at = applied_at WHERE partition = 0;
        COMMIT";
    let mut longest = Duration::ZERO;
    while !stop.load(Ordering::Relaxed) {
        let started = Instant::now();
        sqlx::raw_sql(COMMIT).execute(&database).await.unwrap();
        longest = longest.max(started.elapsed());
        commits.fetch_add(1, Ordering::Relaxed);
    }
    longest
}

async fn scalar(system: &System, query: &'static str) -> i64 {
    sqlx::query_scalar(query)
        .fetch_one(&system.database)
        .await
        .unwrap()
}
