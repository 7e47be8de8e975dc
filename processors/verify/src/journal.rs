//! The journal of one partition, span after span.
//!
//! Invariant: spans follow one another without a gap up to the applied position, so that no row is passed over, and
//! each holds a bounded number of rows, even where commits were lost.

use std::collections::{BTreeMap, VecDeque};

use journal::{CommitRow, Stretch, columns, commits_after, events_in, partition_number};
use schemas::{Event, LinePosition, Partition, Position, Timestamp};
use sqlx::{PgPool, Row};

use crate::Error;

/// Commits read at once.
const COMMITS_PAGE: u32 = 256;
/// Rows read at once, unless one commit holds more.
pub(crate) const ROWS_MAX: u32 = 4_000;

/// A stretch of positions: its commits, and the rows there, which need not belong together.
pub(crate) struct Span {
    pub(crate) first: Position,
    pub(crate) last: Position,
    pub(crate) commits: Vec<CommitRow>,
    /// Or why they cannot be read.
    pub(crate) rows: Result<Rows, String>,
}

#[derive(Default)]
pub(crate) struct Rows {
    /// In the order of the log.
    pub(crate) events: Vec<Event>,
    pub(crate) dead: BTreeMap<LinePosition, DeadRow>,
}

/// A dead letter beside its event.
pub(crate) struct DeadRow {
    pub(crate) whole: bool,
    pub(crate) recorded_at: Timestamp,
    /// SHA-256 of the bytes that were kept.
    pub(crate) digest: Vec<u8>,
}

pub(crate) struct Journal<'a> {
    database: &'a PgPool,
    partition: Partition,
    end: Position,
    /// Handed out so far.
    at: Position,
    commits: VecDeque<CommitRow>,
}

impl<'a> Journal<'a> {
    pub(crate) fn new(database: &'a PgPool, partition: Partition, end: Position) -> Self {
        Self {
            database,
            partition,
            end,
            at: Position::default(),
            commits: VecDeque::new(),
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Span>, Error> {
        if self.at >= self.end {
            return Ok(None);
        }
        if self.commits.is_empty() {
            let page = commits_after(self.database, self.partition, self.at, COMMITS_PAGE)
                .await
                .map_err(Error::postgres("reading commits"))?;
            self.commits = page.into();
            self.commits.retain(|commit| commit.position <= self.end);
        }
        let mut commits = self.take_commits();
        let mut last = commits.last().map_or(self.end, |commit| commit.position);
        let claimed = commits.iter().map(|commit| commit.commands).sum();
        if let Some(cut) = too_many(self.database, self.partition, (self.at, last), claimed).await?
        {
            let gap_end = commits.first().map(|commit| before(commit.first_position));
            match gap_end {
                None => last = cut,
                Some(gap_end) if gap_end > self.at => {
                    self.give_back(&mut commits, 0);
                    last = cut.min(gap_end);
                }
                Some(_) => {
                    self.give_back(&mut commits, 1);
                    last = commits[0].position;
                }
            }
        }
        let mut rows = self.rows(last).await?;
        // Narrows down where it is.
        while rows.is_err() && commits.len() > 1 {
            let keep = commits.len() / 2;
            self.give_back(&mut commits, keep);
            last = commits[commits.len() - 1].position;
            rows = self.rows(last).await?;
        }
        let first = after(self.at);
        self.at = last;
        Ok(Some(Span {
            first,
            last,
            commits,
            rows,
        }))
    }

    fn take_commits(&mut self) -> Vec<CommitRow> {
        let mut commits = Vec::new();
        let mut claimed = 0_u32;
        while let Some(commit) = self.commits.front() {
            claimed = claimed.saturating_add(commit.commands);
            if claimed > ROWS_MAX && !commits.is_empty() {
                break;
            }
            commits.extend(self.commits.pop_front());
        }
        commits
    }

    fn give_back(&mut self, commits: &mut Vec<CommitRow>, keep: usize) {
        for commit in commits.drain(keep..).rev() {
            self.commits.push_front(commit);
        }
    }

    async fn rows(&self, last: Position) -> Result<Result<Rows, String>, Error> {
        let stretch = Stretch::between(self.partition, after(self.at), last);
        let events = match events_in(self.database, stretch, None).await {
            Ok(events) => events,
            Err(error) if journal::is_unreadable(&error) => {
                return Ok(Err(format!("reading the outcomes of a commit: {error}")));
            }
            Err(error) => return Err(Error::postgres("reading the outcomes of commits")(error)),
        };
        let dead = self.dead_rows(last).await?;
        Ok(Ok(Rows { events, dead }))
    }

    async fn dead_rows(&self, last: Position) -> Result<BTreeMap<LinePosition, DeadRow>, Error> {
        let failed = Error::postgres("reading dead letters");
        let rows = sqlx::query(DEAD_ROWS)
            .bind(partition_number(self.partition))
            .bind(self.at.number())
            .bind(last.number())
            .fetch_all(self.database)
            .await
            .map_err(failed)?;
        let dead = |row: &sqlx::postgres::PgRow| {
            let at = LinePosition {
                partition: self.partition,
                position: Position::from_number(row.try_get("position")?),
                line: columns::line(row.try_get("line")?)?,
            };
            let row = DeadRow {
                whole: row.try_get("whole")?,
                recorded_at: Timestamp::from_nanoseconds(row.try_get("recorded_at")?),
                digest: row.try_get("digest")?,
            };
            Ok((at, row))
        };
        rows.iter()
            .map(dead)
            .collect::<Result<_, _>>()
            .map_err(failed)
    }
}

/// A position before `last` at which to stop, when there are far more rows behind `after` than the commits claim.
pub(crate) async fn too_many(
    database: &PgPool,
    partition: Partition,
    (after, last): (Position, Position),
    claimed: u32,
) -> Result<Option<Position>, Error> {
    let cut: Option<i64> = sqlx::query_scalar(TOO_MANY)
        .bind(partition_number(partition))
        .bind(after.number())
        .bind(last.number())
        .bind(i64::from(claimed) + i64::from(ROWS_MAX))
        .fetch_one(database)
        .await
        .map_err(Error::postgres("looking for rows outside of commits"))?;
    Ok(cut.map(Position::from_number))
}

fn after(position: Position) -> Position {
    Position::from_number(position.number() + 1)
}

fn before(position: Position) -> Position {
    Position::from_number(position.number() - 1)
}

/// One index each; gives NULL unless a table has more than `$4` rows in the stretch.
const TOO_MANY: &str = "
    SELECT least(
           (SELECT position FROM transfers
             WHERE partition = $1 AND position > $2 AND position <= $3
             ORDER BY position OFFSET $4 LIMIT 1),
           (SELECT position FROM outcomes
             WHERE partition = $1 AND position > $2 AND position <= $3
             ORDER BY position OFFSET $4 LIMIT 1),
           (SELECT position FROM dead_letters
             WHERE partition = $1 AND position > $2 AND position <= $3
             ORDER BY position OFFSET $4 LIMIT 1))";

/// The bytes stay where they are; a record may be megabytes long.
const DEAD_ROWS: &str = "
    SELECT position, line, whole, recorded_at, sha256(body) AS digest
      FROM dead_letters
     WHERE partition = $1 AND position > $2 AND position <= $3";
