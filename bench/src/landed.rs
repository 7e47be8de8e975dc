//! When transfers were applied and published, read from the event records afterwards.
//!
//! Invariant: nothing here touches the path that is measured; a transfer counts by its own event, and which were
//! promised and have none, or more than one, is known one by one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use futures::future::try_join_all;
use schemas::{Partition, Position, Timestamp};
use streams::{Log, Scanned};

use super::answer::text_after;
use super::latencies::Recorded;
use super::load::Sent;
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
    pub(super) applied_latency: Recorded,
    pub(super) published_latency: Recorded,
    /// Commits since the marks, and everything that was decided in them, whoever asked for it.
    pub(super) commits: u64,
    pub(super) commands: u64,
    /// How often each transfer was decided.
    decided: Vec<u8>,
    /// Whether it repeated a transfer, maybe one of a run before.
    repeated: Vec<bool>,
}

impl Landed {
    pub(super) fn new(sent: &Sent) -> Self {
        let offered = usize::try_from(sent.offered()).expect("transfers fit memory");
        Self {
            applied: 0,
            outcomes: BTreeMap::new(),
            applied_by_stop: 0,
            last_commit: 0,
            last_published: 0,
            applied_latency: Recorded::new(sent.started),
            published_latency: Recorded::new(sent.started),
            commits: 0,
            commands: 0,
            decided: vec![0; offered],
            repeated: vec![false; offered],
        }
    }

    /// Transfers that were accepted and of which nothing became, not even a repeat.
    pub(super) fn lost(&self, sent: &Sent) -> u64 {
        let transfers = self.decided.iter().zip(&self.repeated).zip(&sent.kept);
        let lost =
            transfers.filter(|((times, repeated), kept)| **kept && **times == 0 && !**repeated);
        lost.count() as u64
    }

    /// Transfers that were decided more than once.
    pub(super) fn doubled(&self) -> u64 {
        self.decided.iter().filter(|times| **times > 1).count() as u64
    }

    fn take(&mut self, record: &Scanned, sent: &Sent, prefix: &str) {
        if record.position().is_none() {
            // No processor published it.
            return;
        }
        self.commits += 1;
        let published = record.stored_at.nanoseconds();
        // A record that was made again after a crash does not know when it was committed, only when it came here.
        let committed = record
            .committed_at()
            .map_or(published, Timestamp::nanoseconds);
        for line in record.body.split(|byte| *byte == b'\n') {
            self.commands += u64::from(!line.is_empty());
            let number = number_of_key(line, prefix);
            let Some(number) = number.and_then(|number| number.checked_sub(sent.first)) else {
                continue;
            };
            let Some(due) = due(sent, number) else {
                continue;
            };
            if is_repeat(line) {
                self.repeat(number);
            }
            let Some(outcome) = outcome(line) else {
                continue;
            };
            self.applied += 1;
            self.decide(number);
            match self.outcomes.get_mut(outcome) {
                Some(count) => *count += 1,
                None => drop(self.outcomes.insert(outcome.to_owned(), 1)),
            }
            self.applied_by_stop += u64::from(committed <= sent.stopped);
            self.last_commit = self.last_commit.max(committed);
            self.last_published = self.last_published.max(published);
            self.applied_latency.record(due, committed, 1);
            self.published_latency.record(due, published, 1);
        }
    }

    fn repeat(&mut self, number: u64) {
        let place = usize::try_from(number).ok();
        let repeated = place.and_then(|place| self.repeated.get_mut(place));
        *repeated.expect("a transfer that was due was offered") = true;
    }

    fn decide(&mut self, number: u64) {
        let place = usize::try_from(number).ok();
        let times = place.and_then(|place| self.decided.get_mut(place));
        let times = times.expect("a transfer that was due was offered");
        *times = times.saturating_add(1);
    }
}

/// When transfer `number` of the run was due; `None` when it is none of it.
fn due(sent: &Sent, number: u64) -> Option<i64> {
    let request = number / sent.lines;
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

fn is_repeat(line: &[u8]) -> bool {
    text_after(line, br#""type":"sluice.transfer."#) == Some("replayed.v1")
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
    let mut landed = Landed::new(sent);
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
pub(super) async fn wait(log: &Log) -> anyhow::Result<()> {
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

/// [`wait`] with its cause in words.
pub(super) async fn drained(log: &Log) -> bool {
    match wait(log).await {
        Ok(()) => true,
        Err(error) => {
            eprintln!("warning: {error:#}");
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three requests of two transfers each, from number 40 on; of the second one only the first line was accepted.
    fn sent() -> Sent {
        let mut sent = Sent::new(40, 2);
        sent.start(1_000_000_000);
        sent.due = vec![1_000_000_000, 1_500_000_000, 2_000_000_000];
        sent.keep(0, &[]);
        sent.keep(1, &[1]);
        sent.keep(2, &[]);
        sent
    }

    #[test]
    fn what_was_accepted_and_not_decided_is_lost_whatever_else_was_decided() {
        let (sent, all) = (sent(), [0, 1, 2, 3, 4, 5]);
        for (decided, lost, doubled) in [
            (&all[..], 0, 0),
            (&[0, 1, 2, 4, 5], 0, 0),
            (&[0, 1, 4, 5], 1, 0),
            (&[1, 2, 3, 4, 5], 1, 0),
            (&[2, 3], 4, 0),
            (&[0, 1, 4, 5, 5, 2, 2, 2], 0, 2),
        ] {
            let mut landed = Landed::new(&sent);
            for number in decided {
                landed.decide(*number);
            }
            assert_eq!(
                (landed.lost(&sent), landed.doubled()),
                (lost, doubled),
                "{decided:?}"
            );
        }
    }

    #[test]
    fn a_repeat_of_what_a_run_before_decided_is_not_lost() {
        let sent = sent();
        let mut landed = Landed::new(&sent);
        let event = |kind: &str| format!(r#"{{"type":"sluice.transfer.{kind}.v1"}}"#);
        for number in [0, 1, 2, 4] {
            if is_repeat(event("replayed").as_bytes()) {
                landed.repeat(number);
            }
        }
        assert!(!is_repeat(event("posted").as_bytes()));
        landed.decide(5);
        assert_eq!((landed.lost(&sent), landed.doubled()), (0, 0));
    }

    #[test]
    fn only_what_was_offered_was_due() {
        let sent = sent();
        assert_eq!(due(&sent, 3), Some(1_500_000_000));
        assert_eq!(due(&sent, 6), None);
    }
}
