//! Every command decided again, in the order in which it happened, and every account beside what follows from that.
//!
//! Invariant: only what accounts were before the first serial is taken from Postgres; from there on an account is what
//! the core makes of it.

mod again;
pub(crate) mod before;
pub(crate) mod book;
mod differences;
pub(crate) mod limits;
mod lines;
mod turns;

use bytes::Bytes;
use journal::{Ledgers, partition_number};
use ledger::Item;
use schemas::{Encoder, Event, LinePosition, Outcome};
use sqlx::PgPool;

use crate::report::{CheckResult, Checks};
use crate::snapshot::Bounds;
use crate::{Config, Connections, Error};
use again::{Again, Case};
use book::Book;
pub(crate) use lines::RECORD_TOO_LONG;
use lines::{Lines, OnLog, Source};
use turns::{Commit, Rows, Turn, Turns};

/// Of dead letters that were read, and spoiled their batch.
pub(crate) const CANNOT_BE_COMMITTED: &str = "cannot_be_committed";

/// What is decided again, and from what.
pub(crate) struct Decisions<'a> {
    pub(crate) connections: &'a Connections,
    pub(crate) config: &'a Config,
    pub(crate) stream: streams::StreamIdentity,
    pub(crate) bounds: &'a [Bounds],
    pub(crate) ledgers: &'a Ledgers,
    /// Of the last commit that the snapshot saw.
    pub(crate) last_serial: i64,
    pub(crate) book: &'a Book,
}

impl Decisions<'_> {
    pub(crate) async fn check(
        &self,
        checks: &mut Checks,
        progress: &mut (dyn FnMut(u64) + Send),
    ) -> Result<(), Error> {
        let database = &self.connections.database;
        let mut turns = Turns::new(database, self.bounds, self.last_serial);
        let mut decider = Decider {
            database,
            lines: Lines::new(
                self.connections,
                self.config,
                self.ledgers,
                self.bounds,
                self.stream.created,
            ),
            again: Again {
                database,
                book: self.book,
                ledgers: self.ledgers,
                partitions: self.connections.log.partitions(),
            },
        };
        loop {
            let page = turns.next().await?;
            if page.is_empty() {
                break;
            }
            for turn in &page {
                decider.decide(turn, checks).await?;
                progress(turn.commit.commands.into());
            }
        }
        self.compare_accounts(&mut checks.decisions)
    }

    fn compare_accounts(&self, check: &mut CheckResult) -> Result<(), Error> {
        self.book.compare(|ledger, id, differs| {
            let of_number = |(_, known): &(_, &journal::Ledger)| known.number == ledger;
            let name = self.ledgers.iter().find(of_number);
            let name = name.map_or_else(|| ledger.to_string(), |(name, _)| name.to_string());
            check.found(format!("account {id} of ledger {name}: {differs}"));
        })
    }
}

struct Decider<'a> {
    database: &'a PgPool,
    lines: Lines<'a>,
    again: Again<'a>,
}

impl Decider<'_> {
    async fn decide(&mut self, turn: &Turn, checks: &mut Checks) -> Result<(), Error> {
        let commit = &turn.commit;
        let mut on_log = self.lines.on_log(commit).await?;
        let rows = match &turn.rows {
            Ok(rows) => rows,
            Err(why) => {
                checks.decisions.found(format!(
                    "commit {} of partition {}: {why}",
                    commit.last, commit.partition
                ));
                return Ok(());
            }
        };
        let mut cases = Vec::with_capacity(rows.events.len());
        let is_first = commit.encoder == Encoder::V1.number();
        for event in &rows.events {
            if !is_first {
                for differs in on_log.contradictions(event, rows) {
                    checks.decisions.found(format!("{}: {differs}", event.at));
                }
            }
            match self.question(commit, &mut on_log, event, rows).await? {
                Question::None => {}
                Question::Decide(item) => {
                    checks.decisions.checked += 1;
                    cases.push(Case { item: *item, event });
                }
                // Everything before it comes first.
                later => {
                    let before = std::mem::take(&mut cases);
                    self.again
                        .decide(commit, before, &mut checks.decisions)
                        .await?;
                    self.answer(commit, event, later, checks).await?;
                }
            }
        }
        self.again
            .decide(commit, cases, &mut checks.decisions)
            .await
    }

    async fn question(
        &self,
        commit: &Commit,
        on_log: &mut OnLog,
        event: &Event,
        rows: &Rows,
    ) -> Result<Question, Error> {
        let dead = match &event.outcome {
            Outcome::DeadLettered(dead) if dead.reason == CANNOT_BE_COMMITTED => true,
            Outcome::DeadLettered(_) => return Ok(Question::None),
            _ => false,
        };
        if commit.rules != ledger::RULES {
            return Ok(Question::NotDecidable(limits::RULES));
        }
        let mut source = self.lines.source(on_log, event, rows);
        if let (true, Source::Gone) = (dead, &source) {
            let body = buried(self.database, event.at).await?;
            source = self.lines.read(event.at, body);
        }
        Ok(match (source, dead) {
            (Source::Known(item), false) => Question::Decide(item),
            (Source::Known(item), true) => Question::Try(item),
            (Source::Undecodable(why), false) => Question::NoCommand(why),
            (Source::Gone, false) if commit.encoder == Encoder::V1.number() => {
                Question::NotDecidable(limits::NO_LINE)
            }
            (Source::Gone, false) => Question::NoCommand("it was not kept".to_owned()),
            (_, true) => Question::None,
        })
    }

    async fn answer(
        &self,
        commit: &Commit,
        event: &Event,
        question: Question,
        checks: &mut Checks,
    ) -> Result<(), Error> {
        match question {
            Question::None | Question::Decide(_) => {}
            Question::Try(item) => {
                if let Some(outcome) = self.again.attempt(commit, *item, event).await? {
                    checks.dead_letters.found(format!(
                        "{}: {CANNOT_BE_COMMITTED}, but tried alone it is {}",
                        event.at,
                        outcome.kind().as_str()
                    ));
                }
            }
            Question::NotDecidable(why) => {
                checks.decisions.not_decidable(why);
                self.again.accept(event)?;
            }
            Question::NoCommand(why) => {
                checks.decisions.found(format!(
                    "{}: {}, but its line cannot be decided: {why}",
                    event.at,
                    event.outcome.kind().as_str()
                ));
                self.again.accept(event)?;
            }
        }
        Ok(())
    }
}

/// What there is to ask about an outcome.
enum Question {
    None,
    /// Does it come out the same?
    Decide(Box<Item>),
    /// Can it still not be committed?
    Try(Box<Item>),
    NotDecidable(&'static str),
    NoCommand(String),
}

async fn buried(database: &PgPool, at: LinePosition) -> Result<Bytes, Error> {
    let line = i32::try_from(at.line).unwrap_or(i32::MAX);
    sqlx::query_scalar(
        "SELECT body FROM dead_letters WHERE partition = $1 AND position = $2 AND line = $3",
    )
    .bind(partition_number(at.partition))
    .bind(at.position.number())
    .bind(line)
    .fetch_one(database)
    .await
    .map(|body: Vec<u8>| body.into())
    .map_err(Error::postgres("reading a dead letter"))
}
