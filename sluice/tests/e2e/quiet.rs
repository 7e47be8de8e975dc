//! What a processor writes to its log when a statement is slow.
//!
//! Invariant: the statement was slow for long enough to be worth a line.

use schemas::{AccountId, partition_of};

use crate::process::eventually;
use crate::system::System;

const TRANSFERS: usize = 400;

/// One that takes a second is logged by sqlx with its text, unless that is off; our first one holds ids.
#[tokio::test]
async fn a_slow_statement_is_not_logged_with_the_ids_of_its_transfers() {
    const WAITS: &str = "SELECT query FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'sluice process' AND wait_event_type = 'Lock' AND query LIKE '%BEGIN; EXECUTE%'
        AND clock_timestamp() - query_start > interval '1.2 seconds'";
    let system = System::start().await;
    system.open(&["a", "b"]).await;
    let partitions = system.log().await.partitions();
    let partition = partition_of(&AccountId::parse("a").unwrap(), partitions);

    let mut outside = system.database.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM partitions WHERE partition = $1 FOR UPDATE")
        .bind(i16::try_from(partition.0).unwrap())
        .execute(&mut *outside)
        .await
        .unwrap();
    let lines: Vec<String> = (0..TRANSFERS)
        .map(|line| {
            format!(
                r#"{{"idempotency_key":"slow-{line}","debit_account":"a","credit_account":"b","amount":"0.01","currency":"USD"}}"#
            )
        })
        .collect();
    let headers = [("content-type", "application/x-ndjson")];
    let lines = lines.join("\n");
    let mut client = system.client();
    let answer = client.post("/v1/transfers/batch", &headers, &lines).await;
    assert_eq!(answer.status, 200);
    let statement: String = eventually("the first statement is slow", async || {
        let query = sqlx::query_scalar(WAITS);
        query.fetch_optional(&system.database).await.unwrap()
    })
    .await;
    outside.rollback().await.unwrap();
    system.drained().await;

    let ids: Vec<uuid::Uuid> =
        sqlx::query_scalar("SELECT id FROM transfers WHERE idempotency_key LIKE 'slow-%'")
            .fetch_all(&system.database)
            .await
            .unwrap();
    assert_eq!(ids.len(), TRANSFERS);
    let shows = |text: &str| {
        let id = ids
            .iter()
            .find(|id| text.contains(&id.simple().to_string()) || text.contains(&id.to_string()));
        id.copied()
    };
    assert!(shows(&statement).is_some(), "it holds ids: {statement}");
    let log = system.processors[0].log();
    assert!(log.contains("processing"), "it is logged at all: {log}");
    for line in log.lines() {
        assert_eq!(shows(line), None, "{line}");
    }
    system.verify().await;
}
