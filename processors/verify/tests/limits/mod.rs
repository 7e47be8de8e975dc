//! What cannot be decided again is counted, and hides nothing else.

use std::collections::BTreeMap;

use schemas::Partition;
use sqlx::PgPool;
use stack::testing::fresh_database;
use streams::COMMANDS;
use verify::{CheckResult, Config, Report};

use crate::forgeries::{last_line, rewrite};
use crate::history::{PARTITIONS, System};
use crate::{check, check_with};

#[tokio::test]
async fn below_a_trimmed_position_postgres_serves_the_lines() {
    let (system, url, database) = lived().await;
    let before = check(&system, &database).await;
    trim(&system, &database).await;
    let report = check(&system, &database).await;
    assert!(report.is_clean(), "{report:#?}");
    assert!(decisions(&report).checked > 30, "{report:#?}");
    assert_eq!(decisions(&report).checked, decisions(&before).checked);
    assert!(decisions(&report).not_decidable.is_empty(), "{report:#?}");

    // A line that only Postgres has is believed, and what was decided from it is not.
    let changed = "UPDATE outcomes SET command = replace(command, '-10.00', '-11.00') WHERE command LIKE '%-10.00%'";
    sqlx::query(changed).execute(&database).await.unwrap();
    let report = check(&system, &database).await;
    found(
        &report,
        "decisions",
        "sluice.account.changed.v1, decided again it differs: min_balance is \"-10.00\"",
    );
    let back = "UPDATE outcomes SET command = replace(command, '-11.00', '-10.00') WHERE command LIKE '%-11.00%'";
    sqlx::query(back).execute(&database).await.unwrap();
    rewrite(
        &system,
        &database,
        &url,
        "UPDATE outcomes SET command = NULL WHERE kind = 'sluice.account.opened.v1'",
    )
    .await;
    found(
        &check(&system, &database).await,
        "decisions",
        "its line cannot be decided: it was not kept",
    );
}

#[tokio::test]
async fn commands_of_the_first_encoder_without_their_line_are_taken_as_they_are() {
    let (system, url, database) = lived().await;
    rewrite(&system, &database, &url, FIRST_ENCODER).await;
    let report = check(&system, &database).await;
    assert!(report.is_clean(), "{report:#?}");
    assert!(decisions(&report).not_decidable.is_empty(), "{report:#?}");

    trim(&system, &database).await;
    let report = check(&system, &database).await;
    assert!(report.is_clean(), "{report:#?}");
    let without: i64 =
        sqlx::query_scalar("SELECT count(*) FROM outcomes o JOIN partitions p USING (partition) WHERE transfer_id IS NULL AND position < applied")
            .fetch_one(&database)
            .await
            .unwrap();
    let expected = BTreeMap::from([("commands without their line", without.try_into().unwrap())]);
    assert_eq!(decisions(&report).not_decidable, expected);
    let limit = "UPDATE accounts SET min_balance = -1 WHERE ledger = 1 AND id = 'bob'";
    sqlx::query(limit).execute(&database).await.unwrap();
    found(
        &check(&system, &database).await,
        "decisions",
        "account bob of ledger demo: min_balance is -0.01",
    );
}

#[tokio::test]
async fn what_was_decided_before_commits_had_an_order_is_where_it_begins() {
    let (system, url, database) = lived().await;
    let all = decisions(&check(&system, &database).await).checked;
    // What the version before left: no serial, no line, no actor, in the first six commits.
    rewrite(
        &system,
        &database,
        &url,
        &format!(
            "{FIRST_ENCODER};
             UPDATE commits SET serial = NULL
              WHERE serial <= (SELECT serial FROM commits ORDER BY serial OFFSET 5 LIMIT 1)"
        ),
    )
    .await;
    let report = check(&system, &database).await;
    assert!(report.is_clean(), "{report:#?}");
    let checked = decisions(&report).checked;
    assert!(0 < checked && checked < all, "{checked} of {all}");
    for (damage, expected) in [
        (
            "UPDATE accounts SET min_balance = -1 WHERE ledger = 1 AND id = 'bob'",
            "account bob of ledger demo: min_balance is -0.01",
        ),
        (
            "UPDATE accounts SET status = 'frozen' WHERE ledger = 2 AND id = 'alice'",
            "account alice of ledger other: status is frozen",
        ),
        (
            "UPDATE accounts SET changed_at = changed_at + 1 WHERE ledger = 1 AND id = 'member'",
            "account member of ledger demo: changed_at is",
        ),
    ] {
        sqlx::query(damage).execute(&database).await.unwrap();
        found(&check(&system, &database).await, "decisions", expected);
    }
}

#[tokio::test]
async fn decisions_by_other_rules_are_taken_as_they_are() {
    let (system, _, database) = lived().await;
    let newer =
        "UPDATE commits SET rules = 99 WHERE serial > (SELECT max(serial) - 3 FROM commits)";
    sqlx::query(newer).execute(&database).await.unwrap();
    let report = check(&system, &database).await;
    assert!(report.is_clean(), "{report:#?}");
    let counted = &decisions(&report).not_decidable;
    assert!(
        counted["commands decided by other rules"] >= 3,
        "{counted:?}"
    );
}

#[tokio::test]
async fn an_account_that_another_partition_just_opened_may_have_been_unknown() {
    let (system, url, database) = lived().await;
    // Bob is of another partition than alice, alice of the one that decides.
    let unknown = |side: &str, id: &str, seen: &str| {
        format!(
            "UPDATE transfers
                SET reason = 'account_unknown', detail = 'there is no {side} account {id}', debit_version = NULL,
                    credit_version = NULL, debit_balance_after = NULL, credit_balance_after = NULL, {seen}
              WHERE ledger = 1 AND idempotency_key = 'last';
             {{undone}}"
        )
    };
    let seen = "balance_seen = 8866, version_seen = 4, min_balance_seen = -1000";
    rewrite(&system, &database, &url, &unknown("credit", "bob", seen)).await;
    let report = check(&system, &database).await;
    assert!(report.is_clean(), "{report:#?}");
    let expected = BTreeMap::from([("refusals of an account that was just opened", 1)]);
    assert_eq!(decisions(&report).not_decidable, expected);

    let own = "UPDATE transfers
                  SET detail = 'there is no debit account alice', balance_seen = NULL, version_seen = NULL,
                      min_balance_seen = NULL
                WHERE ledger = 1 AND idempotency_key = 'last'";
    rewrite(&system, &database, &url, own).await;
    found(
        &check(&system, &database).await,
        "decisions",
        "(account_unknown), decided again it is sluice.transfer.posted.v1",
    );
}

#[tokio::test]
async fn a_ledger_that_was_just_created_may_have_been_unknown() {
    let (system, url, database) = lived().await;
    let line = r#"{"ledger":"late","command":"open_account","id":"alice","currency":"USD"}"#;
    system.append("alice", line).await;
    system.work(&url).await;
    let report = check(&system, &database).await;
    assert!(report.is_clean(), "{report:#?}");
    let ledger = "INSERT INTO ledgers (name) VALUES ('late')";
    sqlx::query(ledger).execute(&database).await.unwrap();
    let report = check(&system, &database).await;
    assert!(report.is_clean(), "{report:#?}");
    assert!(
        dead_letters(&report).not_decidable.is_empty(),
        "{report:#?}"
    );
    for (age, clean) in [("30 seconds", true), ("10 minutes", false)] {
        let older = format!(
            "UPDATE ledgers SET created_at = created_at - interval '{age}' WHERE name = 'late'"
        );
        sqlx::query(sqlx::AssertSqlSafe(older))
            .execute(&database)
            .await
            .unwrap();
        let report = check(&system, &database).await;
        assert_eq!(report.is_clean(), clean, "{report:#?}");
        let counted = dead_letters(&report).not_decidable.len();
        assert_eq!(counted, usize::from(clean), "{report:#?}");
    }
    found(
        &check(&system, &database).await,
        "dead_letters",
        "ledger_unknown, but its line is a command",
    );
}

#[tokio::test]
async fn what_memory_does_not_hold_is_in_a_file_and_decisions_can_be_left_out() {
    let (system, _, database) = lived().await;
    let limit = "UPDATE accounts SET min_balance = -1 WHERE ledger = 1 AND id = 'bob'";
    sqlx::query(limit).execute(&database).await.unwrap();
    let small = Config {
        memory_bytes: 0,
        ..Config::default()
    };
    let report = check_with(&system, &database, small).await;
    found(
        &report,
        "decisions",
        "account bob of ledger demo: min_balance is -0.01, expected 0.00",
    );
    assert_eq!(decisions(&report).findings_total, 1, "{report:#?}");
    let left_out = Config {
        decide: false,
        ..Config::default()
    };
    let report = check_with(&system, &database, left_out).await;
    assert!(report.is_clean(), "{report:#?}");
    assert!(
        decisions(&report).skipped && decisions(&report).checked == 0,
        "{report:#?}"
    );
}

/// A history that ends with `last`.
async fn lived() -> (System, String, PgPool) {
    let system = System::start().await;
    let url = fresh_database().await.url;
    system.live(&url).await;
    system.append("alice", last_line()).await;
    system.work(&url).await;
    let database = PgPool::connect(&url).await.unwrap();
    (system, url, database)
}

/// Takes all but the last record of each partition away, and says so.
async fn trim(system: &System, database: &PgPool) {
    for partition in (0..PARTITIONS).map(Partition) {
        system
            .purge(COMMANDS, &format!("sluice.cmd.{partition}"), 1)
            .await;
    }
    sqlx::query(
        "INSERT INTO trims (stream, partition, up_to, actor, why)
         SELECT 'COMMANDS', partition, applied - 1, 'nats', 'a test' FROM partitions",
    )
    .execute(database)
    .await
    .unwrap();
}

fn decisions(report: &Report) -> &CheckResult {
    report
        .checks
        .iter()
        .find(|check| check.name == "decisions")
        .unwrap()
}

fn dead_letters(report: &Report) -> &CheckResult {
    report
        .checks
        .iter()
        .find(|check| check.name == "dead_letters")
        .unwrap()
}

/// Only that check found something, and it says so.
fn found(report: &Report, name: &str, text: &str) {
    for check in &report.checks {
        assert_eq!(check.is_clean(), check.name != name, "{report:#?}");
    }
    let mut findings = report.checks.iter().flat_map(|check| &check.findings);
    assert!(
        findings.any(|finding| finding.contains(text)),
        "{text}: {report:#?}"
    );
}

/// Rows as the version before left them.
const FIRST_ENCODER: &str = "
    UPDATE transfers SET actor = NULL, balance_seen = NULL, version_seen = NULL, min_balance_seen = NULL;
    UPDATE outcomes SET actor = NULL, command = NULL;
    UPDATE dead_letters SET actor = NULL, headers = NULL;
    UPDATE commits SET encoder = 1";
