//! How what is stored differs from what the core decides.
//!
//! Invariant: nothing that an outcome says is left out, whichever kind it is.

use schemas::{Encoder, Event, EventData, Metadata, Outcome, Replayed, Timestamp, Verdict};
use serde_json::Value;

/// In words; `None` when it is the same.
pub(crate) fn differences(
    (decided_at, outcome): &(Timestamp, Outcome),
    stored: &Event,
    encoder: i16,
) -> Option<String> {
    if *decided_at == stored.decided_at && is_same(outcome, &stored.outcome, encoder) {
        return None;
    }
    let stored_kind = stored.outcome.kind().as_str();
    let kind = outcome.kind().as_str();
    if kind != stored_kind {
        return Some(format!(
            "{stored_kind}{}, decided again it is {kind}{}",
            why(&stored.outcome),
            why(outcome)
        ));
    }
    let mut fields = Vec::new();
    // A transfer says itself when it was decided.
    let says_when = matches!(outcome, Outcome::Decided(_));
    if *decided_at != stored.decided_at && !says_when {
        fields.push(format!(
            "time is {}, expected {decided_at}",
            stored.decided_at
        ));
    }
    compare("", &json(&stored.outcome), &json(outcome), &mut fields);
    Some(format!(
        "{stored_kind}, decided again it differs: {}",
        fields.join(", ")
    ))
}

fn is_same(decided: &Outcome, stored: &Outcome, encoder: i16) -> bool {
    decided == stored || (encoder == Encoder::V1.number() && as_first(decided, stored) == *stored)
}

/// As processors of the first encoder kept it: without who asked and what a refusal saw, and with numbers in metadata
/// that lie a little beside those of the line.
fn as_first(decided: &Outcome, stored: &Outcome) -> Outcome {
    let (mut decided, mut stored) = (decided.clone(), stored.clone());
    if let Outcome::Decided(transfer) | Outcome::Replayed(Replayed { transfer }) = &mut decided {
        transfer.actor = None;
        if let Verdict::Refused { seen, .. } = &mut transfer.verdict {
            *seen = None;
        }
    }
    if let (Some(decided), Some(stored)) = (metadata(&mut decided), metadata(&mut stored))
        && Metadata::is_repeat(decided.as_ref(), stored.as_ref())
    {
        decided.clone_from(stored);
    }
    decided
}

fn metadata(outcome: &mut Outcome) -> Option<&mut Option<Metadata>> {
    match outcome {
        Outcome::Decided(transfer) | Outcome::Replayed(Replayed { transfer }) => {
            Some(&mut transfer.order.metadata)
        }
        Outcome::AccountOpened(account)
        | Outcome::AccountChanged(account)
        | Outcome::AccountFrozen(account)
        | Outcome::AccountUnfrozen(account)
        | Outcome::AccountClosed(account)
        | Outcome::AccountUnchanged(account) => Some(&mut account.metadata),
        Outcome::KeyReused(_) | Outcome::AccountRefused(_) | Outcome::DeadLettered(_) => None,
    }
}

fn json(outcome: &Outcome) -> Value {
    serde_json::to_value(EventData(outcome, Encoder::NEWEST))
        .expect("strings and integers have a JSON value")
}

fn why(outcome: &Outcome) -> String {
    let reason = match outcome {
        Outcome::Decided(transfer) => transfer.refusal().map(|refusal| refusal.reason.to_string()),
        Outcome::AccountRefused(refused) => Some(refused.reason.to_string()),
        Outcome::DeadLettered(dead) => Some(dead.reason.clone()),
        _ => None,
    };
    reason.map_or(String::new(), |reason| format!(" ({reason})"))
}

fn compare(name: &str, stored: &Value, expected: &Value, fields: &mut Vec<String>) {
    match (stored, expected) {
        (Value::Object(stored), Value::Object(expected)) if name != "metadata" => {
            let names = stored.keys().chain(expected.keys());
            for name in names.collect::<std::collections::BTreeSet<_>>() {
                let (stored, expected) = (stored.get(name), expected.get(name));
                let absent = Value::Null;
                compare(
                    name,
                    stored.unwrap_or(&absent),
                    expected.unwrap_or(&absent),
                    fields,
                );
            }
        }
        _ if stored != expected => fields.push(format!("{name} is {stored}, expected {expected}")),
        _ => {}
    }
}
