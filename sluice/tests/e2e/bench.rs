//! `sluice bench` against servers of the test's own, and what dies in the middle of it.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::process::{Role, eventually};
use crate::system::System;

const SECONDS: u32 = 16;

/// A processor and the nats-server are killed while every connection sends as fast as it is answered.
#[tokio::test]
async fn what_dies_under_full_load_loses_nothing_and_doubles_nothing() {
    let system = System::bare().await;
    let figures = system.path().join("figures.json");
    let seconds = SECONDS.to_string();
    let (nats, monitor) = (system.nats.url(), system.nats.monitor_url());
    let args = [
        "bench",
        "--nats",
        &nats,
        "--nats-monitor",
        &monitor,
        "--database",
        &system.database_url,
        "--accounts",
        "1000",
        "--processors",
        "2",
        "--rate",
        "max",
        "--duration",
        &seconds,
        "--json",
        figures.to_str().unwrap(),
    ];
    // It is ready when the accounts are open and sending begins.
    let (mut bench, ready) = Role::start(system.path(), "bench", &args).await;

    applied(&system, 1000).await;
    let processor = ready["pids"]["processors"][0].as_i64().unwrap();
    let processor = Pid::from_raw(i32::try_from(processor).unwrap());
    kill(processor, Signal::SIGKILL).unwrap();
    applied(&system, 1000).await;
    system.nats.kill().unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    system.nats.restart().await.unwrap();
    applied(&system, 1000).await;

    let status = eventually("the bench ends", async || bench.ended()).await;
    assert!(status.success(), "{}", bench.log());
    let figures: Value = serde_json::from_slice(&std::fs::read(&figures).unwrap()).unwrap();
    assert_eq!(figures["verify"]["clean"], true, "{figures:#}");
    assert_eq!(figures["drained"], true, "{figures:#}");
    assert_eq!(figures["durable"], true, "{figures:#}");
    let (accepted, applied) = (&figures["transfers"], figures["applied"].as_u64().unwrap());
    // What was answered with "outcome unknown" may have been applied too.
    assert!(applied >= accepted.as_u64().unwrap(), "{figures:#}");
    // The 1,000 accounts got their money by a transfer each.
    assert_eq!(transfers(&system).await, applied + 1000);
    system.verify().await;
}

/// Waits until so many more transfers are applied.
async fn applied(system: &System, more: u64) {
    let target = transfers(system).await + more;
    eventually("more transfers are applied", async || {
        (transfers(system).await >= target).then_some(())
    })
    .await;
}

async fn transfers(system: &System) -> u64 {
    let count: i64 = sqlx::query_scalar("SELECT count(*) FROM transfers")
        .fetch_one(&system.database)
        .await
        .unwrap();
    u64::try_from(count).unwrap()
}
