//! Records of bytes into commands, or into dead letters with their reason.
//!
//! Invariant: pure, and total: every byte sequence gives at least one line, and a line that is no command never
//! stands in the way of another.

use bytes::Bytes;
use journal::Ledgers;
use ledger::Item;
use schemas::{
    Actor, Command, IdempotencyKey, Invalid, LedgerName, LinePosition, Partition, Position,
    Timestamp, TransferId, partition_of,
};
use streams::{Record, ReplyTo, lines_of};

use crate::commit::DeadLetter;

/// Room in an event record beside the events themselves.
/// Half of what ingest leaves, so that no record of its own is ever too long.
const RECORD_SLACK_BYTES: usize = 4 << 10;

/// What a line of a record is.
#[derive(Debug, Clone)]
pub enum Line {
    Command(Box<Item>, Bytes),
    Dead(DeadLetter),
}

/// One record, decoded.
#[derive(Debug, Clone)]
pub struct Decoded {
    pub position: Position,
    pub stored_at: Timestamp,
    /// The header block.
    pub headers: Bytes,
    pub lines: Vec<Line>,
    /// Where to send the outcomes, and under which record id.
    pub reply: Option<(ReplyTo, String)>,
    /// Upper bound of the events that follow, in bytes.
    pub event_bytes_max: usize,
    /// A ledger or unit that is not known; it may have been created since the ledgers were loaded.
    pub unknown_ledger: bool,
}

/// What decoding depends on beside the record.
#[derive(Clone, Copy)]
pub struct Limits {
    pub partition: Partition,
    pub partitions: u16,
    pub generation: u16,
    pub commands_max: usize,
    pub payload_bytes_max: usize,
}

impl Limits {
    /// Most event bytes that one commit may lead to.
    pub fn event_bytes_max(&self) -> usize {
        self.payload_bytes_max.saturating_sub(RECORD_SLACK_BYTES)
    }
}

pub fn decode(record: &Record, limits: &Limits, ledgers: &Ledgers) -> Decoded {
    let position = Position::new(limits.generation, record.sequence);
    let mut decoded = Decoded {
        position,
        stored_at: record.stored_at,
        headers: record.headers.clone(),
        lines: Vec::new(),
        event_bytes_max: DEAD_EVENT_BYTES_MAX,
        reply: record.reply_to.clone().zip(record.id.clone()),
        unknown_ledger: false,
    };
    let at = LinePosition {
        partition: limits.partition,
        position,
        line: 0,
    };
    let texts = match texts_of(record, limits) {
        Ok(texts) => texts,
        Err((reason, detail)) => {
            decoded.lines = whole(record, at, reason, &detail);
            return decoded;
        }
    };
    for (line, text) in texts.into_iter().enumerate() {
        let line = u32::try_from(line).expect("a record holds fewer than 2^32 lines");
        let at = LinePosition { line, ..at };
        let decoded_line = decode_line(&text, at, record, limits, ledgers);
        if let Err(invalid) = &decoded_line {
            decoded.unknown_ledger |=
                ["ledger_unknown", "currency_unknown"].contains(&invalid.code);
        }
        decoded.event_bytes_max += event_bytes(&decoded_line);
        decoded.lines.push(match decoded_line {
            Ok((item, _)) => Line::Command(Box::new(item), text),
            Err(invalid) => Line::Dead(dead(at, record, ledgers, text, &invalid)),
        });
    }
    if decoded.event_bytes_max > limits.event_bytes_max() {
        decoded.lines = whole(
            record,
            at,
            "record_too_long",
            &format!(
                "the events of this record could take {} bytes, at most {} fit the log at once",
                decoded.event_bytes_max,
                limits.event_bytes_max()
            ),
        );
        decoded.event_bytes_max = DEAD_EVENT_BYTES_MAX;
    }
    decoded
}

/// Upper bound of a dead letter's event.
const DEAD_EVENT_BYTES_MAX: usize = 2048;
/// Longest explanation that is kept; it may quote the input.
const DETAIL_CHARS_MAX: usize = 200;

/// The texts of a record's lines, or why the record is a dead letter as a whole.
fn texts_of(record: &Record, limits: &Limits) -> Result<Vec<Bytes>, (&'static str, String)> {
    if let Some(why) = record.unreadable {
        return Err((
            "headers_malformed",
            format!("the record's headers cannot be read: {why}"),
        ));
    }
    if let Some(schema) = record.unknown_schema() {
        return Err((
            "schema_unknown",
            format!("cmd.v1 is known here, the record says Sluice-Schema: {schema}"),
        ));
    }
    let texts = lines_of(&record.body);
    if texts.is_empty() {
        let detail = "the record holds no command".to_owned();
        return Err(("record_empty", detail));
    }
    if texts.len() > limits.commands_max {
        return Err((
            "record_too_long",
            format!(
                "the record holds {} commands, at most {} fit one",
                texts.len(),
                limits.commands_max
            ),
        ));
    }
    Ok(texts)
}

/// A record that is one dead letter.
fn whole(record: &Record, at: LinePosition, reason: &'static str, detail: &str) -> Vec<Line> {
    vec![Line::Dead(DeadLetter {
        at,
        whole: true,
        recorded_at: record.stored_at,
        ledger: None,
        transfer_id: None,
        actor: Actor::Nats,
        reason: reason.to_owned(),
        detail: shorten(detail),
        body: record.body.clone(),
        headers: record.headers.clone(),
    })]
}

fn event_bytes(line: &Result<(Item, usize), Invalid>) -> usize {
    match line {
        Ok((_, bytes)) => *bytes,
        Err(_) => DEAD_EVENT_BYTES_MAX,
    }
}

fn decode_line(
    text: &[u8],
    at: LinePosition,
    record: &Record,
    limits: &Limits,
    ledgers: &Ledgers,
) -> Result<(Item, usize), Invalid> {
    let command = Command::decode(text, |ledger| {
        ledgers.get(ledger).map(|ledger| &ledger.units)
    })?;
    let belongs = partition_of(command.account(), limits.partitions);
    if belongs != at.partition {
        return Err(Invalid::new(
            "partition_differs",
            "",
            format!(
                "account {} belongs to partition {belongs}, not {}",
                command.account(),
                at.partition
            ),
        ));
    }
    let event_bytes_max = command.event_bytes_max();
    let ledger = ledgers
        .get(&command.ledger)
        .expect("decoded with the units of this ledger");
    let item = Item {
        at,
        ledger: ledger.number,
        accepted_at: command
            .accepted_at
            .map_or(record.stored_at, |at| at.min(record.stored_at)),
        actor: actor(record, command.actor),
        ledger_name: command.ledger,
        order: command.order,
    };
    Ok((item, event_bytes_max))
}

fn dead(
    at: LinePosition,
    record: &Record,
    ledgers: &Ledgers,
    body: Bytes,
    invalid: &Invalid,
) -> DeadLetter {
    let named = named(&body);
    let ledger = named
        .ledger
        .as_ref()
        .and_then(|ledger| Some((ledgers.get(ledger)?.number, ledger.clone())));
    DeadLetter {
        at,
        whole: false,
        recorded_at: record.stored_at,
        transfer_id: named
            .ledger
            .zip(named.key)
            .map(|(ledger, key)| TransferId::derive(&ledger, &key)),
        ledger,
        actor: actor(record, named.actor),
        reason: invalid.code.to_owned(),
        detail: shorten(&invalid.detail),
        body,
        headers: record.headers.clone(),
    }
}

/// Cuts an explanation and takes control characters out of it.
pub(crate) fn shorten(detail: &str) -> String {
    detail
        .chars()
        .take(DETAIL_CHARS_MAX)
        .map(|character| {
            if character.is_control() {
                '\u{fffd}'
            } else {
                character
            }
        })
        .collect()
}

/// Who asked for a line: what it claims is believed in a record of ours only. Whoever forges its headers is an admin of
/// every ledger already.
fn actor(record: &Record, claimed: Option<Actor>) -> Actor {
    claimed.filter(|_| record.is_ours()).unwrap_or(Actor::Nats)
}

/// What a line that is no command still says of itself.
#[derive(Default)]
struct Named {
    ledger: Option<LedgerName>,
    key: Option<IdempotencyKey>,
    actor: Option<Actor>,
}

fn named(body: &[u8]) -> Named {
    let Ok(object) = serde_json::from_slice::<serde_json::Value>(body) else {
        return Named::default();
    };
    let text = |field| object.get(field).and_then(serde_json::Value::as_str);
    Named {
        ledger: text("ledger").and_then(|text| LedgerName::parse(text).ok()),
        key: text("idempotency_key").and_then(|text| IdempotencyKey::parse(text).ok()),
        actor: text("actor").and_then(|text| Actor::parse(text).ok()),
    }
}
