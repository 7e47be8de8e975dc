//! Before the first batch under a new epoch.
//!
//! Invariant: a restored log or a restored database never makes us skip or decide twice: positions are
//! believed only while the stream, the record at the applied position and the last event record are the ones
//! that we know.

use journal::rebuild;
use schemas::Position;

use crate::Error;
use crate::config::PUBLISH_RACES_MAX;
use crate::hold::Processor;
use crate::publish::Publisher;
use crate::seam::{Lease, Log, Row, Store};

/// A partition that is ready to go on.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) row: Row,
    pub(crate) previous_hash: [u8; 32],
    /// Sequence of the partition's last record on EVENTS.
    pub(crate) event_after: u64,
    pub(crate) published: Position,
}

pub(crate) async fn prepare<S: Store, L: Log>(
    processor: &Processor<S, L>,
    row: &Row,
) -> Result<Session, Error> {
    let Processor { store, log, .. } = processor;
    check_stream(store, log, row).await?;
    check_record(log, row).await?;
    let partition = row.lease.partition;
    let last = store.last_commit(partition).await?;
    let previous_hash = last.map_or([0; 32], |commit| commit.hash);
    if let Some(last) = last.filter(|last| last.position > row.applied) {
        return Err(Error::Stopped(format!(
            "commit {} is behind the applied position {}: the table partitions was restored or changed by hand; restore it together with commits",
            last.position, row.applied
        )));
    }
    for _ in 0..PUBLISH_RACES_MAX {
        match catch_up(processor, row.lease).await {
            Ok((event_after, published)) => {
                return Ok(Session {
                    row: row.clone(),
                    previous_hash,
                    event_after,
                    published,
                });
            }
            Err(Error::Fenced) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Error::Fenced)
}

async fn check_stream<S: Store, L: Log>(store: &S, log: &L, row: &Row) -> Result<(), Error> {
    let identity = log.identity().await?;
    let Some(known) = row.stream_created else {
        return store.bind_stream(row.lease, identity.created).await;
    };
    if known == identity.created {
        return Ok(());
    }
    Err(Error::Stopped(format!(
        "the stream COMMANDS was created at {}, the positions in Postgres belong to the one created at {known}: restore that stream, or, if it was re-created on purpose, run `sluice partitions adopt-stream --partition {} --why TEXT`",
        identity.created, row.lease.partition
    )))
}

async fn check_record<L: Log>(log: &L, row: &Row) -> Result<(), Error> {
    let sequence = row.applied.sequence();
    if sequence == 0 {
        return Ok(());
    }
    let found = log.stored_at(row.lease.partition, sequence).await?;
    if found == Some(row.applied_at) {
        return Ok(());
    }
    let found = found.map_or("is not there".to_owned(), |at| {
        format!("was stored at {at}")
    });
    Err(Error::Stopped(format!(
        "record {sequence} of COMMANDS {found}; the one applied was stored at {}: an older copy of the log was restored; restore a copy that holds it, or, to go on with what is there, run `sluice partitions adopt-stream --partition {} --why TEXT`",
        row.applied_at, row.lease.partition
    )))
}

/// Publishes every commit that is not on EVENTS yet. `Fenced` when somebody else publishes too.
async fn catch_up<S: Store, L: Log>(
    processor: &Processor<S, L>,
    lease: Lease,
) -> Result<(u64, Position), Error> {
    let Processor { store, .. } = processor;
    let partition = lease.partition;
    let mut publisher = Publisher::new(processor, lease);
    let last = publisher.look().await?;
    let (mut after, mut position) = (last.sequence, Position::default());
    if let Some(commit) = last.commit {
        let known = store.commit_at(partition, commit.position).await?;
        if known.is_none_or(|known| known.hash != commit.hash) {
            return Err(Error::Stopped(format!(
                "EVENTS holds commit {} of partition {partition}, Postgres does not: an older copy of Postgres was restored and commits that the world has seen are lost; restore a copy that holds them",
                commit.position
            )));
        }
        position = commit.position;
    }
    while let Some(commit) = store.commit_after(partition, position).await? {
        let events = store.journal(partition, &commit).await?;
        let record = rebuild(partition, &commit, &events)
            .map_err(|broken| Error::Stopped(broken.to_string()))?;
        after = publisher.publish(&record, after).await?;
        position = commit.position;
    }
    Ok((after, position))
}
