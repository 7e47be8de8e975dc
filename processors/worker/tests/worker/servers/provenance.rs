//! Who asked, what a refusal saw, and in which order commits happened.

use std::pin::pin;
use std::time::Duration;

use journal::{Lines, Stretch, commits_after, events_in, link};
use schemas::{Encoder, Partition, Position};
use serde_json::Value;
use streams::{CommandRecord, RecordIds};
use worker::Config;
use worker::simulation::{Store as _, Transaction as _};

use super::bed::{Servers, open, transfer, until};
use super::remember::WAITING;
use crate::seams::commits::{self, batch, decide, step};

const TRACE: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

/// A line with a further field.
fn with(line: &str, field: &str, value: &str) -> String {
    line.replacen('{', &format!(r#"{{"{field}":"{value}","#), 1)
}

/// Appends a record with the headers of ingest.
async fn append_ours(servers: &Servers, lines: &[String]) -> u64 {
    let record = CommandRecord {
        partition: Partition(0),
        id: RecordIds::random().next(),
        body: lines.join("\n").into(),
        count: u32::try_from(lines.len()).unwrap(),
        reply_to: None,
    };
    servers.log.append(&record).await.unwrap()
}

/// A column, with NULL as such.
async fn texts(servers: &Servers, sql: &'static str) -> Vec<String> {
    let rows: Vec<Option<String>> = sqlx::query_scalar(sql)
        .fetch_all(&servers.admin)
        .await
        .unwrap();
    rows.into_iter()
        .map(|text| text.unwrap_or("NULL".to_owned()))
        .collect()
}

/// The lines on EVENTS.
async fn published(servers: &Servers) -> Vec<Value> {
    let mut scan = servers.log.scan_events(Partition(0), 0).await.unwrap();
    let mut lines = Vec::new();
    while let Some(record) = scan.next().await.unwrap() {
        let body = record.body.split(|byte| *byte == b'\n');
        let body = body.filter(|line| !line.is_empty());
        lines.extend(body.map(|line| serde_json::from_slice::<Value>(line).unwrap()));
    }
    lines
}

fn by_key(line: &str) -> String {
    with(line, "actor", "key:4f2a")
}

fn traced(line: &str) -> String {
    with(line, "traceparent", TRACE)
}

/// A record with the headers of ingest and one without, decided.
async fn asked() -> (Servers, Vec<String>) {
    let servers = Servers::start(1).await;
    let role = servers.process(Config::default());
    let ours = [
        by_key(&open("world", true)),
        with(&open("alice", false), "actor", "sluice"),
        traced(&by_key(&open("bob", false))),
        open("carol", false),
        by_key(&transfer("k1", "world", "alice", 5)),
        with(&transfer("k2", "world", "alice", 5), "actor", "root"),
        r#"{"actor":"key:4f2a","ledger":"sim"}"#.to_owned(),
    ];
    append_ours(&servers, &ours).await;
    let forged = [
        by_key(&open("dave", false)),
        with(&transfer("k1", "world", "alice", 5), "actor", "key:other"),
        by_key(&transfer("k3", "world", "alice", 5)),
        by_key("{}"),
    ];
    let last = servers.append(0, &forged).await;
    servers.applied(&[(0, last)]).await;
    role.stop().await;
    (servers, [&ours[..], &forged[..]].concat())
}

#[tokio::test]
async fn every_row_says_who_asked_and_a_line_is_believed_in_our_records_only() {
    let (servers, lines) = asked().await;
    let transfers = "SELECT actor FROM transfers ORDER BY position, line";
    assert_eq!(
        texts(&servers, transfers).await,
        ["key:4f2a", "nats", "nats"]
    );
    let outcomes = "SELECT actor FROM outcomes ORDER BY position, line";
    let expected = ["key:4f2a", "sluice", "key:4f2a", "nats", "nats", "nats"];
    assert_eq!(texts(&servers, outcomes).await, expected);
    let kept = "SELECT command FROM outcomes ORDER BY position, line";
    let bob = by_key(&open("bob", false));
    // The last one is the replay.
    let expected = [&lines[0], &lines[1], &bob, &lines[3], &lines[7], "NULL"];
    assert_eq!(texts(&servers, kept).await, expected);
    let dead = "SELECT actor FROM dead_letters ORDER BY position, line";
    assert_eq!(texts(&servers, dead).await, ["key:4f2a", "nats"]);
    let headers = "SELECT convert_from(headers, 'UTF8') FROM dead_letters ORDER BY position, line";
    let headers = texts(&servers, headers).await;
    let ours = &headers[0];
    assert!(
        ours.starts_with("NATS/1.0\r\n") && ours.contains("Sluice-Schema: cmd.v1\r\n"),
        "{ours}"
    );
    assert_eq!(headers[1], "NULL");
    let versions =
        "SELECT count(*) FROM commits WHERE encoder = 2 AND rules = 1 AND serial IS NOT NULL";
    let commits = servers.number("SELECT count(*) FROM commits").await;
    assert_eq!(servers.number(versions).await, commits);
}

#[tokio::test]
async fn an_event_says_who_asked_for_its_command_and_its_transfer_who_asked_first() {
    let (servers, _) = asked().await;
    let events = published(&servers).await;
    let expected = [
        "key:4f2a", "sluice", "key:4f2a", "nats", "key:4f2a", "nats", "key:4f2a", "nats", "nats",
        "nats", "nats",
    ];
    let told: Vec<&Value> = events.iter().map(|event| &event["actor"]).collect();
    assert_eq!(told, expected);
    assert_eq!(events[4]["data"]["actor"], "key:4f2a");
    assert_eq!(events[5]["data"]["actor"], "nats");
    // The replay was asked for by somebody else than the transfer.
    assert_eq!(events[8]["type"], "sluice.transfer.replayed.v1");
    assert_eq!(events[8]["data"]["transfer"]["actor"], "key:4f2a");
    assert!(
        events
            .iter()
            .all(|event| event.get("traceparent").is_none())
    );
}

/// Key, balance, version and limit seen.
type Refused = (String, Option<i64>, Option<i64>, Option<i64>);

#[tokio::test]
async fn a_refusal_tells_what_it_saw_of_the_debit_account() {
    let servers = Servers::start(1).await;
    let role = servers.process(Config::default());
    let euro = r#"{"command":"open_account","ledger":"sim","id":"euro","currency":"EUR"}"#;
    let limit = r#"{"command":"change_account","ledger":"sim","id":"alice","min_balance":"5"}"#;
    let lines = [
        open("world", true),
        open("alice", false),
        transfer("k1", "world", "alice", 7),
        limit.to_owned(),
        transfer("poor", "alice", "world", 3),
        transfer("same", "world", "world", 3),
        transfer("nobody", "nobody", "world", 3),
        transfer("nowhere", "alice", "nobody", 3),
        euro.to_owned(),
        transfer("other", "euro", "world", 3),
    ];
    let last = servers.append(0, &lines).await;
    servers.applied(&[(0, last)]).await;
    role.stop().await;
    let rows: Vec<Refused> = sqlx::query_as(
        "SELECT idempotency_key, balance_seen, version_seen, min_balance_seen FROM transfers ORDER BY line",
    )
    .fetch_all(&servers.admin)
    .await
    .unwrap();
    let expected = [
        ("k1", None, None, None),
        ("poor", Some(7), Some(1), Some(5)),
        ("same", Some(-7), Some(1), None),
        ("nobody", None, None, None),
        ("nowhere", Some(7), Some(1), Some(5)),
        // It counts with other decimals.
        ("other", None, Some(0), None),
    ];
    let expected =
        expected.map(|(key, balance, version, limit)| (key.to_owned(), balance, version, limit));
    assert_eq!(rows, expected);
    let events = published(&servers).await;
    let poor = &events[4]["data"];
    let seen =
        ["balance_seen", "version_seen", "min_balance_seen"].map(|field| poor[field].to_string());
    assert_eq!(seen, ["\"7\"", "1", "\"5\""]);
    assert_eq!(events[6]["data"].get("balance_seen"), None);
}

#[tokio::test]
async fn a_refusal_written_by_encoder_2_and_replayed_in_a_commit_of_encoder_1_omits_its_fields() {
    let servers = Servers::start(1).await;
    let role = servers.process(Config::default());
    let refused = transfer("poor", "alice", "world", 3);
    let first = [open("world", true), open("alice", false), refused.clone()];
    let first = servers.append(0, &first).await;
    servers.applied(&[(0, first)]).await;
    let last = servers.append(0, &[refused]).await;
    servers.applied(&[(0, last)]).await;
    role.stop().await;
    let newest = published(&servers).await.pop().unwrap();
    let data = &newest["data"]["transfer"];
    assert_eq!(
        (&data["version_seen"], &data["actor"]),
        (&0.into(), &"nats".into())
    );

    // As the version before would have committed the replay, had it come while both were running.
    let commits = commits_after(&servers.admin, Partition(0), Position::default(), 10)
        .await
        .unwrap();
    let replay = commits.last().unwrap();
    assert_eq!(replay.first_position, Position::new(0, last));
    let stretch = Stretch::of(Partition(0), replay);
    let events = events_in(&servers.admin, stretch, None).await.unwrap();
    let body = Lines::encode(Encoder::V1, &events).body;
    sqlx::query("UPDATE commits SET encoder = 1, hash = $1, serial = NULL WHERE position = $2")
        .bind(&link(&replay.previous_hash, &body)[..])
        .bind(replay.position.number())
        .execute(&servers.admin)
        .await
        .unwrap();
    // Purged only, it would take the commits for repeats for a while.
    servers
        .jetstream()
        .delete_stream(streams::EVENTS)
        .await
        .unwrap();
    let settings = streams::Settings {
        partitions: 1,
        ..streams::Settings::default()
    };
    let connection = streams::connect(&servers.nats.url(), "test").await.unwrap();
    streams::Log::create(connection, &settings).await.unwrap();
    let role = servers.process(Config::default());
    until(async || published(&servers).await.len() == 4).await;
    role.stop().await;
    let rebuilt = published(&servers).await.pop().unwrap();
    let data = &rebuilt["data"]["transfer"];
    assert_eq!(data["status"], "refused");
    for field in ["balance_seen", "version_seen", "min_balance_seen", "actor"] {
        assert_eq!(data.get(field), None, "{field}");
    }
    assert_eq!(rebuilt.get("actor"), None);
}

#[tokio::test]
async fn commits_that_touched_a_common_account_stand_in_the_order_in_which_they_happened() {
    let servers = Servers::start(2).await;
    let store = servers.store(Duration::from_mins(1));
    let [first, second] = [Partition(0), Partition(1)];
    let take = async |partition| {
        store
            .take_over(partition, "a")
            .await
            .unwrap()
            .unwrap()
            .lease
    };
    let (early, late) = (take(first).await, take(second).await);
    let world = r#"{"command":"open_account","id":"world","currency":"USD","min_balance":null}"#;
    let freeze = r#"{"command":"freeze_account","id":"world"}"#;
    let opening = batch(first, 1, &[world]);
    let opened = commits::open(&store, early, step(0, 1), &opening).await;
    opened.unwrap().0.commit().await.unwrap();

    // Others, that believe nothing: the one that is quick has locked the account.
    let [quick, slow] = [(); 2].map(|()| servers.careful_store());
    let freezing = batch(first, 2, &[freeze]);
    let reads = ledger::reads(&freezing);
    let begun = quick.begin(early, step(1, 2), &reads).await;
    let (mut quick, loaded) = begun.unwrap();
    let unfreezing = batch(
        second,
        1,
        &[r#"{"command":"unfreeze_account","id":"world"}"#],
    );
    // It begins before the other one writes, and decides last.
    let mut slow = pin!(commits::open(&slow, late, step(0, 1), &unfreezing));
    let waits = async { until(async || servers.number(WAITING).await == 1).await };
    tokio::select! {
        _ = &mut slow => panic!("the other one holds the account"),
        () = waits => {}
    }
    let freezing = decide(early, &freezing, &reads, loaded);
    quick.write(&freezing).await.unwrap();
    quick.commit().await.unwrap();
    slow.await.unwrap().0.commit().await.unwrap();
    let order: Vec<(i16, i64)> =
        sqlx::query_as("SELECT partition, position FROM commits ORDER BY serial")
            .fetch_all(&servers.admin)
            .await
            .unwrap();
    assert_eq!(order, [(0, 1), (0, 2), (1, 1)]);
}

#[tokio::test]
async fn a_processor_that_is_older_than_the_newest_commit_takes_no_partition() {
    for newer in [
        "UPDATE commits SET encoder = 99 WHERE position = (SELECT max(position) FROM commits)",
        "UPDATE commits SET rules = 99 WHERE position = (SELECT max(position) FROM commits)",
    ] {
        let servers = Servers::start(2).await;
        let role = servers.process(Config::default());
        let opened = servers.append(1, &[open("alice", true)]).await;
        servers.applied(&[(1, opened)]).await;
        assert_eq!(servers.number(HELD).await, 2);
        let told = servers.number("SELECT count(*) FROM processors").await;
        assert_eq!(told, 1);
        servers.execute(newer).await;
        // It gives back what it holds and does not count among those that share.
        until(async || servers.number(HELD).await == 0).await;
        until(async || servers.number("SELECT count(*) FROM processors").await == 0).await;
        servers
            .execute("UPDATE commits SET encoder = 2, rules = 1")
            .await;
        until(async || servers.number(HELD).await == 2).await;
        role.stop().await;
    }
}

const HELD: &str = "SELECT count(*) FROM partitions WHERE owner IS NOT NULL";
