//! Commits in the order in which they happened, with their rows.
//!
//! Invariant: a bounded number of rows is in memory, whatever the commits claim; a commit that the snapshot did not
//! see is passed over, and shares no account with those that it saw.

use std::collections::{BTreeMap, HashMap};

use journal::{Stretch, columns, events_in, partition_number};
use schemas::{Event, LinePosition, Partition, Position, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, PgPool, Row};

use crate::Error;
use crate::journal::{ROWS_MAX, too_many};
use crate::snapshot::Bounds;

/// Commits read at once.
const COMMITS_PAGE: i64 = 256;

/// One commit and what its rows say.
pub(crate) struct Turn {
    pub(crate) commit: Commit,
    /// Or why they cannot be read.
    pub(crate) rows: Result<Rows, String>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Commit {
    pub(crate) partition: Partition,
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) decided_at: Timestamp,
    pub(crate) commands: u32,
    pub(crate) encoder: i16,
    pub(crate) rules: i16,
    pub(crate) serial: i64,
}

#[derive(Default)]
pub(crate) struct Rows {
    /// In the order of the log.
    pub(crate) events: Vec<Event>,
    /// The lines that Postgres keeps, of outcomes that make no transfer.
    pub(crate) commands: BTreeMap<LinePosition, String>,
}

pub(crate) struct Turns<'a> {
    database: &'a PgPool,
    bounds: &'a [Bounds],
    /// Serial of the last commit handed out, and of the last one that the snapshot saw.
    after: i64,
    last: i64,
    /// How far each partition has come.
    at: HashMap<Partition, Position>,
}

impl<'a> Turns<'a> {
    pub(crate) fn new(database: &'a PgPool, bounds: &'a [Bounds], last: i64) -> Self {
        Self {
            database,
            bounds,
            after: i64::MIN,
            last,
            at: HashMap::new(),
        }
    }

    /// The next few; none behind the last.
    pub(crate) async fn next(&mut self) -> Result<Vec<Turn>, Error> {
        loop {
            let mut page = self.page().await?;
            let Some(last) = page.last() else {
                return Ok(Vec::new());
            };
            self.after = last.serial;
            page.retain(|commit| self.is_in_bounds(commit));
            if !page.is_empty() {
                return self.with_rows(page).await;
            }
        }
    }

    async fn page(&self) -> Result<Vec<Commit>, Error> {
        let mut page: Vec<Commit> = sqlx::query_as(COMMITS)
            .bind(self.after)
            .bind(self.last)
            .bind(COMMITS_PAGE)
            .fetch_all(self.database)
            .await
            .map_err(Error::postgres("reading commits in their order"))?;
        let mut claimed = 0_u32;
        let fits = page.iter().take_while(|commit| {
            claimed = claimed.saturating_add(commit.commands);
            claimed <= ROWS_MAX
        });
        page.truncate(fits.count().max(1));
        Ok(page)
    }

    fn is_in_bounds(&self, commit: &Commit) -> bool {
        let of_partition = |bounds: &&Bounds| bounds.partition == commit.partition;
        let bounds = self.bounds.iter().find(of_partition);
        // What lies nowhere is found among the rows beyond the applied positions.
        bounds.is_some_and(|bounds| commit.first.number() > 0 && commit.last <= bounds.applied)
    }

    /// A partition's commits of a page are read at once, as they lie beside one another.
    async fn with_rows(&mut self, page: Vec<Commit>) -> Result<Vec<Turn>, Error> {
        let mut partitions: BTreeMap<Partition, Vec<Commit>> = BTreeMap::new();
        for commit in &page {
            partitions
                .entry(commit.partition)
                .or_default()
                .push(*commit);
        }
        let mut turns = Vec::with_capacity(page.len());
        for (partition, commits) in partitions {
            let at = self.at.entry(partition).or_default();
            let in_order = commits
                .iter()
                .try_fold(*at, |at, next| (next.first > at).then_some(next.last));
            let read = match in_order {
                Some(last) => {
                    *at = last;
                    together(self.database, &commits).await?
                }
                None => None,
            };
            match read {
                Some(together) => turns.extend(together),
                // One by one it shows where something is wrong.
                None => {
                    for commit in commits {
                        turns.push(alone(self.database, commit).await?);
                    }
                }
            }
        }
        turns.sort_by_key(|turn| turn.commit.serial);
        Ok(turns)
    }
}

/// `None` when some row cannot be read, or when there are too many of them.
async fn together(database: &PgPool, commits: &[Commit]) -> Result<Option<Vec<Turn>>, Error> {
    let (first, last) = (commits[0], commits[commits.len() - 1]);
    let claimed = commits
        .iter()
        .fold(0_u32, |sum, commit| sum.saturating_add(commit.commands));
    let Ok(mut rows) = read(database, (first.partition, first.first, last.last), claimed).await?
    else {
        return Ok(None);
    };
    // From the last one on, so that what is left is always the head.
    let mut turns = Vec::with_capacity(commits.len());
    for commit in commits.iter().rev() {
        let behind = rows.split_behind(commit.last);
        drop(behind);
        let own = rows.split_behind(before(commit.first));
        turns.push(Turn {
            commit: *commit,
            rows: Ok(own),
        });
    }
    Ok(Some(turns))
}

async fn alone(database: &PgPool, commit: Commit) -> Result<Turn, Error> {
    let span = (commit.partition, commit.first, commit.last);
    let rows = read(database, span, commit.commands).await?;
    Ok(Turn { commit, rows })
}

impl Rows {
    /// Takes what lies behind a position.
    fn split_behind(&mut self, position: Position) -> Self {
        let behind = self
            .events
            .partition_point(|event| event.at.position <= position);
        let first = self.events.get(behind).map(|event| event.at);
        let commands = match first {
            Some(first) => self.commands.split_off(&first),
            None => BTreeMap::new(),
        };
        Self {
            events: self.events.split_off(behind),
            commands,
        }
    }
}

async fn read(
    database: &PgPool,
    (partition, first, last): (Partition, Position, Position),
    claimed: u32,
) -> Result<Result<Rows, String>, Error> {
    if too_many(database, partition, (before(first), last), claimed)
        .await?
        .is_some()
    {
        return Ok(Err(
            "there are far more outcomes than the commit counts".to_owned()
        ));
    }
    let stretch = Stretch::between(partition, first, last);
    let events = match events_in(database, stretch, None).await {
        Ok(events) => events,
        Err(error) if journal::is_unreadable(&error) => return Ok(Err(error.to_string())),
        Err(error) => return Err(Error::postgres("reading the outcomes of commits")(error)),
    };
    let commands = sqlx::query(LINES)
        .bind(partition_number(partition))
        .bind(first.number())
        .bind(last.number())
        .fetch_all(database)
        .await
        .and_then(|rows| rows.iter().map(|row| line(partition, row)).collect())
        .map_err(Error::postgres("reading the lines of outcomes"))?;
    Ok(Ok(Rows { events, commands }))
}

fn line(partition: Partition, row: &PgRow) -> Result<(LinePosition, String), sqlx::Error> {
    let at = LinePosition {
        partition,
        position: Position::from_number(row.try_get("position")?),
        line: columns::line(row.try_get("line")?)?,
    };
    Ok((at, row.try_get("command")?))
}

impl FromRow<'_, PgRow> for Commit {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        let commands: i32 = row.try_get("commands")?;
        Ok(Self {
            partition: columns::partition(row.try_get("partition")?)?,
            first: Position::from_number(row.try_get("first_position")?),
            last: Position::from_number(row.try_get("position")?),
            decided_at: columns::timestamp(row, "decided_at")?,
            commands: u32::try_from(commands).unwrap_or_default(),
            encoder: row.try_get("encoder")?,
            rules: row.try_get("rules")?,
            serial: row.try_get("serial")?,
        })
    }
}

fn before(position: Position) -> Position {
    Position::from_number(position.number() - 1)
}

const COMMITS: &str = "
    SELECT partition, first_position, position, decided_at, commands, encoder, rules, serial
      FROM commits
     WHERE serial > $1 AND serial <= $2
     ORDER BY serial
     LIMIT $3";

const LINES: &str = "
    SELECT position, line, command
      FROM outcomes
     WHERE partition = $1 AND position >= $2 AND position <= $3 AND command IS NOT NULL";
