//! Giving a partition back while records wait.

use worker::Config;

use super::bed::{Servers, open, transfer, until};

/// Many times what is applied until the processor is told to stop.
const BACKLOG: usize = 3000;
const APPLIED: &str = "SELECT applied FROM partitions";

/// Every batch ends because the next record does not fit, so that one is always at hand.
#[tokio::test]
async fn a_partition_is_given_back_in_the_middle_of_a_backlog() {
    let servers = Servers::start(1).await;
    servers
        .append(0, &[open("world", true), open("alice", false)])
        .await;
    let mut last = 0;
    for number in 0..BACKLOG {
        let line = transfer(&format!("key {number}"), "world", "alice", 1);
        last = servers.append(0, &[line]).await;
    }
    let role = servers.process(Config {
        batch_commands_max: 1,
        ..Config::default()
    });
    until(async || servers.number(APPLIED).await >= 10).await;
    role.stop().await;

    let free = "SELECT count(*) FROM partitions WHERE owner IS NULL";
    assert_eq!(servers.number(free).await, 1);
    let applied = servers.number(APPLIED).await;
    assert!(
        applied < i64::try_from(last).unwrap(),
        "it worked all of the backlog off first"
    );
    let role = servers.process(Config::default());
    servers.applied(&[(0, last)]).await;
    role.stop().await;
    let balance = "SELECT balance FROM accounts WHERE id = 'alice'";
    assert_eq!(
        servers.number(balance).await,
        i64::try_from(BACKLOG).unwrap()
    );
}
