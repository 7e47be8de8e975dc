//! Reads on tables that have grown: each uses an index.

use schemas::Partition;
use sqlx::Connection;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use crate::book::{a_busy_day, apply};
use crate::harness::{Api, eventually};

#[tokio::test]
async fn no_read_scans_a_grown_table() {
    let api = Api::start().await;
    let mut book = a_busy_day(&api).await;
    grow(&api).await;
    let id = book.id("p1");
    book.position = 30_000;
    apply(&api, Partition(0), book.position).await;
    let paths = [
        format!("/v1/transfers/{id}"),
        format!("/v1/transfers/{id}?at=0.2"),
        format!("/v1/transfers/{id}/timeline"),
        "/v1/transfers/by-key/nothing".to_owned(),
        "/v1/transfers".to_owned(),
        "/v1/transfers?status=posted".to_owned(),
        "/v1/transfers?status=refused".to_owned(),
        "/v1/transfers?account=alice".to_owned(),
        "/v1/accounts/alice".to_owned(),
        "/v1/accounts/alice/statement".to_owned(),
        "/v1/accounts/alice/statement?from=1970-01-01T00:00:02Z&to=1970-01-01T00:00:07Z".to_owned(),
        "/v1/accounts/alice/balance?at=1970-01-01T00:00:04Z".to_owned(),
        "/v1/accounts?limit=5".to_owned(),
        "/v1/events".to_owned(),
    ];
    let options = api.pool.connect_options();
    let scans = async || sequential_scans(&mut session(&options).await).await;
    let before = scans().await;
    for path in &paths {
        // Often enough that Postgres may turn to a generic plan.
        for _ in 0..7 {
            let status = api.get(&api.read_key, path).await.status;
            assert!(status == 200 || status == 404, "{path}");
        }
    }
    // A session tells its counts at the latest when it ends.
    api.pool.close().await;
    eventually("the look-ups are counted", async || {
        index_scans(&mut session(&options).await).await > 7 * i64::try_from(paths.len()).unwrap()
    })
    .await;
    assert_eq!(scans().await, before);
}

/// 30,000 transfers among 3,000 accounts of another ledger, and as many outcomes and dead letters.
async fn grow(api: &Api) {
    const SQL: &str = "
        INSERT INTO accounts (balance, version, opened_at, changed_at, ledger, exponent, id, currency, status)
        SELECT 0, 0, 1, 1, 9, 2, 'a' || n, 'USD', 'open' FROM generate_series(1, 3000) n;
        INSERT INTO transfers (id, position, accepted_at, decided_at, amount, debit_version, credit_version,
               debit_balance_after, credit_balance_after, ledger, line, partition, exponent, debit_account,
               credit_account, currency, idempotency_key, reason)
        SELECT gen_random_uuid(), n, n, n, 1, v, v, v, v, 9, 0, 1, 2, 'a' || n % 3000, 'b' || n % 3000, 'USD', n,
               CASE WHEN v IS NULL THEN 'account_frozen' END
          FROM (SELECT n, CASE WHEN n % 50 <> 0 THEN n END v FROM generate_series(1, 30000) n) numbered;
        INSERT INTO outcomes (position, decided_at, ledger, line, partition, kind, data)
        SELECT n, n, 9, 1, 1, 'x', '{}' FROM generate_series(1, 30000) n;
        INSERT INTO dead_letters (position, decided_at, recorded_at, line, partition, whole, reason, detail, body)
        SELECT n, n, n, 2, 1, FALSE, 'x', 'x', '' FROM generate_series(1, 30000) n;
        INSERT INTO commits (position, first_position, decided_at, epoch, commands, partition, encoder, previous_hash,
               hash)
        SELECT n, n, n, 1, 1, 1, 1, decode(repeat('00', 32), 'hex'), decode(repeat('00', 32), 'hex')
          FROM generate_series(1, 30000) n;
        ANALYZE";
    sqlx::raw_sql(SQL).execute(&api.pool).await.unwrap();
}

async fn session(options: &PgConnectOptions) -> PgConnection {
    PgConnection::connect_with(options).await.unwrap()
}

async fn sequential_scans(connection: &mut PgConnection) -> Vec<(String, i64)> {
    sqlx::query_as(
        "SELECT relname::TEXT, seq_scan FROM pg_stat_user_tables
          WHERE relname IN ('accounts', 'transfers', 'outcomes', 'dead_letters', 'commits') ORDER BY relname",
    )
    .fetch_all(connection)
    .await
    .unwrap()
}

async fn index_scans(connection: &mut PgConnection) -> i64 {
    sqlx::query_scalar(
        "SELECT sum(idx_scan)::BIGINT FROM pg_stat_user_tables WHERE relname = 'transfers'",
    )
    .fetch_one(connection)
    .await
    .unwrap()
}
