//! Each check is proved by breaking the data once.
#![cfg(test)]

mod damages;
mod forgeries;
mod history;
mod hostile;
mod limits;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use damages::{DAMAGES, Damage, Reported};
use forgeries::{FORGERIES, last_line};
use futures::StreamExt;
use history::{PATIENCE, System, usd};
use schemas::Partition;
use sqlx::PgPool;
use stack::testing::{fresh_database, fresh_database_from_template};
use streams::{COMMANDS, DLQ, EVENTS};
use verify::{Config, Connections, Report, Step, verify};

#[tokio::test]
async fn a_whole_history_is_clean_and_every_damage_to_postgres_is_reported() {
    let system = System::start().await;
    let copy = async || {
        let prepare = async |url: String| {
            system.live(&url).await;
            Ok::<(), Infallible>(())
        };
        let copy = fresh_database_from_template("history", prepare).await;
        PgPool::connect(&copy.url).await.unwrap()
    };
    let intact = copy().await;
    assert_eq!(outcomes(&intact).await, EVERY_OUTCOME);
    let report = check(&system, &intact).await;
    assert!(report.is_clean(), "{report:#?}");
    for check in &report.checks {
        assert!(check.checked > 3, "{} saw too little", check.name);
    }
    let prove = async |damage: &Damage| {
        let damaged = copy().await;
        sqlx::raw_sql(damage.sql).execute(&damaged).await.unwrap();
        let report = check(&system, &damaged).await;
        damaged.close().await;
        mismatch(damage.what, &report, &intact, damage.reported).await
    };
    let proofs = futures::stream::iter(DAMAGES)
        .map(prove)
        .buffer_unordered(AT_ONCE_MAX);
    let mismatches: Vec<String> = proofs.filter_map(std::future::ready).collect().await;
    assert!(mismatches.is_empty(), "{}", mismatches.join("\n\n"));
}

#[tokio::test]
async fn whoever_rewrites_rows_hashes_and_events_is_found() {
    let system = System::start().await;
    let copy = async || {
        let prepare = async |url: String| {
            system.live(&url).await;
            system.append("alice", last_line()).await;
            system.work(&url).await;
            Ok::<(), Infallible>(())
        };
        fresh_database_from_template("forged", prepare).await
    };
    let intact = PgPool::connect(&copy().await.url).await.unwrap();
    let report = check(&system, &intact).await;
    assert!(report.is_clean(), "{report:#?}");
    let mut mismatches = Vec::new();
    for forgery in FORGERIES {
        let copy = copy().await;
        let forged = PgPool::connect(&copy.url).await.unwrap();
        forgery.commit(&system, &forged, &copy.url).await;
        let report = check(&system, &forged).await;
        mismatches.extend(mismatch(forgery.what, &report, &intact, forgery.reported).await);
        forged.close().await;
    }
    assert!(mismatches.is_empty(), "{}", mismatches.join("\n\n"));
}

#[tokio::test]
async fn every_damage_to_the_log_is_reported_and_a_takeover_fills_events_again() {
    let system = System::start().await;
    let url = fresh_database().await.url;
    system.live(&url).await;
    let database = PgPool::connect(&url).await.unwrap();
    let subject = |stage: &str| format!("sluice.{stage}.{}", history::partition("alice"));
    let mut mismatches = Vec::new();
    let mut expect = async |what: &str, reported: Reported| {
        let report = check(&system, &database).await;
        mismatches.extend(mismatch(what, &report, &database, reported).await);
    };
    expect("nothing", &[]).await;

    // Behind every commit, as it says.
    let mut headers = HeaderMap::new();
    headers.insert("Sluice-Position", i64::MAX.to_string());
    system.publish(&subject("evt"), &headers, "{}").await;
    expect("a foreign event record", &[FOREIGN]).await;
    system.append("alice", last_line()).await;
    system.work(&url).await;
    expect("a commit behind a foreign event record", &[FOREIGN]).await;
    system.recreate(EVENTS).await;
    system.work(&url).await;
    system.publish(&subject("evt"), &headers, "{}").await;

    system.purge(EVENTS, &subject("evt"), 1).await;
    expect("only the foreign record is left", &[FOREIGN, UNPUBLISHED]).await;

    system.recreate(EVENTS).await;
    expect("EVENTS is empty", &[UNPUBLISHED]).await;
    system.work(&url).await;
    expect("EVENTS was filled again from Postgres", &[]).await;

    let (headers, body) = system.last_event(history::partition("alice")).await;
    system
        .publish(&subject("evt"), &headers, body.clone())
        .await;
    expect("an event record twice", &[OUT_OF_PLACE]).await;

    system.recreate(EVENTS).await;
    system
        .publish(&subject("evt"), &headers, body.clone())
        .await;
    expect("only the last event record is left", &[UNPUBLISHED]).await;

    system.recreate(EVENTS).await;
    let mut changed = body.to_vec();
    changed[10] ^= 1;
    system.publish(&subject("evt"), &headers, changed).await;
    expect("an event record with other bytes", &[CHANGED]).await;

    system.recreate(EVENTS).await;
    system.work(&url).await;
    // The first of partition 0 has one behind it there, alice's partition has one.
    let copies = |partition| format!("sluice.dlq.process.{partition}");
    copied(&database).await;
    system.purge(DLQ, &copies(Partition(0)), 1).await;
    expect("a dead letter is not on DLQ", &[NOT_ON_DLQ]).await;
    let trimmed = "INSERT INTO trims (stream, partition, up_to, actor, why)
                   SELECT 'DLQ', partition, min(position), 'nats', 'a test' FROM dead_letters GROUP BY partition";
    sqlx::query(trimmed).execute(&database).await.unwrap();
    expect("it was trimmed on purpose", &[]).await;
    system.purge(DLQ, &copies(Partition(0)), 0).await;
    expect("DLQ was purged behind it", &[NOT_ON_DLQ]).await;
    let uncopied = "UPDATE partitions SET dlq_published = 0";
    sqlx::query(uncopied).execute(&database).await.unwrap();
    expect("nothing is copied yet", &[]).await;

    system.purge(COMMANDS, &subject("cmd"), 1).await;
    expect("commands were purged", &[PURGED]).await;

    system.recreate(COMMANDS).await;
    expect("COMMANDS was created again", &[RECREATED]).await;

    assert!(mismatches.is_empty(), "{}", mismatches.join("\n\n"));
}

#[tokio::test]
async fn an_adopted_stream_is_compared_with_what_was_decided_from_it() {
    let system = System::start().await;
    let url = fresh_database().await.url;
    system.live(&url).await;
    let database = PgPool::connect(&url).await.unwrap();
    system.recreate(COMMANDS).await;
    for partition in (0..history::PARTITIONS).map(Partition) {
        worker::operate::adopt_stream(&database, &system.log, partition, "a test")
            .await
            .unwrap();
    }
    let report = check(&system, &database).await;
    assert!(report.is_clean(), "{report:#?}");
    let line = usd("k20", "alice", "bob", "1.00").to_string();
    system.append("alice", line).await;
    system.work(&url).await;
    let before = report.checks[1].checked;
    let report = check(&system, &database).await;
    assert!(report.is_clean(), "{report:#?}");
    assert_eq!((before, report.checks[1].checked), (0, 1));
    sqlx::query("DELETE FROM transfers WHERE idempotency_key = 'k20'")
        .execute(&database)
        .await
        .unwrap();
    let report = check(&system, &database).await;
    let shown = &report.checks[1].findings;
    assert!(shown[0].contains("the command has 0 outcomes"), "{shown:?}");
}

#[tokio::test]
async fn a_system_at_work_is_clean_at_every_moment() {
    let system = System::start().await;
    let url = fresh_database().await.url;
    system.live(&url).await;
    let database = PgPool::connect(&url).await.unwrap();
    let worker = system.worker(&url).await;
    let traffic = async {
        for number in 0..600 {
            let (debit, credit) =
                [("alice", "bob"), ("bob", "alice"), ("carol", "bob")][number % 3];
            let line = usd(&format!("t{number}"), debit, credit, "0.01").to_string();
            system.append(debit, line).await;
        }
    };
    let checks = async {
        let started = Instant::now();
        let (mut seen, mut rounds) = (BTreeSet::new(), 0);
        while rounds < 5 || (seen.len() < 2 && started.elapsed() < PATIENCE) {
            rounds += 1;
            let report = check(&system, &database).await;
            assert!(report.is_clean(), "{report:#?}");
            seen.insert(report.checks[1].checked);
        }
        seen
    };
    let ((), seen) = tokio::join!(traffic, checks);
    assert!(seen.len() > 1, "nothing was applied meanwhile");
    worker.stop().await;
}

/// Most of the time a copy waits for the disk.
const AT_ONCE_MAX: usize = 4;

/// More than most damages cause, less than the largest does.
const FINDINGS_MAX: usize = 100;

const NOT_ON_DLQ: (&str, &str) = ("dead_letters", ", it is not on DLQ");
const FOREIGN: (&str, &str) = ("events", "no processor published it");
const OUT_OF_PLACE: (&str, &str) = ("events", ", which Postgres does not expect here");
const UNPUBLISHED: (&str, &str) = ("events", "it is not on EVENTS where it belongs");
const CHANGED: (&str, &str) = ("events", "its bytes have hash");
const PURGED: (&str, &str) = (
    "outcomes",
    "@k1: sluice.transfer.posted.v1 without a command on the log",
);
const RECREATED: (&str, &str) = ("outcomes", "COMMANDS was created at");

const EVERY_OUTCOME: [&str; 19] = [
    "account_frozen",
    "account_unknown",
    "accounts_must_differ",
    "currency_differs",
    "insufficient_funds",
    "json_malformed",
    "partition_differs",
    "posted",
    "record_empty",
    "schema_unknown",
    "sluice.account.changed.v1",
    "sluice.account.closed.v1",
    "sluice.account.frozen.v1",
    "sluice.account.opened.v1",
    "sluice.account.refused.v1",
    "sluice.account.unchanged.v1",
    "sluice.account.unfrozen.v1",
    "sluice.transfer.key_reused.v1",
    "sluice.transfer.replayed.v1",
];

/// Waits until every dead letter is copied.
async fn copied(database: &PgPool) {
    let deadline = Instant::now() + PATIENCE;
    let behind = "SELECT count(*) FROM dead_letters d JOIN partitions p USING (partition) WHERE d.position > p.dlq_published";
    while sqlx::query_scalar::<_, i64>(behind)
        .fetch_one(database)
        .await
        .unwrap()
        > 0
    {
        assert!(Instant::now() < deadline, "dead letters are not copied");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// What was decided in a database, each kind once.
async fn outcomes(database: &PgPool) -> Vec<String> {
    sqlx::query_scalar(
        "SELECT kind FROM outcomes
          UNION SELECT coalesce(reason, 'posted') FROM transfers
          UNION SELECT reason FROM dead_letters
          ORDER BY 1",
    )
    .fetch_all(database)
    .await
    .unwrap()
}

async fn check(system: &System, database: &PgPool) -> Report {
    check_with(system, database, Config::default()).await
}

async fn check_with(system: &System, database: &PgPool, config: Config) -> Report {
    let connections = Connections {
        log: system.log.clone(),
        database: database.clone(),
    };
    let mut steps = Vec::new();
    let config = Config {
        findings_max: FINDINGS_MAX,
        ..config
    };
    let report = verify(&connections, &config, &mut |step: Step| steps.push(step))
        .await
        .unwrap();
    for check in &report.checks {
        let kept = FINDINGS_MAX.min(check.findings_total.try_into().unwrap());
        assert_eq!(
            check.findings.len(),
            kept,
            "{} kept too much or too little",
            check.name
        );
    }
    let tables_done = |step: &Step| step.stage == "tables" && step.done == step.total;
    assert!(steps.iter().any(tables_done), "{steps:?}");
    report
}

/// Unless exactly the checks named in `reported` found something, each the texts that are given with it.
async fn mismatch(
    what: &str,
    report: &Report,
    intact: &PgPool,
    reported: Reported,
) -> Option<String> {
    let found: BTreeSet<&str> = report
        .checks
        .iter()
        .filter(|check| !check.is_clean())
        .map(|check| check.name)
        .collect();
    let expected: BTreeSet<&str> = reported.iter().map(|(check, _)| *check).collect();
    let mut missing = Vec::new();
    for (name, text) in reported {
        let text = with_places(intact, text).await;
        let of_check = report.checks.iter().filter(|check| check.name == *name);
        let mut findings = of_check.flat_map(|check| &check.findings);
        if !findings.any(|finding| finding.contains(&text)) {
            missing.push(text);
        }
    }
    let findings: Vec<&String> = report
        .checks
        .iter()
        .flat_map(|check| &check.findings)
        .collect();
    (found != expected || !missing.is_empty()).then(|| {
        format!("{what}: reported by {found:?}, expected {expected:?}; not said: {missing:?}; said: {findings:#?}")
    })
}

/// `@k` is the place of the transfer with key `k` of the ledger `demo`, `#k` its id.
async fn with_places(database: &PgPool, text: &str) -> String {
    let transfers: Vec<(String, String, String)> = sqlx::query_as(
        "SELECT idempotency_key, partition || '.' || position || '.' || line, 'tr_' || replace(id::text, '-', '')
           FROM transfers
          WHERE ledger = 1
          ORDER BY length(idempotency_key) DESC",
    )
    .fetch_all(database)
    .await
    .unwrap();
    transfers
        .iter()
        .fold(text.to_owned(), |text, (key, place, id)| {
            text.replace(&format!("@{key}"), place)
                .replace(&format!("#{key}"), id)
        })
}
