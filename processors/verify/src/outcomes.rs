//! COMMANDS against the outcomes.
//!
//! Invariant: only what was decided from the stream that is there now is compared with it; positions carry the
//! stream's generation.

use std::fmt::Write as _;

use bytes::Bytes;
use schemas::{Event, LinePosition, Partition, Position};
use streams::{Scanned, lines_of};

use crate::Error;
use crate::commands::{Line, differences};
use crate::journal::{Rows, Span};
use crate::partition::Pass;
use crate::records::Records;
use crate::report::CheckResult;

pub(crate) struct Outcomes<'a> {
    pass: Pass<'a>,
    partition: Partition,
    /// `None` when the stream is not the one that the positions belong to.
    records: Option<Records>,
    /// Whether the record at the applied position has come by.
    applied_seen: bool,
}

impl<'a> Outcomes<'a> {
    pub(crate) async fn new(pass: Pass<'a>, check: &mut CheckResult) -> Result<Self, Error> {
        let bounds = pass.bounds;
        let partition = bounds.partition;
        let known = bounds.stream_created;
        let records = if known.is_some_and(|known| known != pass.stream.created) {
            check.found(format!(
                "partition {partition}: COMMANDS was created at {}, expected the stream created at {}",
                pass.stream.created,
                known.unwrap_or_default()
            ));
            None
        } else {
            let log = &pass.connections.log;
            let scan = log
                .scan_commands(partition, bounds.adopted.sequence())
                .await?;
            Some(Records::new(scan, pass.config.log_wait).await?)
        };
        Ok(Self {
            pass,
            partition,
            records,
            applied_seen: false,
        })
    }

    pub(crate) async fn check(
        &mut self,
        span: &Span,
        check: &mut CheckResult,
    ) -> Result<(), Error> {
        if let Err(why) = &span.rows {
            check.found(format!(
                "partition {}, positions {} to {}: {why}",
                self.partition, span.first, span.last
            ));
        }
        let unread = Rows::default();
        let rows = span.rows.as_ref().unwrap_or(&unread);
        let mut groups = rows
            .events
            .chunk_by(|one, next| one.at.position == next.at.position)
            .peekable();
        loop {
            let record = self.next_up_to(span.last);
            let group = groups.peek().map(|group| group[0].at.position);
            match (record, group) {
                (None, None) => return Ok(()),
                (Some(record), group) if group.is_none_or(|group| record <= group) => {
                    let group = groups.next_if(|group| group[0].at.position == record);
                    let record = self.take().await?;
                    self.check_applied(&record, check);
                    if span.rows.is_ok() {
                        self.compare(&record, group.unwrap_or_default(), rows, check);
                    }
                }
                _ => {
                    for event in groups.next().unwrap_or_default() {
                        self.check_unrecorded(event, check);
                    }
                }
            }
        }
    }

    pub(crate) fn finish(self, check: &mut CheckResult) {
        let bounds = self.pass.bounds;
        let applied = bounds.applied;
        let gone = bounds.adopted.max(bounds.trimmed.commands);
        if self.records.is_some() && applied > gone && !self.applied_seen {
            check.found(format!(
                "partition {}: the record at the applied position {applied} is not on COMMANDS",
                self.partition
            ));
        }
    }

    fn position_of(&self, record: &Scanned) -> Position {
        Position::new(self.pass.bounds.applied.generation(), record.sequence)
    }

    fn next_up_to(&self, last: Position) -> Option<Position> {
        let record = self.records.as_ref()?.peek()?;
        Some(self.position_of(record)).filter(|position| *position <= last)
    }

    async fn take(&mut self) -> Result<Scanned, Error> {
        let records = self.records.as_mut().expect("a record was in view");
        Ok(records.take().await?.expect("a record was in view"))
    }

    fn check_applied(&mut self, record: &Scanned, check: &mut CheckResult) {
        let bounds = self.pass.bounds;
        if self.position_of(record) != bounds.applied {
            return;
        }
        self.applied_seen = true;
        if record.stored_at != bounds.applied_at {
            check.found(format!(
                "partition {}: the record at the applied position {} was stored at {}, expected {}",
                self.partition, bounds.applied, record.stored_at, bounds.applied_at
            ));
        }
    }

    fn check_unrecorded(&self, event: &Event, check: &mut CheckResult) {
        let bounds = self.pass.bounds;
        let gone = bounds.adopted.max(bounds.trimmed.commands);
        if self.records.is_some() && event.at.position > gone {
            check.found(format!(
                "{}: {} without a command on the log",
                event.at,
                event.outcome.kind().as_str()
            ));
        }
    }

    /// One record and the outcomes at its position.
    fn compare(&self, record: &Scanned, events: &[Event], rows: &Rows, check: &mut CheckResult) {
        let whole = events
            .iter()
            .filter_map(|event| rows.dead.get(&event.at))
            .any(|dead| dead.whole);
        let mut lines = lines_of(&record.body);
        if whole || lines.is_empty() {
            lines = vec![record.body.clone()];
        }
        let mut rest = events;
        for (text, line) in lines.iter().zip(0..) {
            let at = LinePosition {
                partition: self.partition,
                position: self.position_of(record),
                line,
            };
            let count = rest.partition_point(|event| event.at.line <= line);
            let (found, behind) = rest.split_at(count);
            rest = behind;
            check.checked += 1;
            self.compare_line(at, (record, text), found, rows, check);
        }
        for event in rest {
            self.check_unrecorded(event, check);
        }
    }

    fn compare_line(
        &self,
        at: LinePosition,
        (record, text): (&Scanned, &Bytes),
        events: &[Event],
        rows: &Rows,
        check: &mut CheckResult,
    ) {
        let [event] = events else {
            let mut finding = format!(
                "{at}: the command has {} outcomes, expected 1",
                events.len()
            );
            for event in events {
                let kind = event.outcome.kind().as_str();
                write!(finding, ", {kind}").expect("a string takes every text");
            }
            check.found(finding);
            return;
        };
        let line = Line {
            text,
            stored_at: record.stored_at,
            partitions: self.pass.connections.log.partitions(),
        };
        let differences = differences(&line, self.pass.ledgers, event, rows.dead.get(&at));
        if !differences.is_empty() {
            check.found(format!(
                "{at}: {} differs from the command on the log: {}",
                event.outcome.kind().as_str(),
                differences.join(", ")
            ));
        }
    }
}
