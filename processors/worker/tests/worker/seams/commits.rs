//! Commands, and the commits that follow from them.

use bytes::Bytes;
use journal::{DeadLetter, Decided, Lines, link};
use ledger::{Batch, Decision, Item, Reads};
use schemas::{
    Actor, Command, DeadLettered, Encoder, Event, KeyId, LedgerName, LinePosition, Outcome,
    Partition, Position, Timestamp, Units,
};
use streams::EventRecord;
use worker::Error;
use worker::simulation::{Advance, Commit, Lease, Loaded, Rehearsal, Store, Transaction as _};

use crate::servers::LEDGER;

pub(super) const ACCEPTED_AT: i64 = 1_795_000_000_123_456_789;

/// Commands at one position of a partition.
pub(crate) fn batch(partition: Partition, position: u64, lines: &[&str]) -> Batch {
    let ledger_name = LedgerName::parse(LEDGER).unwrap();
    let item = |(line, text): (u32, &&str)| {
        let text = text.replacen('{', &format!(r#"{{"ledger":"{LEDGER}","#), 1);
        let units = Units::default();
        let command = Command::decode(text.as_bytes(), |_| Some(&units)).unwrap();
        Item {
            at: LinePosition {
                partition,
                position: Position::new(0, position),
                line,
            },
            ledger: 1,
            ledger_name: ledger_name.clone(),
            accepted_at: Timestamp::from_nanoseconds(ACCEPTED_AT),
            actor: Actor::Key(KeyId::parse("4f2a").unwrap()),
            order: command.order,
        }
    };
    Batch {
        items: (0..).zip(lines).map(item).collect(),
    }
}

/// The step from one position to the next.
pub(crate) fn step(from: u64, to: u64) -> Advance {
    Advance {
        previous: Position::new(0, from),
        next: Position::new(0, to),
        next_at: Timestamp::from_nanoseconds(ACCEPTED_AT + 1),
        published: Position::default(),
    }
}

/// A dead letter behind the commands of a batch.
pub(super) fn dead_letter(batch: &Batch, body: &'static [u8], named: bool) -> DeadLetter {
    let last = batch.items.last().expect("a batch holds a command");
    DeadLetter {
        at: LinePosition {
            line: last.at.line + 1,
            ..last.at
        },
        whole: !named,
        recorded_at: Timestamp::from_nanoseconds(ACCEPTED_AT + 2),
        ledger: named.then(|| (1, last.ledger_name.clone())),
        transfer_id: None,
        actor: Actor::Nats,
        reason: "json_malformed".to_owned(),
        detail: "no JSON: \u{fffd}".to_owned(),
        body: Bytes::from_static(body),
        headers: Bytes::from_static(b"NATS/1.0\r\n\xff\r\n\r\n"),
    }
}

/// Begins a transaction, decides and writes: all but the COMMIT.
pub(crate) async fn open<S: Store>(
    store: &S,
    lease: Lease,
    advance: Advance,
    batch: &Batch,
) -> Result<(S::Transaction, Commit), Error> {
    open_behind(store, (lease, advance), batch, None, [0; 32]).await
}

/// Behind the commit of this hash, and with a dead letter.
pub(crate) async fn open_behind<S: Store>(
    store: &S,
    (lease, advance): (Lease, Advance),
    batch: &Batch,
    dead: Option<DeadLetter>,
    previous_hash: [u8; 32],
) -> Result<(S::Transaction, Commit), Error> {
    let reads = ledger::reads(batch);
    let (mut transaction, loaded) = store.begin(lease, advance, &reads).await?;
    let Loaded { rows, now } = loaded;
    let decision = ledger::apply(&reads, rows, batch, now);
    let commit = commit_of(lease, batch, decision, dead, now, previous_hash);
    transaction.write(&commit).await?;
    Ok((transaction, commit))
}

/// Loads, decides and writes.
pub(super) async fn rehearse<R: Rehearsal>(
    rehearsal: &mut R,
    lease: Lease,
    batch: &Batch,
) -> Result<Commit, Error> {
    let reads = ledger::reads(batch);
    let loaded = rehearsal.load(&reads).await?;
    let commit = decide(lease, batch, &reads, loaded);
    rehearsal.write(&commit).await?;
    Ok(commit)
}

pub(crate) fn decide(lease: Lease, batch: &Batch, reads: &Reads, loaded: Loaded) -> Commit {
    let Loaded { rows, now } = loaded;
    let decision = ledger::apply(reads, rows, batch, now);
    commit_of(lease, batch, decision, None, now, [0; 32])
}

fn commit_of(
    lease: Lease,
    batch: &Batch,
    decision: Decision,
    dead: Option<DeadLetter>,
    now: Timestamp,
    previous_hash: [u8; 32],
) -> Commit {
    let decided = batch.items.iter().zip(decision.outcomes);
    let mut events: Vec<Decided> = decided
        .map(|(item, (decided_at, outcome))| {
            let event = Event {
                at: item.at,
                ledger: Some(item.ledger_name.clone()),
                decided_at,
                actor: Some(item.actor.clone()),
                outcome,
            };
            let is_transfer = matches!(event.outcome, Outcome::Decided(_) | Outcome::Replayed(_));
            Decided {
                ledger: Some(item.ledger),
                command: (!is_transfer).then(|| format!("{}", item.at).into()),
                event,
            }
        })
        .collect();
    events.extend(dead.iter().map(|letter| {
        let event = Event {
            at: letter.at,
            ledger: letter.ledger.as_ref().map(|(_, name)| name.clone()),
            decided_at: now,
            actor: Some(letter.actor.clone()),
            outcome: Outcome::DeadLettered(DeadLettered {
                reason: letter.reason.clone(),
                detail: letter.detail.clone(),
            }),
        };
        Decided {
            ledger: letter.ledger.as_ref().map(|(number, _)| *number),
            command: None,
            event,
        }
    }));
    let lines = Lines::encode(Encoder::NEWEST, events.iter().map(|decided| &decided.event));
    let position = batch.items[0].at.position;
    Commit {
        lease,
        decided_at: now,
        dead: dead.into_iter().collect(),
        opened: decision.opened,
        changed: decision.changed,
        record: EventRecord {
            partition: lease.partition,
            first_position: position,
            position,
            count: u32::try_from(events.len()).unwrap(),
            encoder: Encoder::NEWEST.number(),
            previous_hash,
            committed_at: None,
            hash: link(&previous_hash, &lines.body),
            body: lines.body,
        },
        line_ends: lines.ends,
        events,
    }
}
