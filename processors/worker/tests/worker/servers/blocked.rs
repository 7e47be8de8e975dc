//! A process that stands still inside its transaction must not hold others up.

use std::time::Duration;

use schemas::Partition;
use worker::simulation::Store as _;

use super::bed::Servers;

#[tokio::test]
async fn a_takeover_ends_the_session_that_keeps_the_partition_locked() {
    let servers = Servers::start(1).await;
    servers
        .execute("UPDATE partitions SET owner = 'standing still', lease_until = clock_timestamp() - interval '1 second'")
        .await;
    let mut still = servers.admin.begin().await.unwrap();
    sqlx::query("UPDATE partitions SET applied = 7")
        .execute(&mut *still)
        .await
        .unwrap();

    let store = servers.store(Duration::from_secs(6));
    let taken = tokio::time::timeout(
        Duration::from_secs(10),
        store.take_over(Partition(0), "next"),
    );
    let row = taken.await.unwrap().unwrap().unwrap();

    assert_eq!((row.lease.epoch, row.applied.number()), (1, 0));
    let error = sqlx::query("SELECT 1")
        .execute(&mut *still)
        .await
        .unwrap_err();
    let ended = error
        .as_database_error()
        .map(|error| error.code().unwrap_or_default().into_owned());
    assert!(
        ended.as_deref().is_none_or(|code| code == "57P01"),
        "the session goes on: {error}"
    );
}
