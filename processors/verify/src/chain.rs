//! The commits of a partition, one linked to the next.
//!
//! Invariant: a row that was changed, added or lost after it was committed shows here, whichever table it is in.

use std::fmt::Write as _;

use journal::{CommitRow, rebuild};
use schemas::{Event, Partition, Position};

use crate::journal::{Rows, Span};
use crate::report::CheckResult;
use crate::snapshot::Bounds;

pub(crate) struct Chain {
    partition: Partition,
    /// Position and hash of the commit before.
    previous: (Position, [u8; 32]),
}

impl Chain {
    pub(crate) fn new(partition: Partition) -> Self {
        Self {
            partition,
            previous: (Position::default(), [0; 32]),
        }
    }

    pub(crate) fn check(&mut self, span: &Span, check: &mut CheckResult) {
        for commit in &span.commits {
            check.checked += 1;
            self.check_link(commit, check);
            self.previous = (commit.position, commit.hash);
        }
        match &span.rows {
            Ok(rows) => self.check_rows(&span.commits, rows, check),
            Err(why) => check.found(format!(
                "partition {}, positions {} to {}: {why}",
                self.partition, span.first, span.last
            )),
        }
    }

    pub(crate) fn finish(&self, bounds: &Bounds, check: &mut CheckResult) {
        let (last, _) = self.previous;
        let applied = bounds.applied;
        if last != applied && applied != bounds.adopted {
            check.found(format!(
                "partition {}: the last commit ends at {last}, expected at the applied position {applied}",
                self.partition
            ));
        }
    }

    fn check_link(&self, commit: &CommitRow, check: &mut CheckResult) {
        let partition = self.partition;
        let (position, hash) = self.previous;
        if commit.previous_hash != hash {
            check.found(format!(
                "commit {} of partition {partition}: it follows hash {}, expected {} of commit {position}",
                commit.position,
                hex(&commit.previous_hash),
                hex(&hash)
            ));
        }
        if commit.first_position <= position || commit.first_position > commit.position {
            check.found(format!(
                "commit {} of partition {partition}: it begins at {}, expected after {position} and not behind its own end",
                commit.position, commit.first_position
            ));
        }
    }

    fn check_rows(&self, commits: &[CommitRow], rows: &Rows, check: &mut CheckResult) {
        let mut rest = &rows.events[..];
        for commit in commits {
            let outside = take_while(&mut rest, |at| at < commit.first_position);
            outside_of_commits(outside, check);
            let events = take_while(&mut rest, |at| at <= commit.position);
            if events.len() != commit.commands as usize {
                check.found(format!(
                    "commit {} of partition {}: it has {} outcomes, expected {}",
                    commit.position,
                    self.partition,
                    events.len(),
                    commit.commands
                ));
            }
            if let Err(error) = rebuild(self.partition, commit, events) {
                check.found(format!(
                    "commit {} of partition {}: {error}",
                    commit.position, self.partition
                ));
            }
        }
        outside_of_commits(rest, check);
    }
}

fn outside_of_commits(events: &[Event], check: &mut CheckResult) {
    for event in events {
        check.found(format!(
            "{}: {} lies in no commit",
            event.at,
            event.outcome.kind().as_str()
        ));
    }
}

/// Cuts the events off whose position fits.
fn take_while<'a>(events: &mut &'a [Event], fits: impl Fn(Position) -> bool) -> &'a [Event] {
    let count = events.partition_point(|event| fits(event.at.position));
    let (taken, rest) = events.split_at(count);
    *events = rest;
    taken
}

pub(crate) fn hex(hash: &[u8]) -> String {
    hash.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a string takes every text");
        text
    })
}
