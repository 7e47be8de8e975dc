//! A plan made while a table was empty must serve when it has grown.

use std::time::Duration;

use schemas::{Partition, Position};
use sqlx::AssertSqlSafe;
use sqlx::postgres::PgPoolOptions;
use worker::Config;
use worker::simulation::{Postgres, Store as _};

use super::bed::{Servers, open, transfer, until};
use super::statements::{OPEN, commit, commit_transfers, take};

/// Tables that grow with every command.
const SCANNED: &str = "SELECT coalesce(sum(seq_scan), 0)::bigint
    FROM pg_stat_user_tables
   WHERE relname IN ('accounts', 'transfers', 'outcomes', 'commits', 'dead_letters')";

const GROW: &str = "
    INSERT INTO accounts (ledger, id, currency, exponent, status, balance, min_balance, version, opened_at, changed_at,
           opening_min_balance)
    SELECT 1, 'grown-' || n, 'JPY', 0, 'open', 0, 0, 0, 0, 0, 0
      FROM generate_series(1, 50000) AS n;
    INSERT INTO transfers (id, position, accepted_at, decided_at, amount, ledger, line, partition, exponent,
           debit_account, credit_account, currency, idempotency_key, reason, detail)
    SELECT md5(n::text)::uuid, n, 0, 0, 1, 1, 0, 9, 0, 'grown-1', 'grown-2', 'JPY', n::text, 'account_frozen', ''
      FROM generate_series(1, 200000) AS n;
    INSERT INTO outcomes (position, decided_at, ledger, line, partition, kind, transfer_id)
    SELECT n, 0, 1, 0, 9, 'sluice.transfer.replayed.v1', md5(n::text)::uuid
      FROM generate_series(1, 50000) AS n;
    INSERT INTO commits (position, first_position, decided_at, epoch, commands, partition, encoder, previous_hash, hash)
    SELECT n, n, 0, 1, 1, 9, 1, decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex')
      FROM generate_series(1, 50000) AS n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn statements_planned_on_empty_tables_use_their_indexes_on_grown_ones() {
    let servers = Servers::start(1).await;
    let role = servers.process(Config::default());
    let mut last = servers
        .append(
            0,
            &[open("world", true), open("alice", false), "{".to_owned()],
        )
        .await;
    for round in 0..8 {
        last = work(&servers, &format!("empty {round}"), round).await;
    }
    servers.applied(&[(0, last)]).await;
    let before = servers.number(SCANNED).await;

    servers.execute(GROW).await;
    for round in 0..3 {
        last = work(&servers, &format!("grown {round}"), 10 + round).await;
    }
    servers.execute("ANALYZE").await;
    for round in 0..3 {
        last = work(&servers, &format!("analyzed {round}"), 20 + round).await;
    }
    servers.applied(&[(0, last)]).await;
    role.stop().await;
    read_everything_back(&servers).await;

    // A session counts for others when it ends.
    servers.pool.close().await;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice process' AND datname = current_database()";
    until(async || servers.number(sessions).await == 0).await;
    let looked_up = "SELECT idx_scan FROM pg_stat_user_tables WHERE relname = 'transfers'";
    assert!(servers.number(looked_up).await > 10, "nothing was counted");
    assert_eq!(
        servers.number(SCANNED).await,
        before,
        "tables were read from end to end"
    );
}

/// Commands of every kind that reads or writes a big table, one of them with an account that nobody remembers; waits until
/// they are applied.
async fn work(servers: &Servers, key: &str, unknown: u32) -> u64 {
    let pay = transfer(key, "world", "alice", 10);
    let read = transfer(
        &format!("{key} read"),
        "world",
        &format!("grown-{unknown}"),
        1,
    );
    let change = format!(
        r#"{{"command":"change_account","ledger":"sim","id":"alice","metadata":{{"round":"{key}"}}}}"#
    );
    let lines = [pay.clone(), pay, read, change, "{".to_owned()];
    let sequence = servers.append(0, &lines).await;
    servers.applied(&[(0, sequence)]).await;
    sequence
}

/// What a takeover reads.
async fn read_everything_back(servers: &Servers) {
    let store = servers.store(Duration::from_secs(6));
    let partition = Partition(0);
    let mut position = Position::default();
    let mut commits = 0;
    while let Some(commit) = store.commit_after(partition, position).await.unwrap() {
        store.journal(partition, &commit).await.unwrap();
        position = commit.position;
        commits += 1;
        assert_eq!(
            store.commit_at(partition, position).await.unwrap(),
            Some(commit)
        );
    }
    assert!(commits > 10);
    let last = store.last_commit(partition).await.unwrap();
    assert_eq!(last.map(|last| last.position), Some(position));
}

/// Tables that one statement writes, as its plan names them.
const WRITTEN: [&str; 4] = [
    "Insert on commits",
    "Insert on transfers",
    "Tid Scan on accounts",
    "Update on accounts",
];

/// The plan that the session really has, for a statement planned on empty tables.
#[tokio::test]
async fn the_parts_of_a_commit_see_nothing_of_one_another() {
    let servers = Servers::start(1).await;
    let options = servers.pool.connect_options();
    let one_session = PgPoolOptions::new().max_connections(1);
    let pool = one_session.connect_with((*options).clone()).await.unwrap();
    let store = Postgres::new(pool.clone(), &Config::default());
    let lease = take(&store).await;
    commit(&store, lease, 1, OPEN).await;
    commit_transfers(&store, lease, 2).await;
    servers.execute(GROW).await;
    for position in 3..9 {
        if position == 6 {
            servers.execute("ANALYZE").await;
        }
        commit_transfers(&store, lease, position).await;
    }
    drop(store);

    let mut session = pool.acquire().await.unwrap();
    let (name, parameters): (String, i32) = sqlx::query_as(
        "SELECT name, cardinality(parameter_types)
           FROM pg_prepared_statements
          WHERE statement LIKE '%INSERT INTO commits%' AND statement LIKE '%UPDATE accounts%'",
    )
    .fetch_one(&mut *session)
    .await
    .unwrap();
    let nulls = vec!["NULL"; usize::try_from(parameters).unwrap()].join(", ");
    let explain = format!("EXPLAIN (COSTS OFF) EXECUTE {name} ({nulls})");
    let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain))
        .fetch_all(&mut *session)
        .await
        .unwrap();
    let mut named: Vec<&str> = plan
        .iter()
        .filter_map(|line| line.split_once(" on ").map(|_| line.trim()))
        .filter(|line| !line.contains("CTE Scan") && !line.contains("Subquery Scan"))
        .map(|line| line.trim_start_matches("->  ").trim_end_matches(" a"))
        .collect();
    named.sort_unstable();
    assert_eq!(named, WRITTEN, "{plan:#?}");
    let found = plan.iter().any(|line| line.contains("TID Cond: (ctid = "));
    assert!(found, "{plan:#?}");

    let ties = "SELECT count(*) FROM pg_trigger
        WHERE tgrelid IN ('accounts'::regclass, 'transfers'::regclass, 'commits'::regclass)";
    assert_eq!(servers.number(ties).await, 0, "a trigger or a foreign key");
}
