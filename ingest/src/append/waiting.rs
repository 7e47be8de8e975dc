//! Who waits for which line of which record.
//!
//! Invariant: a reply is a courtesy. Whoever hears nothing reads Postgres; nobody is kept here after leaving.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use schemas::{LinePosition, Outcome, ParsedEvent};
use streams::{Replies, Reply};
use tokio::sync::oneshot;

/// How often those who left are forgotten.
const SWEEP: Duration = Duration::from_secs(1);

type Lines = Vec<(u32, oneshot::Sender<Decided>)>;

/// What a reply says was decided, and where: anybody on the log's server can send one.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Decided {
    at: LinePosition,
    outcome: Outcome,
}

impl Decided {
    /// The outcome, if it is about the command at this place and this transfer or account; else Postgres knows.
    pub(crate) fn about(self, at: LinePosition, subject: &str) -> Option<Outcome> {
        let told = self.outcome.subject();
        if self.at == at && told.as_deref().is_none_or(|told| told == subject) {
            return Some(self.outcome);
        }
        tracing::warn!(%at, subject, told_at = %self.at, told, "a reply is about something else");
        None
    }
}

/// By the `Nats-Msg-Id` of the record, with lines in ascending order.
#[derive(Debug, Default)]
pub(crate) struct Waiting(Mutex<HashMap<String, Lines>>);

impl Waiting {
    /// To be called before the record is sent.
    pub(super) fn expect(&self, record: &str, lines: Lines) {
        self.lock().insert(record.to_owned(), lines);
    }

    pub(super) fn forget(&self, record: &str) {
        self.lock().remove(record);
    }

    /// Hands replies to those who wait.
    pub(crate) async fn answer(&self, mut replies: Replies) {
        let mut sweep = tokio::time::interval(SWEEP);
        loop {
            tokio::select! {
                reply = replies.next() => self.deliver(&reply),
                _ = sweep.tick() => self.forget_those_who_left(),
            }
        }
    }

    fn deliver(&self, reply: &Reply) {
        let Some(lines) = self.lock().remove(&reply.record) else {
            return;
        };
        let mut events = reply.events.split(|byte| *byte == b'\n');
        let mut passed = 0;
        for (line, client) in lines {
            let skip = usize::try_from(line).expect("32 bits fit") - passed;
            let Some(event) = events.nth(skip) else {
                return;
            };
            passed += skip + 1;
            match decided(event) {
                // A client that left needs no answer.
                Ok(decided) => drop(client.send(decided)),
                Err(error) => {
                    tracing::warn!(record = reply.record, line, %error, "a reply holds a line that is no event");
                }
            }
        }
    }

    fn forget_those_who_left(&self) {
        self.lock()
            .retain(|_, lines| lines.iter().any(|(_, client)| !client.is_closed()));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Lines>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn decided(event: &[u8]) -> Result<Decided, Box<dyn std::error::Error>> {
    let event = ParsedEvent::parse(event)?;
    Ok(Decided {
        at: event.id.parse()?,
        outcome: event.outcome()?,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use schemas::{AccountId, AccountRefused, Event, RefusalReason, Timestamp};

    use super::*;

    fn refused(id: &str) -> Outcome {
        Outcome::AccountRefused(AccountRefused {
            id: AccountId::parse(id).unwrap(),
            command: "freeze_account".to_owned(),
            reason: RefusalReason::AccountUnknown,
            detail: String::new(),
            differs: Vec::new(),
        })
    }

    fn reply(ids: &[&str]) -> Reply {
        let mut events = Vec::new();
        for id in ids {
            let event = Event {
                at: "0.1.0".parse::<LinePosition>().unwrap(),
                ledger: None,
                decided_at: Timestamp::default(),
                actor: None,
                outcome: refused(id),
            };
            event.encode(schemas::Encoder::NEWEST, &mut events);
        }
        Reply {
            record: "r".to_owned(),
            position: 1,
            events: Bytes::from(events),
        }
    }

    #[test]
    fn each_line_goes_to_the_one_who_waits_for_it() {
        let waiting = Waiting::default();
        let (second, mut second_hears) = oneshot::channel();
        let (fourth, mut fourth_hears) = oneshot::channel();
        waiting.expect("r", vec![(1, second), (3, fourth)]);
        waiting.deliver(&reply(&["a", "b", "c", "d"]));
        let at: LinePosition = "0.1.0".parse().unwrap();
        let second = second_hears.try_recv().unwrap();
        assert_eq!(second.about(at, "b"), Some(refused("b")));
        let fourth = fourth_hears.try_recv().unwrap();
        assert_eq!(fourth.about(at, "d"), Some(refused("d")));
    }

    #[test]
    fn a_reply_about_something_else_is_not_believed() {
        let at = |text: &str| text.parse::<LinePosition>().unwrap();
        for (told_at, subject, is_believed) in [
            ("0.1.0", "a", true),
            ("0.1.0", "b", false),
            ("0.2.0", "a", false),
            ("1.1.0", "a", false),
            ("0.1.1", "a", false),
        ] {
            let decided = Decided {
                at: at(told_at),
                outcome: refused("a"),
            };
            let outcome = decided.about(at("0.1.0"), subject);
            assert_eq!(outcome.is_some(), is_believed, "{told_at} {subject}");
        }
    }

    #[test]
    fn a_short_reply_leaves_the_rest_to_postgres() {
        let waiting = Waiting::default();
        let (third, mut third_hears) = oneshot::channel();
        waiting.expect("r", vec![(2, third)]);
        waiting.deliver(&reply(&["a"]));
        assert!(third_hears.try_recv().is_err());
    }

    #[test]
    fn those_who_left_are_forgotten() {
        let waiting = Waiting::default();
        let (left, hears) = oneshot::channel();
        waiting.expect("r", vec![(0, left)]);
        drop(hears);
        waiting.forget_those_who_left();
        assert!(waiting.lock().is_empty());
    }
}
