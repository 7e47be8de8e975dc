//! A log that was restored or created again, adopted while processors run.

use std::time::Duration;

use schemas::{Partition, Position};
use worker::Config;
use worker::operate::adopt_stream;

use super::bed::{LEDGER, Servers, open, transfer, until};

#[tokio::test]
async fn an_older_copy_is_cut_by_its_contents_while_processors_run() {
    let servers = Servers::start(1).await;
    let role = servers.process(Config {
        pause_max: Duration::from_millis(100),
        ..Config::default()
    });
    let pay = |key: &str| transfer(key, "world", "alice", 1);
    let opened = [open("world", true), open("alice", false)];
    servers.append(0, &opened).await;
    for key in ["k1", "k2", "k3"] {
        servers.append(0, &[pay(key)]).await;
    }
    servers.append(0, &["{".to_owned()]).await;
    servers.applied(&[(0, 5)]).await;

    servers.jetstream().delete_stream("COMMANDS").await.unwrap();
    let settings = streams::Settings {
        partitions: 1,
        ..streams::Settings::default()
    };
    let connection = streams::connect(&servers.url(), "restore").await.unwrap();
    streams::Log::create(connection, &settings).await.unwrap();
    servers.append(0, &opened).await;
    for line in [pay("k1"), pay("instead"), pay("k2"), "{".to_owned()] {
        servers.append(0, &[line]).await;
    }
    // The clock of the old log was ahead.
    servers
        .execute("UPDATE partitions SET applied_at = applied_at + 86400000000000")
        .await;
    let stopped = "SELECT count(*) FROM partitions WHERE stopped IS NOT NULL";
    until(async || servers.number(stopped).await == 1).await;

    let (proxy, log) = servers.proxy().await;
    let epoch = async || servers.number("SELECT epoch FROM partitions").await;
    let before = epoch().await;
    proxy.silence();
    let database = servers.admin.clone();
    let adopted =
        tokio::spawn(
            async move { adopt_stream(&database, &log, Partition(0), "an older copy").await },
        );
    // Its owner tries again and again meanwhile.
    until(async || epoch().await > before + 8).await;
    assert!(!adopted.is_finished());
    proxy.pass();
    let applied = adopted.await.unwrap().unwrap();
    assert_eq!(applied, Position::new(1, 2));

    let instead =
        "SELECT count(*) FROM transfers WHERE idempotency_key = 'instead' AND reason IS NULL";
    until(async || servers.number(instead).await == 1).await;
    role.stop().await;
    let balance = "SELECT balance FROM accounts WHERE id = 'alice'";
    assert_eq!(servers.number(balance).await, 4);
}

#[tokio::test]
async fn a_stream_that_was_left_goes_on_where_it_was_left() {
    let servers = Servers::start(1).await;
    let role = servers.process(Config::default());
    let close = format!(r#"{{"command":"close_account","ledger":"{LEDGER}","id":"alice"}}"#);
    let opened = [open("world", true), open("alice", false)];
    servers.append(0, &opened).await;
    servers
        .append(0, &[transfer("in", "world", "alice", 5)])
        .await;
    servers.append(0, &[close]).await;
    servers
        .append(0, &[transfer("out", "alice", "world", 5)])
        .await;
    servers.applied(&[(0, 4)]).await;

    let other = stack::testing::nats().await;
    let connection = streams::connect(&other.url(), "another").await.unwrap();
    let settings = streams::Settings {
        partitions: 1,
        ..streams::Settings::default()
    };
    let log = streams::Log::create(connection, &settings).await.unwrap();
    let adopt = async |log: &streams::Log, why: &str| {
        adopt_stream(&servers.admin, log, Partition(0), why).await
    };
    let refused = adopt(&log, "the wrong server").await.unwrap_err();
    assert!(refused.to_string().contains("is at work"), "{refused}");
    role.stop().await;
    let applied = adopt(&log, "the wrong server").await.unwrap();
    assert_eq!(applied, Position::new(1, 0));
    let applied = adopt(&servers.log, "the right one").await.unwrap();
    assert_eq!(applied, Position::new(2, 4));

    // An account that was refused its closing is not closed by it now.
    let role = servers.process(Config::default());
    servers
        .append(0, &[transfer("later", "world", "alice", 1)])
        .await;
    let later = "SELECT count(*) FROM transfers WHERE idempotency_key = 'later' AND reason IS NULL";
    until(async || servers.number(later).await == 1).await;
    role.stop().await;
}

#[tokio::test]
async fn a_stream_with_nothing_known_on_it_is_read_from_its_beginning() {
    let servers = Servers::start(1).await;
    let role = servers.process(Config::default());
    servers
        .append(0, &[open("world", true), open("alice", false)])
        .await;
    servers.append(0, &["{".to_owned()]).await;
    servers.applied(&[(0, 2)]).await;
    role.stop().await;
    servers.jetstream().delete_stream("COMMANDS").await.unwrap();
    let settings = streams::Settings {
        partitions: 1,
        ..streams::Settings::default()
    };
    let connection = streams::connect(&servers.url(), "again").await.unwrap();
    let log = streams::Log::create(connection, &settings).await.unwrap();
    servers
        .append(0, &[transfer("new", "world", "alice", 1)])
        .await;
    // Junk is equal to junk: it says nothing of what is before it.
    servers.append(0, &["{".to_owned()]).await;
    let adopted = adopt_stream(&servers.admin, &log, Partition(0), "created again").await;
    assert_eq!(adopted.unwrap(), Position::new(1, 0));
}
