//! The commits of a partition, followed while they happen.

use std::fmt::Write as _;
use std::time::Duration;

use async_nats::HeaderMap;
use journal::{Link, Source, SourceError};
use schemas::{Partition, Position};
use streams::EventRecord;
use worker::Config;

use super::bed::{Role, Servers, open, transfer, until};

const PARTITION: Partition = Partition(0);

/// A system with this many commits, all of them published.
async fn system(commits: u64) -> (Servers, Role) {
    let servers = Servers::start(1).await;
    let role = servers.process(Config::default());
    let opened = [open("world", true), open("alice", false)];
    let opened = servers.append(0, &opened).await;
    servers.applied(&[(0, opened)]).await;
    commit(&servers, "k", commits - 1).await;
    (servers, role)
}

/// Commits one transfer after another.
async fn commit(servers: &Servers, prefix: &str, count: u64) {
    for number in 0..count {
        let line = transfer(&format!("{prefix}{number}"), "world", "alice", 1);
        let sequence = servers.append(0, &[line]).await;
        servers.applied(&[(0, sequence)]).await;
    }
    let applied = servers.number("SELECT applied FROM partitions").await;
    until(async || {
        let last = servers.log.last_published(PARTITION).await.unwrap();
        last.position().map(Position::number) == Some(applied)
    })
    .await;
}

fn source(servers: &Servers, after: Link) -> Source {
    Source::new(servers.log.clone(), servers.admin.clone(), PARTITION, after)
}

async fn take(source: &mut Source, count: u64) -> Vec<EventRecord> {
    let mut records = Vec::new();
    for _ in 0..count {
        let next = tokio::time::timeout(Duration::from_secs(30), source.next()).await;
        records.push(next.expect("a commit is there").unwrap());
    }
    records
}

/// When COMMIT returned is told by EVENTS only.
fn same(records: &[EventRecord], others: &[EventRecord]) -> bool {
    let bare = |record: &EventRecord| EventRecord {
        committed_at: None,
        ..record.clone()
    };
    records.iter().map(bare).eq(others.iter().map(bare))
}

fn link(record: &EventRecord) -> Link {
    Link {
        position: record.position,
        hash: record.hash,
    }
}

async fn purge(servers: &Servers, up_to: u64) {
    let stream = servers
        .jetstream()
        .get_stream(streams::EVENTS)
        .await
        .unwrap();
    stream.purge().sequence(up_to).await.unwrap();
}

#[tokio::test]
async fn begun_anywhere_it_gives_the_same_bytes() {
    let (servers, role) = system(8).await;
    let all = take(&mut source(&servers, Link::default()), 8).await;
    assert!(all.iter().all(|record| record.committed_at.is_some()));
    let hashes: Vec<Vec<u8>> = sqlx::query_scalar("SELECT hash FROM commits ORDER BY position")
        .fetch_all(&servers.admin)
        .await
        .unwrap();
    assert!(hashes.iter().eq(all.iter().map(|record| &record.hash[..])));
    for (begun, record) in (1..).zip(&all) {
        let mut source = source(&servers, link(record));
        let rest = take(&mut source, 8 - begun).await;
        assert!(same(&rest, &all[usize::try_from(begun).unwrap()..]));
        // At the end it waits.
        let more = tokio::time::timeout(Duration::from_millis(50), source.next()).await;
        assert!(more.is_err());
    }
    let mut elsewhere = source(
        &servers,
        Link {
            hash: [7; 32],
            ..link(&all[3])
        },
    );
    let error = elsewhere.next().await.unwrap_err();
    assert!(matches!(error, SourceError::OtherHistory { .. }), "{error}");
    role.stop().await;
}

#[tokio::test]
async fn what_events_no_longer_holds_comes_from_postgres_and_then_from_events_again() {
    let (servers, role) = system(9).await;
    let all = take(&mut source(&servers, Link::default()), 9).await;
    // One that is in the middle, one that begins now.
    let mut under_way = source(&servers, Link::default());
    take(&mut under_way, 2).await;
    purge(&servers, 7).await;
    let mut late = source(&servers, Link::default());
    let read = take(&mut late, 9).await;
    assert!(same(&read, &all));
    let from_events = |record: &EventRecord| record.committed_at.is_some();
    let places: Vec<bool> = read.iter().map(from_events).collect();
    assert_eq!(
        places,
        [false, false, false, false, false, false, true, true, true]
    );
    let rest = take(&mut under_way, 7).await;
    assert!(same(&rest, &all[2..]));

    commit(&servers, "later", 2).await;
    let later = take(&mut under_way, 2).await;
    assert!(later.iter().all(from_events));
    assert_eq!(later[0].previous_hash, all[8].hash);

    // Nothing is left there, and nothing new comes.
    let mut waiting = source(&servers, link(&all[6]));
    take(&mut waiting, 1).await;
    role.stop().await;
    purge(&servers, 1 << 40).await;
    let rest = take(&mut waiting, 3).await;
    assert!(same(&rest, &[&all[8..], &later[..]].concat()));
}

#[tokio::test]
async fn it_goes_on_after_nats_server_was_restarted_while_it_waited() {
    let (servers, role) = system(3).await;
    let mut source = source(&servers, Link::default());
    take(&mut source, 3).await;
    let waiting = tokio::spawn(async move {
        let next = source.next().await.unwrap();
        (source, next)
    });
    servers.nats.restart().await.unwrap();
    commit(&servers, "after", 2).await;
    let (mut source, first) = waiting.await.unwrap();
    let second = take(&mut source, 1).await;
    assert_eq!(second[0].previous_hash, first.hash);
    role.stop().await;
}

/// Publishes what `forge` makes of the last record, on an EVENTS with three commits; gives what is said about it.
async fn forged(forge: impl Fn(i64, &HeaderMap) -> HeaderMap) -> String {
    let (servers, role) = system(3).await;
    role.stop().await;
    let jetstream = servers.jetstream();
    let stream = jetstream.get_stream(streams::EVENTS).await.unwrap();
    let last = stream
        .get_last_raw_message_by_subject("sluice.evt.0")
        .await
        .unwrap();
    let mut headers = HeaderMap::new();
    for (name, values) in last.headers.iter() {
        if !name.to_string().starts_with("Nats-") {
            headers.insert(name.clone(), values[0].clone());
        }
    }
    let position = headers.get("Sluice-Position").unwrap().as_str();
    let headers = forge(position.parse().unwrap(), &headers);
    let sent = jetstream.publish_with_headers("sluice.evt.0", headers, BODY.into());
    let sequence = sent.await.unwrap().await.unwrap().sequence;

    let mut source = source(&servers, Link::default());
    take(&mut source, 3).await;
    let error = source.next().await.unwrap_err().to_string();
    let place = format!("record {sequence} of EVENTS, partition 0: ");
    assert!(error.starts_with(&place), "{error}");
    // Asked again, it says so again.
    assert_eq!(source.next().await.unwrap_err().to_string(), error);
    error
}

const BODY: &str = "{}\n";

/// Sound by itself, behind a commit with the hash `previous`.
fn linked(previous: [u8; 32], position: i64, headers: &HeaderMap) -> HeaderMap {
    let hex = |bytes: [u8; 32]| {
        bytes.iter().fold(String::new(), |mut text, byte| {
            write!(text, "{byte:02x}").unwrap();
            text
        })
    };
    let mut headers = headers.clone();
    headers.insert("Sluice-Position", position.to_string());
    headers.insert("Sluice-Previous-Hash", hex(previous));
    let hash = journal::link(&previous, BODY.as_bytes());
    headers.insert("Sluice-Hash", hex(hash));
    headers
}

#[tokio::test]
async fn a_record_that_is_no_commit_is_an_error_that_names_it() {
    let error = forged(|_, _| HeaderMap::new()).await;
    assert!(
        error.ends_with("it lacks the headers of a commit"),
        "{error}"
    );
    let error = forged(|_, headers| headers.clone()).await;
    assert!(error.contains("its bytes do not have the hash"), "{error}");
    let error = forged(|position, headers| linked([7; 32], position + 1, headers)).await;
    assert!(error.contains("Postgres has no such commit"), "{error}");
    let error = forged(|position, headers| linked([7; 32], position, headers)).await;
    assert!(error.contains("Postgres has another commit"), "{error}");
}
