//! `sluice bench` and what it tells.

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::process::{Role, eventually, run, run_ok};
use crate::system::System;

/// Of a run that kept everything.
const PRINTED: [&str; 7] = [
    "worst second",
    "records ",
    "commits ",
    " round trips",
    "posted: ",
    "dropped: 0",
    "lost: 0  doubled: 0",
];

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
        "--skip-verify",
    ];
    let (figures, said) = short_run(system.path(), &servers).await;
    for part in PRINTED {
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
        (3.0..=16.0).contains(&number("round_trips_per_commit")),
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
    let interval = ["--record-interval", "7"];
    let args = ["--one-process", "--install-dir", install_dir];
    let args = [&args[..], &interval].concat();
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
    assert!(figures["round_trips_per_commit"].as_f64().unwrap() >= 3.0);
    let settings = &figures["settings"];
    for (name, expected) in [
        ("one_process", Value::from(true)),
        ("rate", 300.into()),
        ("duration", 3.into()),
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("record_interval_max_ms", 7.0.into()),
    ] {
        assert_eq!(settings[name], expected, "{name}: {settings:#}");
    }
    assert!(settings["commit_interval_max_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(figures["verify"]["clean"], true);
}

#[tokio::test]
async fn who_waits_for_every_outcome_is_compared_with_the_baseline_too() {
    let system = System::bare().await;
    let path = system.path().join("compared.json");
    let (nats, monitor) = (system.nats.url(), system.nats.monitor_url());
    let mut args = vec!["bench", "baseline", "--wait", "--rate", "100"];
    args.extend(["--duration", "2", "--accounts", "50", "--connections", "4"]);
    args.extend(["--nats", &nats, "--nats-monitor", &monitor]);
    args.extend(["--database", &system.database_url]);
    args.extend(["--json", path.to_str().unwrap()]);
    run_ok(&args).await;
    let compared: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    let latencies = &compared["latency_ms"];
    assert!(latencies["answered"]["p50"].as_f64().unwrap() > 0.0);
    assert_eq!(latencies["logged"], Value::Null, "{compared:#}");
    assert_eq!(compared["settings"]["duration"], 2, "{compared:#}");
    assert_eq!(compared["settings"]["pool"], 24, "{compared:#}");
    assert_eq!(compared["applied"], 200);
    assert_eq!(compared["baseline"]["applied"], 200);
    assert!(compared["ratio"].as_f64().unwrap() > 0.0);
}

/// What was measured of a run until then would be read as a whole one.
#[tokio::test]
async fn interrupted_under_load_it_fails_and_writes_no_result() {
    let system = System::bare().await;
    let (nats, monitor) = (system.nats.url(), system.nats.monitor_url());
    let result = system.path().join("result");
    for command in [
        &["--rate", "200", "--json"][..],
        &["sweep", "--from", "200", "--json"],
        &["sweep", "--from", "200", "--csv"],
        &["sweep", "--from", "200", "--svg"],
        &["baseline", "--rate", "200", "--json"],
    ] {
        let mut args = vec!["bench"];
        args.extend(command);
        args.extend([result.to_str().unwrap(), "--duration", "60"]);
        args.extend(["--accounts", "50", "--nats", &nats]);
        args.extend(["--nats-monitor", &monitor, "--database"]);
        args.push(&system.database_url);
        let (mut bench, _) = Role::start(system.path(), command[0], &args).await;
        system.progress(100).await;
        bench.signal(Signal::SIGINT);
        let status = eventually("the bench ends", async || bench.ended()).await;
        let said = bench.log();
        assert!(!status.success(), "{command:?}: {said}");
        assert!(
            said.ends_with("error: interrupted\n"),
            "{command:?}: {said}"
        );
        assert!(!said.contains("sending to the baseline"), "{said}");
        let is_told = said.contains("200/s, run 1 of 3 …");
        assert_eq!(is_told, command[0] == "sweep", "{said}");
        assert!(!result.exists(), "{command:?}: {said}");
    }
}

#[tokio::test]
async fn a_sweep_that_is_interrupted_leaves_the_rates_that_it_measured() {
    let system = System::bare().await;
    let (nats, monitor) = (system.nats.url(), system.nats.monitor_url());
    let [json, csv, svg] = ["json", "csv", "svg"].map(|end| system.path().join(end));
    let mut args = vec!["bench", "sweep", "--from", "100", "--duration", "2"];
    args.extend(["--repeats", "1", "--accounts", "50"]);
    args.extend(["--nats", &nats, "--nats-monitor", &monitor]);
    args.extend(["--database", &system.database_url]);
    for (flag, path) in [("--json", &json), ("--csv", &csv), ("--svg", &svg)] {
        args.extend([flag, path.to_str().unwrap()]);
    }
    let (mut bench, _) = Role::start(system.path(), "sweep", &args).await;
    eventually("the second rate is sent", async || {
        bench.log().contains("125/s, run 1 of 1 …").then_some(())
    })
    .await;
    bench.signal(Signal::SIGINT);
    let status = eventually("the bench ends", async || bench.ended()).await;
    let said = bench.log();
    assert!(!status.success(), "{said}");
    let longest = "at most 60 rates with 1 runs of 2 s: 2 min of load";
    assert!(said.starts_with(longest), "{said}");
    let curve: Value = serde_json::from_slice(&std::fs::read(&json).unwrap()).unwrap();
    let rates: Vec<_> = curve["steps"].as_array().unwrap().iter().collect();
    assert_eq!(rates.len(), 1, "{curve:#}");
    assert_eq!(rates[0]["rate"], 100, "{curve:#}");
    assert_eq!(curve["finished"], false, "{curve:#}");
    for (name, expected) in [
        ("from", 100),
        ("step", 125),
        ("duration", 2),
        ("repeats", 1),
    ] {
        assert_eq!(curve["settings"][name], expected, "{name}: {curve:#}");
    }
    assert_eq!(std::fs::read_to_string(&csv).unwrap().lines().count(), 2);
    assert!(std::fs::read_to_string(&svg).unwrap().starts_with("<svg"));
}

#[tokio::test]
async fn interrupted_before_the_load_it_fails_as_well() {
    let system = System::bare().await;
    let (nats, monitor) = (system.nats.url(), system.nats.monitor_url());
    for (name, accounts, during) in [
        ("opening", "1000000", "opening 1000000 accounts"),
        ("preload", "50", "putting 10000000 transfers through first"),
    ] {
        let mut args = vec!["bench", "--accounts", accounts, "--preload", "10000000"];
        args.extend(["--nats", &nats, "--nats-monitor", &monitor]);
        args.extend(["--database", &system.database_url]);
        let mut bench = Role::spawn(system.path(), name, &args, &[]);
        eventually(during, async || bench.log().contains(during).then_some(())).await;
        bench.signal(Signal::SIGINT);
        let status = eventually("the bench ends", async || bench.ended()).await;
        let said = bench.log();
        assert!(!status.success(), "{said}");
        assert!(said.ends_with("error: interrupted\n"), "{said}");
        assert!(!said.contains("sending for"), "{said}");
    }
}

#[tokio::test]
async fn a_result_that_cannot_be_written_is_told_before_anything_starts() {
    for command in [
        &["bench", "--json"][..],
        &["bench", "sweep", "--json"],
        &["bench", "sweep", "--csv"],
        &["bench", "sweep", "--svg"],
        &["bench", "baseline", "--json"],
    ] {
        let refused = run(&[command, &["/no/such/folder/result"]].concat()).await;
        assert!(!refused.status.success(), "{command:?}");
        let said = String::from_utf8(refused.stderr).unwrap();
        let expected = "error: writing /no/such/folder/result: ";
        assert!(said.starts_with(expected), "{command:?}: {said}");
    }
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
