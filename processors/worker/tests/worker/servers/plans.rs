//! A plan made while a table was empty must serve when it has grown.

use std::time::Duration;

use schemas::{Partition, Position};
use worker::Config;
use worker::simulation::Store as _;

use super::bed::{Servers, open, transfer, until};

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
        last = work(&servers, &format!("empty {round}")).await;
    }
    servers.applied(&[(0, last)]).await;
    let before = servers.number(SCANNED).await;

    servers.execute(GROW).await;
    for round in 0..3 {
        last = work(&servers, &format!("grown {round}")).await;
    }
    servers.execute("ANALYZE").await;
    for round in 0..3 {
        last = work(&servers, &format!("analyzed {round}")).await;
    }
    servers.applied(&[(0, last)]).await;
    role.stop().await;
    read_everything_back(&servers).await;

    // A session counts for others when it ends.
    servers.pool.close().await;
    let sessions = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'sluice process' AND datname = current_database()";
    until(async || servers.number(sessions).await == 0).await;
    let looked_up = "SELECT idx_scan FROM pg_stat_user_tables WHERE relname = 'accounts'";
    assert!(servers.number(looked_up).await > 10, "nothing was counted");
    assert_eq!(
        servers.number(SCANNED).await,
        before,
        "tables were read from end to end"
    );
}

/// Commands of every kind that reads or writes a big table; waits until they are applied.
async fn work(servers: &Servers, key: &str) -> u64 {
    let pay = transfer(key, "world", "alice", 10);
    let change = format!(
        r#"{{"command":"change_account","ledger":"sim","id":"alice","metadata":{{"round":"{key}"}}}}"#
    );
    let lines = [pay.clone(), pay, change, "{".to_owned()];
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
