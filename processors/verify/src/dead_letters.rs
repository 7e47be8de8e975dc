//! Dead letters, each tried again alone.
//!
//! Invariant: one of them is in memory. What was refused for a limit is compared with the limit that its row names,
//! not with today's.

use bytes::Bytes;
use futures::TryStreamExt;
use journal::{HEADERS_KEPT_MAX, columns, partition_number};
use schemas::{Encoder, LinePosition, Position, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{FromRow, Row};
use streams::{Record, lines_of};
use worker::decode::{Decoded, Limits, Line, decode};

use crate::Error;
use crate::copies::Copies;
use crate::decisions::limits::{self, Ages, is_young};
use crate::decisions::{CANNOT_BE_COMMITTED, RECORD_TOO_LONG};
use crate::partition::Pass;
use crate::report::CheckResult;

/// Of dead letters that name a ledger or a unit that was not there.
const NOT_THERE: [&str; 2] = ["ledger_unknown", "currency_unknown"];
/// Of dead letters with a field that no command had.
const UNKNOWN_FIELD: &str = "unknown_field";

/// The least that any release allowed in a record.
const COMMANDS_MAX_EVER_LEAST: usize = 10_000;

/// A row of `dead_letters`, and how its commit was encoded.
struct Letter {
    at: LinePosition,
    whole: bool,
    reason: String,
    detail: String,
    decided_at: Timestamp,
    recorded_at: Timestamp,
    body: Bytes,
    /// Of the record, with its first dead letter; the first encoder's processors kept none.
    headers: Option<Bytes>,
    encoder: Option<i16>,
    has_serial: bool,
}

enum Verdict {
    Holds,
    NotDecidable(&'static str),
    Found(String),
}

/// Tries every dead letter of a partition.
pub(crate) async fn check(
    pass: Pass<'_>,
    ages: &Ages,
    check: &mut CheckResult,
) -> Result<(), Error> {
    let failed = Error::postgres("reading dead letters");
    let mut letters = sqlx::query_as::<_, Letter>(LETTERS)
        .bind(partition_number(pass.bounds.partition))
        .bind(pass.bounds.applied.number())
        .fetch(&pass.connections.database);
    let mut copies = None;
    while let Some(letter) = letters.try_next().await.map_err(failed)? {
        check.checked += 1;
        let position = letter.at.position;
        let bounds = pass.bounds;
        if position <= bounds.dlq_published && position > bounds.trimmed.dlq {
            let copies = match &mut copies {
                Some(copies) => copies,
                none => none.insert(Copies::open(pass).await?),
            };
            let fault = copies.compare(letter.at, &letter.reason, &letter.body);
            if let Some(fault) = fault.await? {
                check.found(format!("{}: {}, {fault}", letter.at, letter.reason));
            }
        }
        match letter.tried_again(pass, ages) {
            Verdict::Holds => {}
            Verdict::NotDecidable(what) => check.not_decidable(what),
            Verdict::Found(why) => check.found(format!("{}: {}, {why}", letter.at, letter.reason)),
        }
    }
    Ok(())
}

impl Letter {
    fn tried_again(&self, pass: Pass<'_>, ages: &Ages) -> Verdict {
        if self.reason == CANNOT_BE_COMMITTED {
            // It is tried at its place among the decisions.
            return if self.has_serial {
                Verdict::Holds
            } else {
                Verdict::NotDecidable(limits::NO_PLACE)
            };
        }
        if self.whole && self.headers.is_none() && self.encoder == Some(Encoder::V1.number()) {
            return Verdict::NotDecidable(limits::NO_HEADERS);
        }
        if self.whole && self.headers.as_ref().is_some_and(is_cut) {
            return Verdict::NotDecidable(limits::HEADERS_CUT);
        }
        let decoded = self.decode(pass);
        if self.whole && self.reason == RECORD_TOO_LONG {
            return self.measured(&decoded, pass);
        }
        match decoded.lines.first() {
            Some(Line::Dead(dead)) if dead.whole == self.whole => Verdict::Holds,
            Some(Line::Command(item, _)) if !self.whole => {
                let youngest = ages.youngest(&item.ledger_name, &item.order);
                if NOT_THERE.contains(&self.reason.as_str())
                    && let Some(created_at) = youngest.filter(|at| is_young(*at, self.decided_at))
                {
                    return if created_at > self.decided_at {
                        Verdict::Holds
                    } else {
                        Verdict::NotDecidable(limits::YOUNG_LEDGER)
                    };
                }
                if self.reason == UNKNOWN_FIELD && self.encoder == Some(Encoder::V1.number()) {
                    return Verdict::NotDecidable(limits::OLD_WORDS);
                }
                Verdict::Found("but its line is a command".to_owned())
            }
            _ => Verdict::Found("but the record can be read".to_owned()),
        }
    }

    fn decode(&self, pass: Pass<'_>) -> Decoded {
        // A line is judged by itself: only the first one of a record has its headers.
        let headers = self.headers.clone().filter(|_| self.whole);
        let headers = headers.unwrap_or_default();
        let record = Record::kept(
            self.at.position.sequence(),
            self.recorded_at,
            headers,
            self.body.clone(),
        );
        let limits = Limits {
            partition: self.at.partition,
            partitions: pass.connections.log.partitions(),
            generation: self.at.position.generation(),
            commands_max: usize::MAX,
            payload_bytes_max: usize::MAX,
        };
        decode(&record, &limits, pass.ledgers)
    }

    /// Against the size and the limit that the row names.
    fn measured(&self, decoded: &Decoded, pass: Pass<'_>) -> Verdict {
        let numbers: Vec<usize> = self
            .detail
            .split(|character: char| !character.is_ascii_digit())
            .filter_map(|digits| digits.parse().ok())
            .collect();
        let [size, limit] = numbers[..] else {
            return Verdict::NotDecidable(limits::NO_LIMIT);
        };
        let is_count = self.detail.contains("commands");
        let measured = if is_count {
            lines_of(&self.body).len()
        } else {
            decoded.event_bytes_max
        };
        if size <= limit {
            return Verdict::Found(format!("but {size} is not more than {limit}"));
        }
        if is_count && limit < COMMANDS_MAX_EVER_LEAST {
            return Verdict::Found(format!("but no processor had a limit of {limit} commands"));
        }
        let today = pass.connections.log.payload_bytes_max();
        if !is_count && decoded.event_bytes_max <= today {
            return Verdict::NotDecidable(limits::FITS_TODAY);
        }
        // How long events are depends on their encoder.
        if size != measured && (is_count || self.encoder == Some(Encoder::NEWEST.number())) {
            return Verdict::Found(format!("but it has {measured}, not {size}"));
        }
        Verdict::Holds
    }
}

fn is_cut(headers: &Bytes) -> bool {
    headers.len() >= HEADERS_KEPT_MAX
}

impl FromRow<'_, PgRow> for Letter {
    fn from_row(row: &PgRow) -> Result<Self, sqlx::Error> {
        Ok(Self {
            at: LinePosition {
                partition: columns::partition(row.try_get("partition")?)?,
                position: Position::from_number(row.try_get("position")?),
                line: columns::line(row.try_get("line")?)?,
            },
            whole: row.try_get("whole")?,
            reason: row.try_get("reason")?,
            detail: row.try_get("detail")?,
            decided_at: columns::timestamp(row, "decided_at")?,
            recorded_at: columns::timestamp(row, "recorded_at")?,
            body: row.try_get::<Vec<u8>, _>("body")?.into(),
            headers: row
                .try_get::<Option<Vec<u8>>, _>("headers")?
                .map(Bytes::from),
            encoder: row.try_get("encoder")?,
            has_serial: row.try_get("has_serial")?,
        })
    }
}

const LETTERS: &str = "
    SELECT d.partition, d.position, d.line, d.whole, d.reason, d.detail, d.decided_at, d.recorded_at, d.body, d.headers,
           c.encoder, coalesce(c.has_serial, false) AS has_serial
      FROM dead_letters d
      LEFT JOIN LATERAL (SELECT c.encoder, c.serial IS NOT NULL AS has_serial
                           FROM commits c
                          WHERE c.partition = d.partition AND c.position >= d.position
                          ORDER BY c.position
                          LIMIT 1) c ON true
     WHERE d.partition = $1 AND d.position > 0 AND d.position <= $2
     ORDER BY d.position, d.line";
