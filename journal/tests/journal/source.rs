//! The commits of a partition, followed while they happen.

use std::time::Duration;

use journal::{Link, SourceError};
use streams::EventRecord;

use crate::bed::{ALL, Bed, behind, take};

/// When COMMIT returned is told by EVENTS only.
fn same(records: &[EventRecord], others: &[EventRecord]) -> bool {
    let bare = |record: &EventRecord| EventRecord {
        committed_at: None,
        ..record.clone()
    };
    records.iter().map(bare).eq(others.iter().map(bare))
}

fn is_from_events(record: &EventRecord) -> bool {
    record.committed_at.is_some()
}

#[tokio::test]
async fn begun_anywhere_it_gives_the_same_bytes() {
    let bed = Bed::with(8).await;
    let all = take(&mut bed.source(Link::default()), 8).await;
    assert!(all.iter().all(is_from_events));
    let hashes: Vec<Vec<u8>> = sqlx::query_scalar("SELECT hash FROM commits ORDER BY position")
        .fetch_all(&bed.database)
        .await
        .unwrap();
    assert!(hashes.iter().eq(all.iter().map(|record| &record.hash[..])));
    for (begun, record) in (1..).zip(&all) {
        let mut source = bed.source(behind(record));
        let rest = take(&mut source, 8 - begun).await;
        assert!(same(&rest, &all[begun..]));
        // At the end it waits.
        let more = tokio::time::timeout(Duration::from_millis(50), source.next()).await;
        assert!(more.is_err());
    }
    let mut elsewhere = bed.source(Link {
        hash: [7; 32],
        ..behind(&all[3])
    });
    let error = elsewhere.next().await.unwrap_err();
    assert!(matches!(error, SourceError::OtherHistory { .. }), "{error}");
}

#[tokio::test]
async fn what_events_no_longer_holds_comes_from_postgres_and_then_from_events_again() {
    let mut bed = Bed::with(9).await;
    let all = take(&mut bed.source(Link::default()), 9).await;
    // One that is in the middle, one that begins now.
    let mut under_way = bed.source(Link::default());
    take(&mut under_way, 2).await;
    bed.purge(7).await;
    let read = take(&mut bed.source(Link::default()), 9).await;
    assert!(same(&read, &all));
    let (rebuilt, read) = read.split_at(6);
    assert!(!rebuilt.iter().any(is_from_events));
    assert!(read.iter().all(is_from_events));
    let rest = take(&mut under_way, 7).await;
    assert!(same(&rest, &all[2..]));

    bed.commit(2).await;
    let later = take(&mut under_way, 2).await;
    assert!(later.iter().all(is_from_events));
    assert_eq!(later[0].previous_hash, all[8].hash);

    // Nothing is left there, and nothing new comes.
    let mut waiting = bed.source(behind(&all[6]));
    take(&mut waiting, 1).await;
    bed.purge(ALL).await;
    let rest = take(&mut waiting, 3).await;
    assert!(same(&rest, &[&all[8..], &later[..]].concat()));
}

#[tokio::test]
async fn hundreds_of_commits_that_events_lacks_do_not_wait_for_one_another() {
    let mut bed = Bed::with(300).await;
    bed.purge(ALL).await;
    let mut source = bed.source(Link::default());
    let all = take(&mut source, 300).await;
    assert!(!all.iter().any(is_from_events));
    // And on EVENTS again.
    bed.commit(1).await;
    let next = take(&mut source, 1).await;
    assert!(is_from_events(&next[0]));
}

#[tokio::test]
async fn what_is_published_again_is_passed_over() {
    let mut bed = Bed::with(3).await;
    let mut source = bed.source(Link::default());
    let all = take(&mut source, 3).await;
    let again = [bed.stored(2).await, bed.stored(3).await];
    bed.purge(ALL).await;
    for stored in again {
        bed.publish(stored).await;
    }
    bed.commit(1).await;
    let next = take(&mut source, 1).await;
    assert_eq!(next[0].previous_hash, all[2].hash);
}

#[tokio::test]
async fn it_goes_on_after_nats_server_was_restarted_while_it_waited() {
    let mut bed = Bed::with(3).await;
    let mut source = bed.source(Link::default());
    take(&mut source, 3).await;
    let waiting = tokio::spawn(async move {
        let next = source.next().await.unwrap();
        (source, next)
    });
    bed.nats.restart().await.unwrap();
    bed.commit(2).await;
    let (mut source, first) = waiting.await.unwrap();
    let second = take(&mut source, 1).await;
    assert_eq!(second[0].previous_hash, first.hash);
}

#[tokio::test]
async fn it_goes_on_after_postgres_was_away() {
    let mut bed = Bed::with(5).await;
    bed.purge(ALL).await;
    let mut source = bed.source(Link::default());
    take(&mut source, 2).await;
    let elsewhere = stack::testing::postgres().await.url("postgres");
    let elsewhere = sqlx::PgPool::connect(&elsewhere).await.unwrap();
    let allow = async |allow: bool| {
        let sql = format!("ALTER DATABASE {} ALLOW_CONNECTIONS {allow}", bed.name);
        let sql = sqlx::AssertSqlSafe(sql);
        sqlx::raw_sql(sql).execute(&elsewhere).await.unwrap();
    };
    allow(false).await;
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
        .bind(&bed.name)
        .execute(&elsewhere)
        .await
        .unwrap();
    let next = tokio::time::timeout(Duration::from_secs(2), source.next()).await;
    assert!(next.is_err(), "{next:?}");
    allow(true).await;
    take(&mut source, 3).await;
}
