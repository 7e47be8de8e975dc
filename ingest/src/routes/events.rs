//! The pull feed: every event of the caller's ledger, from any place on.
//!
//! Invariant: within a partition events come in their order and none is left out, however late its commit; the cursor
//! holds a place in each partition. One call reads a bounded number of rows, whatever ledgers they are of.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use journal::Place;
use schemas::{Encoder, Event, Partition, Position};
use serde::Deserialize;
use serde_json::value::RawValue;
use utoipa::IntoParams;

use crate::api::Api;
use crate::keyring::Ledger;
use crate::page::{PAGE_BYTES_MAX, Page, cursor_malformed};
use crate::problem::{Problem, ProblemBody};
use crate::request::{Query, Reader, limit};
use crate::respond;

/// Most lines of the journal that one call looks at, of all ledgers.
const LINES_MAX: usize = 5_000;

/// Most lines of one partition before the next one has its turn.
const STRETCH_LINES_MAX: usize = 250;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// `next` of the page before; from the beginning unless given.
    #[param(pattern = "^[0-9]{1,4}(-[0-9]{1,4}\\.([0-9]{1,18}|[0-8][0-9]{18})\\.[0-9]{1,9})*$")]
    after: Option<String>,
    /// 1 to 200, 50 unless given.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

/// Events of the ledger as `CloudEvents`.
///
/// `next` is never `null`: ask again with it, at once while `data` holds anything, later when it is empty.
#[utoipa::path(
    get, path = "/v1/events", tag = "events",
    params(ListQuery),
    responses(
        (status = 200, body = Page<serde_json::Value>, description = "CloudEvents 1.0, as on the log"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Reader(key): Reader,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let limit = usize::try_from(limit(query.limit.as_deref())?).unwrap_or(1);
    let mut cursor = query
        .after
        .as_deref()
        .map_or_else(|| Ok(Cursor::default()), Cursor::decode)?;
    let data = read(&api, &key.ledger, &mut cursor, limit).await?;
    let page = Page {
        data,
        next: Some(cursor.encode()),
    };
    Ok(respond::json(StatusCode::OK, &page))
}

/// Goes round the partitions, one stretch each, until the page is full or everything was seen.
async fn read(
    api: &Api,
    ledger: &Ledger,
    cursor: &mut Cursor,
    limit: usize,
) -> Result<Vec<Box<RawValue>>, Problem> {
    let mut behind = cursor.round(api.store.applied_positions().await?);
    let mut lines_left = LINES_MAX;
    let mut bytes_left = PAGE_BYTES_MAX;
    let mut data: Vec<Box<RawValue>> = Vec::new();
    while let Some((partition, applied)) = behind.pop_front() {
        let after = cursor.places.get(&partition).copied().unwrap_or_default();
        let lines_max = i64::try_from(STRETCH_LINES_MAX.min(lines_left)).unwrap_or(1);
        let window = api
            .store
            .window(partition, after, applied, lines_max)
            .await?;
        let Some(window) = window else {
            continue;
        };
        let events = api.store.events(ledger.number, window.stretch).await?;
        let mut place = window.stretch.last;
        let mut read_to = after;
        for (encoder, event) in &events {
            let json = json(*encoder, event);
            let is_first = data.is_empty();
            if data.len() == limit || (json.get().len() > bytes_left && !is_first) {
                // The rest of the stretch is for the next page.
                place = read_to;
                lines_left = 0;
                break;
            }
            bytes_left = bytes_left.saturating_sub(json.get().len());
            read_to = place_of(event);
            data.push(json);
        }
        cursor.places.insert(partition, place);
        cursor.first = partition.0 + 1;
        behind.push_back((partition, applied));
        lines_left = lines_left.saturating_sub(window.lines);
        if data.len() >= limit || lines_left == 0 {
            break;
        }
    }
    Ok(data)
}

fn place_of(event: &Event) -> Place {
    Place {
        position: event.at.position.number(),
        line: i32::try_from(event.at.line).expect("lines fit their column"),
    }
}

/// As it stands on the log.
fn json(encoder: Encoder, event: &Event) -> Box<RawValue> {
    let mut line = Vec::with_capacity(512);
    event.encode(encoder, &mut line);
    let line = String::from_utf8(line).expect("JSON is UTF-8");
    RawValue::from_string(line.trim_end().to_owned()).expect("an event is JSON")
}

/// The place up to which each partition was read, and which one comes first next time.
#[derive(Debug, Default, PartialEq, Eq)]
struct Cursor {
    first: u16,
    places: BTreeMap<Partition, Place>,
}

impl Cursor {
    /// Every partition and its applied position, beginning with the one whose turn it is: a busy one holds up no other.
    fn round(&self, applied: Vec<(Partition, Position)>) -> VecDeque<(Partition, Position)> {
        let mut round = VecDeque::from(applied);
        let first = round.partition_point(|(partition, _)| partition.0 < self.first);
        round.rotate_left(first);
        round
    }

    fn encode(&self) -> String {
        let mut text = self.first.to_string();
        for (partition, place) in &self.places {
            write!(text, "-{partition}.{}.{}", place.position, place.line)
                .expect("a string takes all text");
        }
        text
    }

    fn decode(text: &str) -> Result<Self, Problem> {
        let mut parts = text.split('-');
        let first = parts.next().and_then(|first| first.parse().ok());
        let places = parts.map(|part| {
            let mut numbers = part.split('.');
            let partition = Partition(numbers.next()?.parse().ok()?);
            let place = Place {
                position: numbers.next()?.parse().ok()?,
                line: numbers.next()?.parse().ok()?,
            };
            numbers.next().is_none().then_some((partition, place))
        });
        let places: Option<BTreeMap<Partition, Place>> = places.collect();
        match (first, places) {
            (Some(first), Some(places)) => Ok(Self { first, places }),
            _ => Err(cursor_malformed()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_survives_its_text() {
        let place = |position, line| Place { position, line };
        let cursor = Cursor {
            first: 3,
            places: BTreeMap::from([(Partition(0), place(1042, 3)), (Partition(7), place(9, 0))]),
        };
        assert_eq!(Cursor::decode(&cursor.encode()).unwrap(), cursor);
        assert_eq!(Cursor::decode("0").unwrap(), Cursor::default());
        for bad in [
            "",
            "x",
            "0-1",
            "0-1.2",
            "0-1.2.3.4",
            "0-1.2.x",
            "0-99999.1.1",
            "\0",
        ] {
            assert!(Cursor::decode(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_partition_after_the_last_one_read_comes_first() {
        let cursor = Cursor {
            first: 2,
            places: BTreeMap::new(),
        };
        let applied = (0..4).map(|partition| (Partition(partition), Position::from_number(5)));
        let round = cursor.round(applied.collect());
        let order: Vec<u16> = round
            .into_iter()
            .map(|(partition, _)| partition.0)
            .collect();
        assert_eq!(order, [2, 3, 0, 1]);
    }
}
