//! Outcomes as the world hears of them: `CloudEvents` 1.0 in JSON, one line each.
//!
//! Invariant: a line is a pure function of its event and of the [`Encoder`]; an encoder that was ever
//! released stays, held by golden files, so that every event can be rebuilt byte for byte.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::transfer::Wire;
use crate::{
    Account, AccountRefused, Actor, DeadLettered, KeyReused, LedgerName, LinePosition, Outcome,
    Replayed, Timestamp, Transfer,
};

/// Version of the encoding; its number is kept with every commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Encoder {
    V1 = 1,
    /// Tells who asked, and what a refusal saw.
    V2 = 2,
}

impl Encoder {
    /// Every released one, oldest first.
    pub const ALL: &[Self] = &[Self::V1, Self::V2];
    /// What new commits are written with.
    pub const NEWEST: Self = Self::V2;

    pub const fn number(self) -> i16 {
        self as i16
    }

    /// `None` for one that only a newer program knows.
    pub fn parse(number: i16) -> Option<Self> {
        Self::ALL
            .iter()
            .copied()
            .find(|encoder| encoder.number() == number)
    }
}

macro_rules! kinds {
    ($($name:ident: $data:ty = $text:literal,)*) => {
        /// The `type` of an event.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum EventKind { $($name,)* }

        impl EventKind {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// JSON Schema (2020-12) of an event of this kind.
            pub fn json_schema(self) -> schemars::Schema {
                // As it is written: a field that is always there is required, though it may be null.
                let generator = schemars::generate::SchemaSettings::draft2020_12()
                    .for_serialize()
                    .into_generator();
                let mut schema = match self {
                    $(Self::$name => generator.into_root_schema_for::<Envelope<'_, $data>>(),)*
                };
                schema.insert("title".to_owned(), self.as_str().into());
                let kind = schema
                    .pointer_mut("/properties/type")
                    .expect("the envelope has a type");
                kind["const"] = self.as_str().into();
                schema
            }
        }
    };
}

kinds! {
    TransferPosted: Transfer = "sluice.transfer.posted.v1",
    TransferRefused: Transfer = "sluice.transfer.refused.v1",
    TransferReplayed: Replayed = "sluice.transfer.replayed.v1",
    KeyReused: KeyReused = "sluice.transfer.key_reused.v1",
    AccountOpened: Account = "sluice.account.opened.v1",
    AccountChanged: Account = "sluice.account.changed.v1",
    AccountFrozen: Account = "sluice.account.frozen.v1",
    AccountUnfrozen: Account = "sluice.account.unfrozen.v1",
    AccountClosed: Account = "sluice.account.closed.v1",
    AccountUnchanged: Account = "sluice.account.unchanged.v1",
    AccountRefused: AccountRefused = "sluice.account.refused.v1",
    CommandDeadLettered: DeadLettered = "sluice.command.dead_lettered.v1",
}

impl EventKind {
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == text)
    }

    /// The outcome that `data` of an event of this kind tells.
    ///
    /// # Errors
    /// When `data` is not of that type.
    pub fn read(self, data: &str) -> Result<Outcome, serde_json::Error> {
        Ok(match self {
            Self::TransferPosted | Self::TransferRefused => {
                let transfer: Transfer = serde_json::from_str(data)?;
                if transfer.kind() != self {
                    return Err(serde::de::Error::custom("the transfer ended otherwise"));
                }
                Outcome::Decided(transfer)
            }
            Self::TransferReplayed => Outcome::Replayed(serde_json::from_str(data)?),
            Self::KeyReused => Outcome::KeyReused(serde_json::from_str(data)?),
            Self::AccountOpened => Outcome::AccountOpened(serde_json::from_str(data)?),
            Self::AccountChanged => Outcome::AccountChanged(serde_json::from_str(data)?),
            Self::AccountFrozen => Outcome::AccountFrozen(serde_json::from_str(data)?),
            Self::AccountUnfrozen => Outcome::AccountUnfrozen(serde_json::from_str(data)?),
            Self::AccountClosed => Outcome::AccountClosed(serde_json::from_str(data)?),
            Self::AccountUnchanged => Outcome::AccountUnchanged(serde_json::from_str(data)?),
            Self::AccountRefused => Outcome::AccountRefused(serde_json::from_str(data)?),
            Self::CommandDeadLettered => Outcome::DeadLettered(serde_json::from_str(data)?),
        })
    }
}

impl Outcome {
    pub fn kind(&self) -> EventKind {
        match self {
            Self::Decided(transfer) => transfer.kind(),
            Self::Replayed(_) => EventKind::TransferReplayed,
            Self::KeyReused(_) => EventKind::KeyReused,
            Self::AccountOpened(_) => EventKind::AccountOpened,
            Self::AccountChanged(_) => EventKind::AccountChanged,
            Self::AccountFrozen(_) => EventKind::AccountFrozen,
            Self::AccountUnfrozen(_) => EventKind::AccountUnfrozen,
            Self::AccountClosed(_) => EventKind::AccountClosed,
            Self::AccountUnchanged(_) => EventKind::AccountUnchanged,
            Self::AccountRefused(_) => EventKind::AccountRefused,
            Self::DeadLettered(_) => EventKind::CommandDeadLettered,
        }
    }

    /// Id of the transfer or account that it is about; a dead letter names none.
    pub fn subject(&self) -> Option<String> {
        match self {
            Self::Decided(transfer) => Some(transfer.id.to_string()),
            Self::Replayed(replayed) => Some(replayed.transfer.id.to_string()),
            Self::KeyReused(reused) => Some(reused.transfer_id.to_string()),
            Self::AccountOpened(account)
            | Self::AccountChanged(account)
            | Self::AccountFrozen(account)
            | Self::AccountUnfrozen(account)
            | Self::AccountClosed(account)
            | Self::AccountUnchanged(account) => Some(account.id.to_string()),
            Self::AccountRefused(refused) => Some(refused.id.to_string()),
            Self::DeadLettered(_) => None,
        }
    }
}

/// One outcome and where and when it was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    pub at: LinePosition,
    /// `None` for a dead letter that names no ledger.
    pub ledger: Option<LedgerName>,
    pub decided_at: Timestamp,
    /// Who asked for this command; `None` where a version before this one decided.
    pub actor: Option<Actor>,
    pub outcome: Outcome,
}

impl Event {
    /// Appends the event's line, with its line break.
    pub fn encode(&self, encoder: Encoder, record: &mut Vec<u8>) {
        let actor = match encoder {
            Encoder::V1 => None,
            Encoder::V2 => self.actor.as_ref(),
        };
        let envelope = Envelope {
            specversion: Cow::Borrowed("1.0"),
            id: self.at.to_string(),
            source: source(self.ledger.as_ref()),
            kind: Cow::Borrowed(self.outcome.kind().as_str()),
            subject: self.outcome.subject(),
            time: self.decided_at,
            datacontenttype: Cow::Borrowed("application/json"),
            actor: actor.map(Cow::Borrowed),
            data: EventData(&self.outcome, encoder),
        };
        serde_json::to_writer(&mut *record, &envelope)
            .expect("strings and integers have a JSON text, and memory does not fail");
        record.push(b'\n');
    }
}

fn source(ledger: Option<&LedgerName>) -> String {
    ledger.map_or_else(
        || "/ledgers".to_owned(),
        |ledger| format!("/ledgers/{ledger}"),
    )
}

/// The `data` of an event.
pub struct EventData<'a>(pub &'a Outcome, pub Encoder);

/// [`Replayed`] as one encoder writes it.
#[derive(Serialize)]
struct ReplayedWire<'a> {
    transfer: Wire<'a>,
}

impl Serialize for EventData<'_> {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Self(outcome, encoder) = self;
        match outcome {
            Outcome::Decided(transfer) => Wire::decided(transfer, *encoder).serialize(to),
            Outcome::Replayed(Replayed { transfer }) => {
                let transfer = Wire::decided(transfer, *encoder);
                ReplayedWire { transfer }.serialize(to)
            }
            Outcome::KeyReused(data) => data.serialize(to),
            Outcome::AccountOpened(data)
            | Outcome::AccountChanged(data)
            | Outcome::AccountFrozen(data)
            | Outcome::AccountUnfrozen(data)
            | Outcome::AccountClosed(data)
            | Outcome::AccountUnchanged(data) => data.serialize(to),
            Outcome::AccountRefused(data) => data.serialize(to),
            Outcome::DeadLettered(data) => data.serialize(to),
        }
    }
}

/// `CloudEvents` 1.0, JSON format.
#[derive(Serialize, schemars::JsonSchema)]
struct Envelope<'a, D> {
    #[schemars(extend("const" = "1.0"))]
    specversion: Cow<'static, str>,
    /// Partition, position and line: unique, and the order within a partition.
    id: String,
    /// `/ledgers/` and the ledger's name.
    source: String,
    #[serde(rename = "type")]
    kind: Cow<'static, str>,
    /// Id of the transfer or account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    /// When it was decided.
    time: Timestamp,
    datacontenttype: Cow<'static, str>,
    /// Who asked for this command; a transfer in `data` says who asked for it first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<Cow<'a, Actor>>,
    data: D,
}

/// An event as it is read back.
#[derive(Debug, Deserialize)]
pub struct ParsedEvent<'a> {
    pub id: &'a str,
    pub source: &'a str,
    #[serde(rename = "type")]
    pub kind: &'a str,
    pub time: Timestamp,
    #[serde(default)]
    pub actor: Option<Actor>,
    #[serde(borrow)]
    data: &'a RawValue,
}

impl<'a> ParsedEvent<'a> {
    /// # Errors
    /// When the line is no event of this version.
    pub fn parse(line: &'a [u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(line)
    }

    pub fn kind(&self) -> Option<EventKind> {
        EventKind::parse(self.kind)
    }

    /// # Errors
    /// When `type` is unknown here or `data` is not of that type.
    pub fn outcome(&self) -> Result<Outcome, serde_json::Error> {
        let data = self.data.get();
        let Some(kind) = self.kind() else {
            return Err(serde::de::Error::custom(format!(
                "unknown event type {}",
                self.kind
            )));
        };
        kind.read(data)
    }
}
