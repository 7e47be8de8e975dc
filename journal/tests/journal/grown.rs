//! Reading one commit of many.

use journal::Link;
use sqlx::PgPool;

use crate::bed::{Bed, take};

/// Beside them, in the same partition. What a plan costs on a table that is a hundred times as large and not in memory, it
/// costs here where places are dear.
const GROW: &str = "
    INSERT INTO transfers (id, position, accepted_at, decided_at, amount, ledger, line, partition, exponent,
           debit_account, credit_account, currency, idempotency_key, reason, detail)
    SELECT md5(n::text)::uuid, 1000 + n, 0, 0, 1, 1, 0, 0, 0, 'a', 'b', 'JPY', n::text, 'account_frozen', ''
      FROM generate_series(1, 100000) AS n;
    INSERT INTO outcomes (position, decided_at, ledger, line, partition, kind, transfer_id)
    SELECT 1000 + n, 0, 1, 1, 0, 'sluice.transfer.replayed.v1', md5(n::text)::uuid
      FROM generate_series(1, 100000) AS n;
    ANALYZE;
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET random_page_cost = 40', current_database());
    END $$";

const READ_WHOLE: &str = "SELECT sum(seq_scan)::bigint FROM pg_stat_user_tables
    WHERE relname IN ('transfers', 'outcomes')";

/// Under plans for any session, not only those of processors.
#[tokio::test]
async fn no_big_table_is_read_whole_for_one_commit() {
    let mut bed = Bed::with(9).await;
    bed.execute(GROW).await;
    bed.purge(10).await;
    let before = read_whole(&mut bed).await;
    take(&mut bed.source(Link::default()), 9).await;
    assert_eq!(read_whole(&mut bed).await, before);
}

/// A session counts for others when it ends.
async fn read_whole(bed: &mut Bed) -> i64 {
    let options = (*bed.database.connect_options()).clone();
    bed.database.close().await;
    bed.database = PgPool::connect_with(options).await.unwrap();
    let others = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid()";
    while number(bed, others).await > 0 {
        tokio::task::yield_now().await;
    }
    number(bed, READ_WHOLE).await
}

async fn number(bed: &Bed, sql: &'static str) -> i64 {
    let number = sqlx::query_scalar(sql).fetch_one(&bed.database);
    number.await.unwrap()
}
