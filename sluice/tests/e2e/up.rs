//! The first two commands of a new user.

use std::io::Write;
use std::process::Stdio;

use nix::sys::signal::kill;
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::http::Client;
use crate::process::{Role, eventually, run};
use crate::system::System;

/// Where the workspace keeps servers that were installed.
fn install_dir() -> String {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../.sluice").to_owned()
}

#[tokio::test]
async fn the_demo_reports_what_happened_and_proves_it() {
    let install_dir = install_dir();
    let output = run(&[
        "demo",
        "--exit",
        "--transfers",
        "3000",
        "--accounts",
        "300",
        "--listen",
        "127.0.0.1:0",
        "--install-dir",
        &install_dir,
    ])
    .await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for part in [
        "accepted",
        "posted",
        "insufficient_funds",
        "account_frozen",
        "account_unknown",
        "amount_not_a_string",
        "replayed",
        "latency to logged",
        "latency to applied",
        "Verify:",
    ] {
        assert!(text.contains(part), "{part} is in the report: {text}");
    }
    assert!(!text.contains("FINDINGS"), "{text}");
}

#[tokio::test]
async fn a_file_of_transfers_is_sent_and_bad_lines_stop_nothing() {
    let dir = TempDir::new().unwrap();
    let file = dir.path().join("transfers.ndjson");
    let lines = [
        r#"{"idempotency_key":"1","debit_account":"ann","credit_account":"ben","amount":"10.00","currency":"USD"}"#,
        "this is no transfer",
        r#"{"idempotency_key":"2","debit_account":"ben","credit_account":"ann","amount":"4.00","currency":"USD"}"#,
        "",
        r#"{"idempotency_key":"3","debit_account":"eva","credit_account":"ann","amount":"4.00","currency":"EUR"}"#,
        r#"{"idempotency_key":"4","debit_account":"ann","credit_account":"ben","amount":4,"currency":"USD"}"#,
    ];
    std::fs::write(&file, lines.join("\n")).unwrap();
    let install_dir = install_dir();
    let output = run(&[
        "demo",
        "--exit",
        "--file",
        file.to_str().unwrap(),
        "--listen",
        "127.0.0.1:0",
        "--install-dir",
        &install_dir,
    ])
    .await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    for part in [
        "line 2: ",
        "line 6: ",
        "amount_not_a_string",
        "currency_differs",
        "posted",
    ] {
        assert!(text.contains(part), "{part} is in the report: {text}");
    }
}

#[tokio::test]
async fn up_answers_keeps_its_data_and_dies_with_its_servers() {
    let dir = TempDir::new().unwrap();
    let data = dir.path().join("data");
    let install_dir = install_dir();
    let args = [
        "up",
        "--listen",
        "127.0.0.1:0",
        "--install-dir",
        &install_dir,
        "--data",
        data.to_str().unwrap(),
    ];
    let (mut up, ready) = Role::start(dir.path(), "up", &args).await;
    let text = |name: &str| ready[name].as_str().unwrap().to_owned();
    let mut client = Client::new(&text("api_url"), &text("api_key"));
    let posted = client
        .transfer("first", "alice", "bob", "12.34", true)
        .await
        .expect(200);
    assert_eq!(posted["status"], "posted");
    assert_eq!(client.get("/docs/").await.status, 200);
    let pids = &ready["pids"];
    assert_eq!(pids["sluice"].as_u64(), Some(u64::from(up.pid())));
    let servers: Vec<i32> = ["nats", "postgres"]
        .iter()
        .map(|name| i32::try_from(pids[*name].as_i64().unwrap()).unwrap())
        .collect();

    // Lines of the user's own to the running system.
    let mut demo = std::process::Command::new(env!("CARGO_BIN_EXE_sluice"))
        .args([
            "demo",
            "--file",
            "-",
            "--api",
            &text("api_url"),
            "--key",
            &text("api_key"),
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    demo.stdin.take().unwrap().write_all(br#"{"idempotency_key":"piped","debit_account":"alice","credit_account":"bob","amount":"1.00","currency":"USD"}"#).unwrap();
    let piped = tokio::task::spawn_blocking(move || demo.wait_with_output().unwrap())
        .await
        .unwrap();
    assert!(piped.status.success());
    assert!(String::from_utf8_lossy(&piped.stdout).contains("posted"));

    up.kill();
    eventually("the servers have stopped", async || {
        servers
            .iter()
            .all(|pid| kill(Pid::from_raw(*pid), None).is_err())
            .then_some(())
    })
    .await;

    let (again, ready) = Role::start(dir.path(), "up", &args).await;
    let mut client = Client::new(
        ready["api_url"].as_str().unwrap(),
        ready["api_key"].as_str().unwrap(),
    );
    assert_eq!(client.balance("alice").await, "986.66");
    assert!(again.stop().await.success());
}

/// Fifty records wait before the processor comes: what it takes at a time shows in the commits.
#[tokio::test]
async fn every_role_takes_its_own_settings_under_up() {
    const RECORDS: i64 = 50;
    let system = System::bare().await;
    let jetstream = async_nats::jetstream::new(system.nats_client().await);
    for number in 0..RECORDS {
        let line = format!(
            r#"{{"ledger":"demo","idempotency_key":"{number}","debit_account":"ann","credit_account":"ben","amount":"1.00","currency":"USD"}}"#
        );
        let sent = jetstream.publish("sluice.submit.ann", line.into()).await;
        sent.unwrap().await.unwrap();
    }
    let (nats, monitor) = (system.nats.url(), system.nats.monitor_url());
    let args = [
        "up",
        "--nats",
        &nats,
        "--nats-monitor",
        &monitor,
        "--database",
        &system.database_url,
        "--listen",
        "127.0.0.1:0",
        "--commits-in-flight",
        "3",
    ];
    let variables = [
        ("SLUICE_BATCH_COMMANDS", "1"),
        ("SLUICE_RECORDS_IN_FLIGHT", "7"),
        ("SLUICE_COMMITS_IN_FLIGHT", "2"),
        ("SLUICE_RECORD_INTERVAL", "7"),
        ("SLUICE_COMMIT_INTERVAL", "4"),
        ("SLUICE_ACCOUNTS_MEMORY", "64"),
    ];
    let (up, ready) = Role::start_in(system.path(), "up", &args, &variables).await;
    system.drained().await;
    let (commits, most): (i64, i32) = sqlx::query_as("SELECT count(*), max(commands) FROM commits")
        .fetch_one(&system.database)
        .await
        .unwrap();
    assert!(commits >= RECORDS, "{commits}");
    assert_eq!(most, 1);

    let mut client = Client::new(ready["api_url"].as_str().unwrap(), "");
    let metrics = client.get("/metrics").await.text;
    for limit in [
        "sluice_worker_batch_commands_max 1",
        "sluice_ingest_records_in_flight_max 7",
        // A flag is nearer than a variable.
        "sluice_worker_commits_in_flight_max 3",
        "sluice_ingest_record_interval_max_seconds 0.007",
        "sluice_worker_commit_interval_max_seconds 0.004",
        "sluice_worker_accounts_memory_max_bytes 67108864",
    ] {
        assert!(
            metrics.lines().any(|line| line == limit),
            "{limit}: {metrics}"
        );
    }
    assert!(up.stop().await.success());
}

#[tokio::test]
async fn a_taken_port_is_named_with_the_flag_that_changes_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = run(&["up", "--listen", &address]).await;
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains(&address) && error.contains("--listen"),
        "{error}"
    );
}

#[tokio::test]
async fn one_given_server_without_the_other_is_refused_before_anything_is_touched() {
    let one = [
        ["up", "--nats", "nats://127.0.0.1:1"],
        ["up", "--database", "postgres://127.0.0.1:1/sluice"],
    ];
    for args in one {
        let output = run(&args).await;
        assert!(!output.status.success());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("give both --nats and --database"), "{said}");
    }
}
