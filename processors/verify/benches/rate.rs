//! How many decisions a second of its own CPU `verify` makes over a million accounts, on the real servers:
//! `cargo bench -p verify --bench rate`. Prints the rate for openings and for transfers, and the peak of its memory.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement, read by people"
)]

#[path = "../tests/history/mod.rs"]
#[expect(dead_code, reason = "the tests use all of it")]
mod history;

use std::fmt::Write as _;
use std::ops::Range;

use history::{PARTITIONS, System, partition};
use schemas::Partition;
use sqlx::PgPool;
use stack::testing::fresh_database;
use verify::{Config, Connections, Step, verify};

const ACCOUNTS: u64 = 1_000_000;
const TRANSFERS: u64 = 500_000;
/// As many as ingest puts into one: their events must fit one record.
const LINES_PER_RECORD: usize = 150;
/// So many are applied before the next are appended.
const AT_ONCE: u64 = 100_000;
/// Of `utime` and `stime` in `/proc/self/stat`.
const TICKS_PER_SECOND: u64 = 100;

fn main() {
    // `cargo test --all-targets` runs benches without it.
    if std::env::args().any(|argument| argument == "--bench") {
        tokio::runtime::Runtime::new().unwrap().block_on(measure());
    }
}

async fn measure() {
    let system = System::start().await;
    let url = fresh_database().await.url;
    let database = PgPool::connect(&url).await.unwrap();
    migrations::MIGRATIONS.run(&database).await.unwrap();
    sqlx::query("INSERT INTO ledgers (name) VALUES ('demo')")
        .execute(&database)
        .await
        .unwrap();
    apply(&system, &url, ACCOUNTS, |number| {
        let id = account(number);
        let line = format!(
            r#"{{"command":"open_account","ledger":"demo","id":"{id}","currency":"USD","min_balance":null}}"#
        );
        (id, line)
    })
    .await;
    apply(&system, &url, TRANSFERS, |number| {
        let (debit, credit) = (account(scattered(2 * number)), account(scattered(2 * number + 1)));
        let line = format!(
            r#"{{"ledger":"demo","idempotency_key":"{number}","debit_account":"{debit}","credit_account":"{credit}","amount":"1.00","currency":"USD"}}"#
        );
        (debit, line)
    })
    .await;
    for memory_mib in [256, 64] {
        report(&system, &database, memory_mib).await;
    }
}

async fn apply(system: &System, url: &str, count: u64, line: impl Fn(u64) -> (String, String)) {
    for first in (0..count).step_by(usize::try_from(AT_ONCE).unwrap()) {
        append(system, first..count.min(first + AT_ONCE), &line).await;
        system.work(url).await;
    }
}

async fn append(system: &System, numbers: Range<u64>, line: impl Fn(u64) -> (String, String)) {
    let mut records = vec![(String::new(), String::new(), 0); usize::from(PARTITIONS)];
    for number in numbers {
        let (account, line) = line(number);
        let Partition(place) = partition(&account);
        let (first, body, lines) = &mut records[usize::from(place)];
        *first = account;
        writeln!(body, "{line}").unwrap();
        *lines += 1;
        if *lines == LINES_PER_RECORD {
            system.append(first, std::mem::take(body)).await;
            *lines = 0;
        }
    }
    for (first, body, _) in records {
        if !body.is_empty() {
            system.append(&first, body).await;
        }
    }
}

async fn report(system: &System, database: &PgPool, memory_mib: usize) {
    let connections = Connections {
        log: system.log.clone(),
        database: database.clone(),
    };
    let config = Config {
        memory_bytes: memory_mib << 20,
        ..Config::default()
    };
    let (mut began, mut opened) = (0, None);
    let report = verify(&connections, &config, &mut |step: Step| match step.stage {
        "decisions" if step.done >= ACCOUNTS => {
            opened.get_or_insert_with(|| (step.done, cpu_ticks()));
        }
        "decisions" => {}
        _ => began = cpu_ticks(),
    })
    .await
    .unwrap();
    let ended = cpu_ticks();
    assert!(report.is_clean(), "{report:#?}");
    let (done, at) = opened.unwrap();
    let rate = |count: u64, ticks: u64| count * TICKS_PER_SECOND / ticks.max(1);
    println!(
        "--memory {memory_mib}: {} openings and {} transfers a second of its own CPU (with the comparison of all accounts), peak {}",
        rate(done, at - began),
        rate(ACCOUNTS + TRANSFERS - done, ended - at),
        peak()
    );
}

fn account(number: u64) -> String {
    format!("account-{:07}", number % ACCOUNTS)
}

/// Spreads consecutive numbers (Knuth's multiplicative hash).
fn scattered(number: u64) -> u64 {
    number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 20
}

fn cpu_ticks() -> u64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let behind_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = behind_name.split_ascii_whitespace().collect();
    // `utime` and `stime` are the 14th and 15th field, the state behind the name is the third.
    fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap()
}

fn peak() -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap();
    peak.split_ascii_whitespace()
        .skip(1)
        .collect::<Vec<_>>()
        .join(" ")
}
