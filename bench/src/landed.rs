//! When transfers were applied and published, read from the event records afterwards.
//!
//! Invariant: nothing here touches the path that is measured; a transfer counts once, by its own event.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::future::try_join_all;
use hdrhistogram::Histogram;
use schemas::{Partition, Position, Timestamp};
use streams::{Log, Scanned};

use super::answer::text_after;
use super::load::Sent;
use super::percentiles::{self, histogram};
use super::request::number_of_key;

const POLL: Duration = Duration::from_millis(50);
/// A log on which nothing moves for so long does not drain.
const STANDSTILL_MAX: Duration = Duration::from_mins(1);

/// What stands on EVENTS of the transfers of one run.
#[derive(Debug)]
pub(super) struct Landed {
    pub(super) applied: u64,
    /// Of the applied ones, by `posted` or the reason of the refusal.
    pub(super) outcomes: BTreeMap<String, u64>,
    /// Applied until the last arrival.
    pub(super) applied_by_stop: u64,
    /// As nanoseconds since the epoch.
    pub(super) last_commit: i64,
    pub(super) last_published: i64,
    pub(super) applied_latency: Histogram<u64>,
    pub(super) published_latency: Histogram<u64>,
}

impl Landed {
    fn new() -> Self {
        Self {
            applied: 0,
            outcomes: BTreeMap::new(),
            applied_by_stop: 0,
            last_commit: 0,
            last_published: 0,
            applied_latency: histogram(),
            published_latency: histogram(),
        }
    }

    fn take(&mut self, record: &Scanned, sent: &Sent, prefix: &str) {
        let published = record.stored_at.nanoseconds();
        // A record that was made again after a crash does not know when it was committed, only when it came here.
        let committed = record
            .committed_at()
            .map_or(published, Timestamp::nanoseconds);
        for line in record.body.split(|byte| *byte == b'\n') {
            let Some(due) = number_of_key(line, prefix).and_then(|number| due(sent, number)) else {
                continue;
            };
            let Some(outcome) = outcome(line) else {
                continue;
            };
            self.applied += 1;
            match self.outcomes.get_mut(outcome) {
                Some(count) => *count += 1,
                None => drop(self.outcomes.insert(outcome.to_owned(), 1)),
            }
            self.applied_by_stop += u64::from(committed <= sent.stopped);
            self.last_commit = self.last_commit.max(committed);
            self.last_published = self.last_published.max(published);
            percentiles::record(&mut self.applied_latency, due, committed, 1);
            percentiles::record(&mut self.published_latency, due, published, 1);
        }
    }
}

/// When the transfer was due; `None` when it is none of this run.
fn due(sent: &Sent, number: u64) -> Option<i64> {
    let request = number.checked_sub(sent.first)? / sent.lines;
    sent.due.get(usize::try_from(request).ok()?).copied()
}

/// `None` for what is no decision: a repeat was counted where it was decided.
fn outcome(line: &[u8]) -> Option<&str> {
    match text_after(line, br#""type":"sluice.transfer."#)? {
        "posted.v1" => Some("posted"),
        "refused.v1" => Some(text_after(line, br#""reason":""#).unwrap_or("refused")),
        _ => None,
    }
}

/// Sequence of the last event record of each partition.
pub(super) async fn marks(log: &Log) -> anyhow::Result<Vec<u64>> {
    let partitions = (0..log.partitions()).map(Partition);
    try_join_all(partitions.map(async |partition| {
        let last = log.last_published(partition).await?;
        anyhow::Ok(last.sequence)
    }))
    .await
}

/// Reads what was published after `marks`.
pub(super) async fn read(
    log: &Log,
    marks: &[u64],
    sent: &Sent,
    prefix: &str,
) -> anyhow::Result<Landed> {
    let mut landed = Landed::new();
    for (partition, after) in (0..).map(Partition).zip(marks) {
        let mut scan = log
            .scan_events(partition, *after)
            .await
            .context("reading the events of the run")?;
        while let Some(record) = scan.next().await? {
            landed.take(&record, sent, prefix);
        }
    }
    Ok(landed)
}

/// Waits until every command on the log is applied and published.
///
/// # Errors
/// When nothing moves any more although commands are left.
pub(super) async fn wait(log: &Log, stop: &AtomicBool) -> anyhow::Result<()> {
    let (mut moved, mut before) = (Instant::now(), Vec::new());
    loop {
        // The log may be away for a moment; what counts is whether it goes on.
        match behind(log).await {
            Ok((_, 0)) => return Ok(()),
            Ok((positions, _)) if positions != before => {
                (moved, before) = (Instant::now(), positions);
            }
            _ if moved.elapsed() > STANDSTILL_MAX => bail!(
                "commands are left on the log, and for {} s none was applied",
                STANDSTILL_MAX.as_secs()
            ),
            _ => {}
        }
        if stop.load(Ordering::Relaxed) {
            bail!("interrupted");
        }
        tokio::time::sleep(POLL).await;
    }
}

/// How far each partition is on EVENTS, and how many partitions have commands behind that.
async fn behind(log: &Log) -> Result<(Vec<u64>, usize), streams::Error> {
    let partitions = (0..log.partitions()).map(Partition);
    let positions = try_join_all(partitions.map(async |partition| {
        let published = log.last_published(partition).await?;
        let position = published.position().map_or(0, Position::sequence);
        let next = log.next_after(partition, position).await?;
        Ok((position, next.is_some()))
    }))
    .await?;
    let behind = positions.iter().filter(|(_, behind)| *behind).count();
    let positions = positions
        .into_iter()
        .map(|(position, _)| position)
        .collect();
    Ok((positions, behind))
}

/// `wait` with its cause in words, shared with whoever can stop it.
pub(super) async fn drained(log: &Log, stop: &Arc<AtomicBool>) -> bool {
    match wait(log, stop).await {
        Ok(()) => true,
        Err(error) => {
            eprintln!("warning: {error:#}");
            false
        }
    }
}
