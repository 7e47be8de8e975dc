//! One command must not stop a partition.

use worker::Config;

use super::bed::{Servers, described, open, transfer};

/// Six transfers in one record, the third of them spoilt by `spoil`; gives the dead letters' reasons and lines.
async fn check(spoil: &'static str, third: String) -> (Vec<(i32, String, String)>, i64, i64) {
    let servers = Servers::start(1).await;
    let role = servers.process(Config::default());
    let opened = servers
        .append(
            0,
            &[open("world", true), open("alice", false), open("bob", true)],
        )
        .await;
    servers.applied(&[(0, opened)]).await;
    servers.execute(spoil).await;
    let mut lines: Vec<String> = (0..6)
        .map(|number| transfer(&format!("k{number}"), "world", "alice", 10))
        .collect();
    lines[2] = third;
    let spoilt = servers.append(0, &lines).await;
    let after = servers
        .append(0, &[transfer("after", "world", "alice", 1)])
        .await;
    servers.applied(&[(0, spoilt), (0, after)]).await;
    role.stop().await;
    let dead: Vec<(i32, String, String)> =
        sqlx::query_as("SELECT line, reason, detail FROM dead_letters")
            .fetch_all(&servers.admin)
            .await
            .unwrap();
    let posted = "SELECT count(*) FROM transfers WHERE reason IS NULL";
    let balance = "SELECT balance FROM accounts WHERE id = 'alice'";
    (
        dead,
        servers.number(posted).await,
        servers.number(balance).await,
    )
}

#[tokio::test]
async fn a_command_that_postgres_refuses_becomes_a_dead_letter_and_the_partition_goes_on() {
    let constraint = "ALTER TABLE transfers ADD CONSTRAINT sane CHECK (description <> 'insane')";
    let third = described("k2", "world", "alice", 10, "insane");
    let (dead, posted, balance) = check(constraint, third).await;
    let [(2, reason, detail)] = &dead[..] else {
        panic!("{dead:?}");
    };
    assert_eq!(reason, "cannot_be_committed");
    assert!(detail.contains("sane"), "{detail}");
    assert_eq!((posted, balance), (6, 51));
}

#[tokio::test]
async fn a_command_that_panics_the_core_becomes_a_dead_letter_and_the_partition_goes_on() {
    let no_room = "UPDATE accounts SET version = 9223372036854775807 WHERE id = 'bob'";
    let third = transfer("k2", "world", "bob", 10);
    let (dead, posted, balance) = check(no_room, third).await;
    let [(2, reason, detail)] = &dead[..] else {
        panic!("{dead:?}");
    };
    assert_eq!(reason, "cannot_be_committed");
    assert!(detail.contains("panicked"), "{detail}");
    assert_eq!((posted, balance), (6, 51));
}
