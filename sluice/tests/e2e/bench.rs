//! `sluice bench` against servers of the test's own, and what dies in the middle of it.

use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

use crate::process::{Role, eventually, run_ok};
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

/// What the bench says of records and commits is what the tables say.
#[tokio::test]
async fn the_figures_tell_every_second_and_how_much_was_done_at_a_time() {
    let system = System::bare().await;
    let (nats, monitor) = (system.nats.url(), system.nats.monitor_url());
    let servers = [
        "--nats",
        &nats,
        "--nats-monitor",
        &monitor,
        "--database",
        &system.database_url,
        "--processors",
        "2",
        "--seed",
        "7",
    ];
    let (figures, said) = short_run(system.path(), &servers).await;
    for part in ["worst second", "records ", "commits ", " statements"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let seconds = figures["seconds"].as_array().unwrap();
    assert_eq!(seconds.len(), 3, "{figures:#}");
    for (number, second) in (0_u64..).zip(seconds) {
        assert_eq!(second["second"].as_u64(), Some(number));
        for stage in ["logged", "applied", "published"] {
            let (p50, max) = (&second[stage]["p50"], &second[stage]["max"]);
            assert!(p50.as_f64().unwrap() <= max.as_f64().unwrap(), "{second:#}");
        }
        let (logged, applied) = (&second["logged"]["p50"], &second["applied"]["p50"]);
        assert!(
            logged.as_f64().unwrap() < applied.as_f64().unwrap(),
            "{second:#}"
        );
    }

    let (records, commits): (i64, i64) = sqlx::query_as(
        "WITH run AS (SELECT partition, position FROM transfers WHERE idempotency_key LIKE 'b7-%')
         SELECT (SELECT count(*) FROM (SELECT DISTINCT partition, position FROM run) AS records),
                (SELECT count(*)
                   FROM commits c
                  WHERE EXISTS (SELECT
                                  FROM run
                                 WHERE run.partition = c.partition
                                   AND run.position BETWEEN c.first_position AND c.position))",
    )
    .fetch_one(&system.database)
    .await
    .unwrap();
    let number = |name: &str| figures[name].as_f64().unwrap();
    let applied = number("applied");
    assert_eq!(figures["applied"].as_u64(), Some(900));
    assert_eq!(figures["records"].as_i64(), Some(records), "{figures:#}");
    assert_eq!(figures["commits"].as_i64(), Some(commits), "{figures:#}");
    for (each, count) in [
        ("commands_per_record", records),
        ("commands_per_commit", commits),
    ] {
        let expected = applied / f64::from(u32::try_from(count).unwrap());
        assert!((number(each) - expected).abs() < 0.01, "{figures:#}");
    }
    for rate in ["records_per_second", "commits_per_second"] {
        assert!(number(rate) > 0.0, "{figures:#}");
    }
    // Begin and fence, lock, read, write, commit: some of them together, some perhaps tried twice.
    assert!(
        (3.0..=16.0).contains(&number("statements_per_commit")),
        "{figures:#}"
    );
    assert_eq!(
        (&figures["lost"], &figures["doubled"]),
        (&0.into(), &0.into())
    );
}

#[tokio::test]
async fn all_roles_in_one_process_are_measured_beside_their_servers() {
    let dir = tempfile::TempDir::new().unwrap();
    let install_dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../.sluice");
    let args = ["--one-process", "--install-dir", install_dir];
    let (figures, _) = short_run(dir.path(), &args).await;
    for what in [
        "cpu_seconds",
        "cpu_microseconds_per_transfer",
        "peak_memory_bytes",
    ] {
        let of = figures[what].as_object().unwrap();
        let known: Vec<&str> = of.keys().map(String::as_str).collect();
        assert_eq!(
            known,
            ["generator", "nats", "postgres", "up"],
            "{figures:#}"
        );
        for (process, value) in of {
            assert!(
                value.as_f64().unwrap() > 0.0,
                "{what} of {process}: {value}"
            );
        }
    }
    assert!(
        figures["cpu_microseconds_per_transfer_total"]
            .as_f64()
            .unwrap()
            > 0.0
    );
    assert!(figures["statements_per_commit"].as_f64().unwrap() >= 3.0);
    assert_eq!(figures["settings"]["one_process"], true);
    assert_eq!(figures["verify"]["clean"], true);
}

/// Three seconds at 300 a second; gives what it wrote and what it printed.
async fn short_run(dir: &std::path::Path, more: &[&str]) -> (Value, String) {
    let path = dir.join("figures.json");
    let mut args = vec![
        "bench",
        "--accounts",
        "100",
        "--rate",
        "300",
        "--duration",
        "3",
    ];
    args.extend(["--json", path.to_str().unwrap()]);
    args.extend(more);
    let said = run_ok(&args).await;
    (
        serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap(),
        said,
    )
}
