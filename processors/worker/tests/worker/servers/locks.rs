//! Partitions that touch each other's accounts.

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use schemas::{AccountId, partition_of};
use worker::Config;

use super::bed::{Role, Servers, open, transfer, until};

const WRITERS: u16 = 4;
const ACCOUNTS: usize = 2000;
const RECORDS_EACH: usize = 12;
const BATCH: usize = 200;
const SEED: u64 = 5;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn four_writers_on_the_same_accounts_never_deadlock() {
    written_by(1).await;
}

/// What each remembers is mostly stale.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn nor_do_those_of_two_processes() {
    written_by(2).await;
}

async fn written_by(processes: usize) {
    let servers = Servers::start(WRITERS).await;
    let mut accounts: Vec<Vec<String>> = vec![Vec::new(); usize::from(WRITERS)];
    for number in 0..ACCOUNTS {
        let id = format!("account-{number}");
        let partition = partition_of(&AccountId::parse(&id).unwrap(), WRITERS);
        accounts[usize::from(partition.0)].push(id);
    }
    let mut chance = StdRng::seed_from_u64(SEED);
    let mut last = Vec::new();
    for (partition, here) in (0..WRITERS).zip(&accounts) {
        for part in here.chunks(BATCH) {
            let lines: Vec<String> = part.iter().map(|id| open(id, true)).collect();
            servers.append(partition, &lines).await;
        }
    }
    for round in 0..RECORDS_EACH {
        last.clear();
        for (partition, here) in (0..WRITERS).zip(&accounts) {
            let mut pick = |from: &[String]| from[chance.random_range(0..from.len())].clone();
            let lines: Vec<String> = (0..BATCH)
                .map(|line| {
                    let credits = &accounts[(usize::from(partition) + line) % accounts.len()];
                    let (debit, credit) = (pick(here), pick(credits));
                    transfer(&format!("{partition} {round} {line}"), &debit, &credit, 5)
                })
                .collect();
            last.push((partition, servers.append(partition, &lines).await));
        }
    }

    let mut roles = Vec::new();
    for _ in 0..processes {
        let config = Config {
            batch_commands_max: BATCH,
            ..Config::default()
        };
        roles.push(Role::start(servers.log.clone(), servers.sessions(), config));
    }
    servers.applied(&last).await;
    for role in roles {
        role.stop().await;
    }

    assert_eq!(servers.number("SELECT count(*) FROM transfers").await, {
        i64::try_from(usize::from(WRITERS) * RECORDS_EACH * BATCH).unwrap()
    });
    assert_eq!(
        servers
            .number("SELECT sum(balance)::bigint FROM accounts")
            .await,
        0
    );
    let postings = "SELECT sum(version)::bigint - 2 * (SELECT count(*) FROM transfers WHERE reason IS NULL) FROM accounts";
    assert_eq!(servers.number(postings).await, 0);
    // Counted by the sessions as they go.
    servers.pool.close().await;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice process' AND datname = current_database()";
    until(async || servers.number(sessions).await == 0).await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(servers.number(deadlocks).await, 0);
}
