//! The log is created again while we go on.

use schemas::Position;
use streams::{COMMANDS, Log, Settings};

use crate::book::apply;
use crate::harness::{Answer, Api, eventually};

/// What was applied of the first log.
const APPLIED: i64 = 1000;

async fn create_again(api: &Api) {
    let client = streams::connect(&api.nats.url(), "operator").await.unwrap();
    let jetstream = async_nats::jetstream::new(client.client());
    jetstream.delete_stream(COMMANDS).await.unwrap();
    Log::create(client, &Settings::default()).await.unwrap();
}

/// Every partition as a processor leaves it that has applied that much of the log as it is now.
async fn bind(api: &Api) {
    let created = api.log.identity().await.unwrap().created;
    for partition in 0..api.log.partitions() {
        apply(api, schemas::Partition(partition), APPLIED).await;
    }
    sqlx::query("UPDATE partitions SET stream_created = $1")
        .bind(created.nanoseconds())
        .execute(&api.pool)
        .await
        .unwrap();
    // A key that is not known has everything read again.
    let unknown = api.get("sk_0_unknown", "/v1/accounts").await;
    unknown.expect_problem(401, "key_unknown");
}

/// As `sluice partitions adopt-stream` does, with nothing applied.
async fn adopt(api: &Api) {
    let created = api.log.identity().await.unwrap().created;
    sqlx::query("UPDATE partitions SET generation = generation + 1, stream_created = $1, applied = (generation + 1)::bigint << 48")
        .bind(created.nanoseconds())
        .execute(&api.pool)
        .await
        .unwrap();
}

fn generation(answer: &Answer) -> u16 {
    Position::from_number(answer.expect(202)["position"].as_i64().unwrap()).generation()
}

async fn is_pending(api: &Api, answer: &Answer) {
    let location = answer.header("location");
    let found = api.get(&api.read_key, location).await.expect(202);
    assert_eq!(found["status"], "pending");
}

#[tokio::test]
async fn a_log_that_was_created_again_takes_what_only_the_old_one_held() {
    let api = Api::start().await;
    bind(&api).await;
    for key in ["k1", "k2", "k3"] {
        api.transfer(key, "alice", "bob").await.expect(202);
    }
    create_again(&api).await;

    let new = api.transfer("new", "alice", "bob").await;
    assert_eq!(generation(&new), 1, "as its adoption will have it");
    is_pending(&api, &new).await;
    let again = api.transfer("k1", "alice", "bob").await;
    assert_eq!(again.header("idempotent-replayed"), "");
    is_pending(&api, &again).await;
    assert_eq!(api.commands().await.len(), 2);
    let repeated = api.transfer("k1", "alice", "bob").await;
    assert_eq!(repeated.header("idempotent-replayed"), "true");

    adopt(&api).await;
    is_pending(&api, &new).await;
    eventually("the adoption is known", async || {
        let repeated = api.transfer("k1", "alice", "bob").await;
        assert_eq!(repeated.header("location"), again.header("location"));
        let later = api.transfer("later", "alice", "bob").await;
        is_pending(&api, &later).await;
        generation(&later) == 1
    })
    .await;
    assert_eq!(api.commands().await.len(), 3);
}

/// Nobody appends, so that no sequence tells; and nobody was disconnected.
#[tokio::test]
async fn a_quiet_ingest_hears_that_the_log_was_created_again() {
    let api = Api::start().await;
    bind(&api).await;
    api.transfer("k1", "alice", "bob").await.expect(202);
    create_again(&api).await;
    eventually("the retry is no repeat any more", async || {
        let again = api.transfer("k1", "alice", "bob").await;
        again.header("idempotent-replayed").is_empty()
    })
    .await;
    assert_eq!(api.commands().await.len(), 1);
}
