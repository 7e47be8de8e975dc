//! Processes and servers that die in the middle of everything.

use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::http::transfer;
use crate::load::{Load, check_promises};
use crate::process::eventually;
use crate::system::System;

const ACCOUNTS: &[&str] = &["a", "b", "c", "d", "e", "f", "g", "h"];

#[tokio::test]
async fn a_killed_ingest_loses_nothing_that_it_promised() {
    let mut system = System::start().await;
    system.open(ACCOUNTS).await;
    let load = Load::start(&system, 8, ACCOUNTS);
    load.progress(300).await;
    let address = system.api_url.strip_prefix("http://").unwrap().to_owned();
    system.ingest.as_mut().unwrap().kill();
    system.start_ingest(&address).await;
    load.progress(300).await;
    check_promises(&system, &load.stop().await).await;
}

#[tokio::test]
async fn a_killed_processor_is_replaced_and_nothing_is_applied_twice() {
    let mut system = System::start().await;
    system.open(ACCOUNTS).await;
    let load = Load::start(&system, 8, ACCOUNTS);
    for _ in 0..3 {
        load.progress(200).await;
        system.processors[0].kill();
        system.processors.clear();
        system.start_processor(&[]).await;
    }
    load.progress(200).await;
    check_promises(&system, &load.stop().await).await;
}

#[tokio::test]
async fn a_killed_nats_server_loses_nothing_and_needs_no_restart_of_ours() {
    let system = System::start().await;
    system.open(ACCOUNTS).await;
    let load = Load::start(&system, 8, ACCOUNTS);
    for _ in 0..2 {
        load.progress(200).await;
        system.nats.kill().unwrap();
        system.nats.restart().await.unwrap();
    }
    load.progress(200).await;
    check_promises(&system, &load.stop().await).await;
}

#[tokio::test]
async fn a_killed_postgres_stops_no_transfer_from_being_accepted() {
    let mut system = System::with_own_postgres().await;
    system.start_ingest("127.0.0.1:0").await;
    system.start_processor(&[]).await;
    system.open(ACCOUNTS).await;
    let load = Load::start(&system, 8, ACCOUNTS);
    load.progress(200).await;
    system.postgres.as_ref().unwrap().kill().unwrap();
    // The log goes on without it.
    load.progress(200).await;
    let mut client = system.client();
    assert_eq!(client.get("/v1/accounts/a").await.status, 503);
    let ready = client.get("/readyz").await.expect(200);
    assert_eq!(ready["degraded"], serde_json::json!(["postgres"]));
    system.postgres.as_ref().unwrap().restart().await.unwrap();
    load.progress(200).await;
    check_promises(&system, &load.stop().await).await;
}

#[tokio::test]
async fn without_the_log_transfers_are_refused_at_once() {
    let system = System::start().await;
    system.open(&["a", "b"]).await;
    let mut client = system.client();
    system.nats.kill().unwrap();
    eventually("ingest has noticed", async || {
        (client.get("/readyz").await.status == 503).then_some(())
    })
    .await;
    let asked = Instant::now();
    let answer = client.transfer("n", "a", "b", "1.00", false).await;
    assert!(answer.header("retry-after").is_some());
    assert_eq!(answer.expect(503)["code"], "log_unavailable");
    assert!(asked.elapsed() < Duration::from_secs(2));
    system.nats.restart().await.unwrap();
    eventually("the same key is accepted", async || {
        let answer = client.transfer("n", "a", "b", "1.00", true).await;
        (answer.status == 200).then_some(())
    })
    .await;
    assert_eq!(client.balance("a").await, "999.00");
    system.verify().await;
}

/// A processor is stopped inside its open transaction; another takes over; the first one wakes up.
#[tokio::test]
async fn a_zombie_is_fenced() {
    let mut system = System::bare().await;
    system.start_ingest("127.0.0.1:0").await;
    let failpoint = system.path().join("standstill");
    let reached = failpoint.with_extension("reached");
    system
        .start_processor(&["--failpoint", failpoint.to_str().unwrap()])
        .await;
    system.open(&["a", "b"]).await;
    std::fs::write(&failpoint, "").unwrap();
    let mut client = system.client();
    client
        .transfer("z", "a", "b", "1.00", false)
        .await
        .expect(202);
    eventually("the processor stands still", async || {
        reached.exists().then_some(())
    })
    .await;
    system.processors[0].signal(Signal::SIGSTOP);

    system.start_processor(&[]).await;
    let stopped = Instant::now();
    eventually("another processor has applied it", async || {
        (client.get("/v1/transfers/by-key/z").await.status == 200).then_some(())
    })
    .await;
    assert!(
        stopped.elapsed() < Duration::from_secs(15),
        "{:?}",
        stopped.elapsed()
    );

    std::fs::remove_file(&reached).unwrap();
    system.processors[0].signal(Signal::SIGCONT);
    for n in 0..50 {
        client
            .transfer(&format!("after-{n}"), "a", "b", "1.00", false)
            .await
            .expect(202);
    }
    eventually("all are applied", async || {
        (client.balance("a").await == "949.00").then_some(())
    })
    .await;
    system.verify().await;
    assert_eq!(with_key(&system, "z").await, 1);
}

#[tokio::test]
async fn many_clients_racing_for_one_key_make_one_transfer() {
    let mut system = System::start().await;
    system.open(ACCOUNTS).await;
    let first = system.client();
    system.start_ingest("127.0.0.1:0").await;
    drop(first);
    for (round, same_payer) in [true, false, true, false].into_iter().enumerate() {
        let clients = (0..64usize).map(|number| {
            let mut client = system.client();
            let from = if same_payer {
                "a"
            } else {
                ACCOUNTS[number % 7]
            };
            let key = format!("race-{round}");
            tokio::spawn(async move {
                let headers = [("idempotency-key", key.as_str()), ("prefer", "wait=20")];
                client
                    .post("/v1/transfers", &headers, &transfer(from, "h", "1.00"))
                    .await
            })
        });
        let mut posted = 0;
        for client in clients.collect::<Vec<_>>() {
            let answer = client.await.unwrap();
            match answer.status {
                200 => posted += 1,
                422 => assert_eq!(answer.json()["code"], "idempotency_key_reused"),
                other => panic!("{other}: {answer:?}"),
            }
        }
        assert!(posted >= 1);
        assert_eq!(with_key(&system, &format!("race-{round}")).await, 1);
    }
    assert_eq!(system.client().balance("h").await, "1004.00");
    let deadlocks: i64 = sqlx::query_scalar(
        "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()",
    )
    .fetch_one(&system.database)
    .await
    .unwrap();
    assert_eq!(deadlocks, 0);
    system.verify().await;
}

/// How many transfers have this key.
async fn with_key(system: &System, key: &str) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM transfers WHERE idempotency_key = $1")
        .bind(key)
        .fetch_one(&system.database)
        .await
        .unwrap()
}
