//! The commands of a commit: from the log where it holds them, else from Postgres.
//!
//! Invariant: a line is read as a processor reads it, by the same code, whichever of the two kept it.

use std::collections::BTreeMap;

use bytes::Bytes;
use journal::Ledgers;
use ledger::Item;
use schemas::{
    Actor, Event, LinePosition, Order, Outcome, Partition, Position, Timestamp, Transfer,
    line_to_keep,
};
use streams::Record;
use worker::decode::{Decoded, Limits, Line, decode};

use super::turns::{Commit, Rows};
use crate::records::Records;
use crate::snapshot::Bounds;
use crate::{Config, Connections, Error};

/// Of dead letters that were longer than a limit of then.
pub(crate) const RECORD_TOO_LONG: &str = "record_too_long";

/// What is known of the command behind an outcome.
pub(crate) enum Source {
    Known(Box<Item>),
    /// It is no command; why.
    Undecodable(String),
    /// Neither the log nor Postgres has its line.
    Gone,
}

/// The lines of a commit's records that are on the log.
#[derive(Default)]
pub(crate) struct OnLog {
    lines: BTreeMap<LinePosition, Line>,
}

/// COMMANDS, partition by partition.
pub(crate) struct Lines<'a> {
    connections: &'a Connections,
    config: &'a Config,
    ledgers: &'a Ledgers,
    bounds: &'a [Bounds],
    /// When the stream that is there now was created.
    stream_created: Timestamp,
    records: BTreeMap<Partition, Records>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(
        connections: &'a Connections,
        config: &'a Config,
        ledgers: &'a Ledgers,
        bounds: &'a [Bounds],
        stream_created: Timestamp,
    ) -> Self {
        Self {
            connections,
            config,
            ledgers,
            bounds,
            stream_created,
            records: BTreeMap::new(),
        }
    }

    /// What the log holds of a commit. Commits of a partition are asked for in the order of their positions; where
    /// they are not, the log has gone by and holds nothing.
    pub(crate) async fn on_log(&mut self, commit: &Commit) -> Result<OnLog, Error> {
        let mut found = OnLog::default();
        let generation = commit.last.generation();
        if !self.is_of_this_stream(commit) {
            return Ok(found);
        }
        let limits = self.limits(commit.partition, generation);
        if !self.records.contains_key(&commit.partition) {
            let log = &self.connections.log;
            let before = commit.first.sequence().saturating_sub(1);
            let scan = log.scan_commands(commit.partition, before).await?;
            let records = Records::new(scan, self.config.log_wait).await?;
            self.records.insert(commit.partition, records);
        }
        let records = self
            .records
            .get_mut(&commit.partition)
            .expect("it was opened");
        while let Some(record) = records.peek() {
            let position = Position::new(generation, record.sequence);
            if position > commit.last {
                break;
            }
            if position >= commit.first {
                found.add(decode(&record.as_record(), &limits, self.ledgers));
            }
            records.take().await?;
        }
        Ok(found)
    }

    /// The command behind an outcome; its line may have been taken from what the log holds.
    pub(crate) fn source(&self, on_log: &mut OnLog, event: &Event, rows: &Rows) -> Source {
        match on_log.lines.remove(&event.at) {
            Some(Line::Command(item, _)) => Source::Known(item),
            Some(Line::Dead(letter)) => Source::Undecodable(letter.detail),
            None => self.kept(event, rows.commands.get(&event.at)),
        }
    }

    /// A line by itself.
    pub(crate) fn read(&self, at: LinePosition, text: Bytes) -> Source {
        let sequence = at.position.sequence();
        let record = Record::kept(sequence, Timestamp::default(), Bytes::new(), text);
        let limits = self.limits(at.partition, at.position.generation());
        let mut decoded = decode(&record, &limits, self.ledgers);
        match decoded.lines.pop() {
            Some(Line::Command(mut item, _)) => {
                item.at = at;
                Source::Known(item)
            }
            Some(Line::Dead(letter)) => Source::Undecodable(letter.detail),
            None => Source::Gone,
        }
    }

    fn kept(&self, event: &Event, command: Option<&String>) -> Source {
        match &event.outcome {
            Outcome::Decided(transfer) => self.item(event, transfer),
            Outcome::Replayed(replayed) => self.item(event, &replayed.transfer),
            _ => match command {
                Some(text) => self.read(event.at, Bytes::copy_from_slice(text.as_bytes())),
                None => Source::Gone,
            },
        }
    }

    /// A transfer's row says everything that its line said.
    fn item(&self, event: &Event, transfer: &Transfer) -> Source {
        let ledger = event.ledger.as_ref().and_then(|name| {
            let ledger = self.ledgers.get(name)?;
            Some((ledger.number, name.clone()))
        });
        let Some((ledger, ledger_name)) = ledger else {
            return Source::Gone;
        };
        Source::Known(Box::new(Item {
            at: event.at,
            ledger,
            ledger_name,
            accepted_at: transfer.accepted_at,
            actor: transfer.actor.clone().unwrap_or(Actor::Nats),
            order: Order::Transfer(transfer.order.clone()),
        }))
    }

    fn is_of_this_stream(&self, commit: &Commit) -> bool {
        let of_partition = |bounds: &&Bounds| bounds.partition == commit.partition;
        self.bounds.iter().find(of_partition).is_some_and(|bounds| {
            commit.first > bounds.adopted
                && commit.first.generation() == bounds.applied.generation()
                && bounds.stream_created == Some(self.stream_created)
        })
    }

    /// Without the limits of today's server: a record that was too long then is too long for ever.
    fn limits(&self, partition: Partition, generation: u16) -> Limits {
        Limits {
            partition,
            partitions: self.connections.log.partitions(),
            generation,
            commands_max: usize::MAX,
            payload_bytes_max: usize::MAX,
        }
    }
}

impl OnLog {
    /// What rows of the second encoder or a later one say otherwise than the line on the log: who asked, and which
    /// line it was.
    pub(crate) fn contradictions(&self, event: &Event, rows: &Rows) -> Vec<String> {
        let mut found = Vec::new();
        let dead = match &event.outcome {
            Outcome::DeadLettered(dead) => Some(dead.reason.as_str()),
            _ => None,
        };
        let (actor, line) = match self.lines.get(&event.at) {
            None => return found,
            // It was not looked into.
            Some(_) if dead == Some(RECORD_TOO_LONG) => (&Actor::Nats, None),
            Some(Line::Command(item, text)) => (&item.actor, Some(text)),
            Some(Line::Dead(letter)) => (&letter.actor, None),
        };
        if event.actor.as_ref() != Some(actor) {
            let stored = event.actor.as_ref();
            let stored = stored.map_or_else(|| "absent".to_owned(), ToString::to_string);
            found.push(format!("actor is {stored}, expected {actor}"));
        }
        let is_kept = !matches!(
            event.outcome,
            Outcome::Decided(_) | Outcome::Replayed(_) | Outcome::DeadLettered(_)
        );
        if let Some(text) = line.filter(|_| is_kept)
            && rows.commands.get(&event.at).map(String::as_str) != Some(&line_to_keep(text))
        {
            found.push("another line was kept than the one on the log".to_owned());
        }
        found
    }

    fn add(&mut self, decoded: Decoded) {
        for line in decoded.lines {
            let at = match &line {
                Line::Command(item, _) => item.at,
                Line::Dead(letter) => letter.at,
            };
            self.lines.insert(at, line);
        }
    }
}
