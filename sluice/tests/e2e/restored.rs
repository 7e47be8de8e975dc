//! Copies of yesterday: a log or a database that was restored must never make us skip or decide twice.

use crate::http::{Answer, Client};
use crate::process::{eventually, run, run_ok};
use crate::system::System;

/// Waits until a partition is stopped and gives the reason.
async fn stopped(system: &System) -> (u64, String) {
    eventually("a partition is stopped", async || {
        let partitions = system.partitions().await;
        let stopped = partitions
            .as_array()?
            .iter()
            .find(|partition| partition["stopped"].is_string())?;
        Some((
            stopped["partition"].as_u64()?,
            stopped["stopped"].as_str()?.to_owned(),
        ))
    })
    .await
}

/// Asks where a 202 said.
async fn is_pending(client: &mut Client, accepted: &Answer) {
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let found = client.get(accepted.header("location").unwrap()).await;
    assert_eq!(found.expect(202)["status"], "pending");
}

#[tokio::test]
async fn a_stream_that_was_created_again_stops_the_partitions_until_it_is_adopted() {
    let mut system = System::start().await;
    system.open(&["a", "b"]).await;
    system.verify().await;
    assert!(system.processors.pop().unwrap().stop().await.success());
    assert!(system.ingest.take().unwrap().stop().await.success());
    let jetstream = async_nats::jetstream::new(system.nats_client().await);
    jetstream.delete_stream("COMMANDS").await.unwrap();
    run_ok(&[
        "migrate",
        "--nats",
        &system.nats.url(),
        "--database",
        &system.database_url,
    ])
    .await;
    system.start_ingest("127.0.0.1:0").await;
    system.start_processor(&[]).await;
    let mut client = system.client();
    let accepted = client.transfer("new", "a", "b", "1.00", false).await;
    let (_, why) = stopped(&system).await;
    assert!(
        why.contains("COMMANDS was created at") && why.contains("adopt-stream"),
        "{why}"
    );
    is_pending(&mut client, &accepted).await;

    let partitions = system.partitions().await.as_array().unwrap().len();
    for partition in 0..partitions {
        let partition = partition.to_string();
        let nats = system.nats.url();
        let adopt = [
            "partitions",
            "adopt-stream",
            "--partition",
            &partition,
            "--why",
            "moved",
            "--nats",
            &nats,
            "--database",
            &system.database_url,
        ];
        eventually("the partition is stopped and adopted", async || {
            run(&adopt).await.status.success().then_some(())
        })
        .await;
        assert!(
            !run(&adopt).await.status.success(),
            "there is nothing to adopt twice"
        );
    }
    let location = accepted.header("location").unwrap();
    eventually("the new transfer is applied", async || {
        let found = client.get(location).await;
        assert!([200, 202].contains(&found.status), "{found:?}");
        (found.status == 200).then_some(())
    })
    .await;
    assert_eq!(client.balance("a").await, "999.00");
    let adopted: i64 = sqlx::query_scalar("SELECT count(*) FROM adoptions WHERE why = 'moved'")
        .fetch_one(&system.database)
        .await
        .unwrap();
    assert_eq!(usize::try_from(adopted).unwrap(), partitions);
    system.verify().await;
}

#[tokio::test]
async fn an_older_copy_of_the_log_stops_the_partition() {
    let mut system = System::start().await;
    system.open(&["a", "b"]).await;
    system.drained().await;
    let files = system.log_files();
    let copy = system.path().join("older");
    system.nats.stop().await.unwrap();
    copy_dir(&files, &copy);
    system.nats.restart().await.unwrap();
    let mut client = system.client();
    eventually(
        "a transfer is applied that the copy does not hold",
        async || {
            (client.transfer("lost", "a", "b", "1.00", true).await.status == 200).then_some(())
        },
    )
    .await;
    assert!(system.processors.pop().unwrap().stop().await.success());
    // Nobody ever decides it; the ingest remembers it as being on the log.
    let gone = client.transfer("gone", "a", "b", "4.00", false).await;
    assert_eq!(gone.status, 202, "{gone:?}");
    system.nats.stop().await.unwrap();
    std::fs::remove_dir_all(&files).unwrap();
    copy_dir(&copy, &files);
    system.nats.restart().await.unwrap();
    // A new record takes the place of the lost one.
    let accepted = eventually("the log takes transfers again", async || {
        let answer = client.transfer("instead", "a", "b", "2.00", false).await;
        (answer.status == 202).then_some(answer)
    })
    .await;
    is_pending(&mut client, &accepted).await;
    system.start_processor(&[]).await;
    let (partition, why) = stopped(&system).await;
    assert!(
        why.contains("an older copy of the log was restored"),
        "{why}"
    );
    assert_eq!(client.get("/v1/transfers/by-key/instead").await.status, 404);
    is_pending(&mut client, &accepted).await;

    // The way out that the message names.
    let nats = system.nats.url();
    run_ok(&[
        "partitions",
        "adopt-stream",
        "--partition",
        &partition.to_string(),
        "--why",
        "restored",
        "--nats",
        &nats,
        "--database",
        &system.database_url,
    ])
    .await;
    eventually("the partition goes on", async || {
        (client.get("/v1/transfers/by-key/instead").await.status == 200).then_some(())
    })
    .await;
    assert_eq!(client.balance("a").await, "997.00");
    let again = client.transfer("gone", "a", "b", "4.00", true).await;
    assert_eq!(again.header("idempotent-replayed"), None, "{again:?}");
    assert_eq!(again.expect(200)["status"], "posted");
    assert_eq!(client.balance("a").await, "993.00");
}

#[tokio::test]
async fn an_older_copy_of_postgres_stops_the_partition() {
    let mut system = System::with_own_postgres().await;
    system.start_ingest("127.0.0.1:0").await;
    system.start_processor(&[]).await;
    system.open(&["a", "b"]).await;
    system.drained().await;
    let postgres = system.postgres.as_ref().unwrap();
    let files = system.database_files();
    let copy = system.path().join("older");
    postgres.stop().await.unwrap();
    copy_dir(&files, &copy);
    postgres.restart().await.unwrap();
    let mut client = system.client();
    eventually(
        "a transfer is applied that the copy does not hold",
        async || {
            (client.transfer("lost", "a", "b", "1.00", true).await.status == 200).then_some(())
        },
    )
    .await;
    system.drained().await;
    let postgres = system.postgres.as_ref().unwrap();
    postgres.stop().await.unwrap();
    std::fs::remove_dir_all(&files).unwrap();
    copy_dir(&copy, &files);
    postgres.restart().await.unwrap();
    let (_, why) = stopped(&system).await;
    assert!(
        why.contains("an older copy of Postgres was restored"),
        "{why}"
    );
}

/// With owners and modes, as a backup keeps them.
pub(crate) fn copy_dir(from: &std::path::Path, to: &std::path::Path) {
    let copied = std::process::Command::new("cp")
        .arg("-a")
        .arg(from)
        .arg(to)
        .status()
        .unwrap();
    assert!(copied.success());
}
