//! A row that somebody outside keeps locked holds up its own partition only.

use std::time::Duration;

use tokio::time::Instant;
use worker::{Config, times};

use super::bed::{Servers, accounts_of, open, transfer};

/// Within this the other partition goes on, behind the turn of the batch that waits: it is given back at the first lock
/// time-out, or before.
const FIRST_WAIT_MAX: Duration = Duration::from_secs(3);
/// Less than a lock time-out: no later try of that batch is waited for.
const NEXT_WAIT_MAX: Duration = Duration::from_secs(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_locked_from_outside_holds_up_its_own_partition_only() {
    let servers = Servers::start(2).await;
    let [here, there] = [0, 1].map(accounts_of);
    let role = servers.process(Config::default());
    let mut opened = Vec::new();
    for (partition, accounts) in [(0, &here), (1, &there)] {
        let lines: Vec<String> = accounts.iter().map(|id| open(id, true)).collect();
        opened.push((partition, servers.append(partition, &lines).await));
    }
    servers.applied(&opened).await;
    let epochs = "SELECT sum(epoch)::bigint FROM partitions";
    let before = servers.number(epochs).await;

    let mut outside = servers.admin.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM accounts WHERE id = $1 FOR UPDATE")
        .bind(&here[0])
        .execute(&mut *outside)
        .await
        .unwrap();
    let waits = servers
        .append(0, &[transfer("waits", &here[0], &here[1], 1)])
        .await;
    let started = Instant::now();
    let mut waits_of_others = Vec::new();
    // Longer than a lease that nobody renews.
    while started.elapsed() < times::LEASE * 2 {
        let key = format!("goes on {}", waits_of_others.len());
        let appended = Instant::now();
        let pay = transfer(&key, &there[0], &there[1], 1);
        let sequence = servers.append(1, &[pay]).await;
        servers.applied(&[(1, sequence)]).await;
        waits_of_others.push(appended.elapsed());
    }
    let went_on = waits_of_others.len();
    assert!(went_on > 100, "the other partition made {went_on} commits");
    let [first, next @ ..] = &waits_of_others[..] else {
        unreachable!("there are more than 100");
    };
    assert!(*first < FIRST_WAIT_MAX, "it waited {first:?} at first");
    let slowest = next.iter().max();
    assert!(
        slowest < Some(&NEXT_WAIT_MAX),
        "it waited {slowest:?} for later tries"
    );
    let held = "SELECT count(*) FROM partitions WHERE partition = 0 AND lease_until > clock_timestamp() AND applied < $1";
    let held: i64 = sqlx::query_scalar(held)
        .bind(i64::try_from(waits).unwrap())
        .fetch_one(&servers.admin)
        .await
        .unwrap();
    assert_eq!(held, 1, "its own partition waits under its lease");

    outside.rollback().await.unwrap();
    servers.applied(&[(0, waits)]).await;
    role.stop().await;
    assert_eq!(servers.number(epochs).await, before, "nobody started over");
    let posted = "SELECT count(*) FROM transfers WHERE reason IS NULL";
    let all = i64::try_from(went_on + 1).unwrap();
    assert_eq!(servers.number(posted).await, all);
    assert_eq!(servers.number("SELECT count(*) FROM dead_letters").await, 0);
}
