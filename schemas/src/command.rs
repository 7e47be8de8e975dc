//! What is asked of Sluice: one line of a command record.
//!
//! Invariant: a command that exists is valid on its own; only accounts and keys can still speak against it.

mod keep;
mod validate;
mod wire;

use crate::id::{digest, prefixed};
use crate::outcome::text_bytes;
use crate::raw::{RawAccount, RawTransfer, Shape, Text, probe_command};
use crate::{
    AccountId, Actor, Amount, Currency, IdempotencyKey, Invalid, LedgerName, Metadata, Opening,
    Timestamp, TraceParent, TransferId, Units,
};

pub use keep::line_to_keep;
use validate::KIND_CHARS_MAX;
pub use validate::min_balance_field;

/// Most bytes that description and metadata of one command may take together, as JSON.
pub const TEXT_BYTES_MAX: usize = 4096;

/// Envelope and fixed fields of the longest event of a transfer, beyond the client's own texts.
const EVENT_FIXED_BYTES_MAX: usize = 1536;

/// One command and the ledger that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub ledger: LedgerName,
    /// When ingest accepted it; `None` for a command published by hand.
    pub accepted_at: Option<Timestamp>,
    /// Who asked, as the line claims; believed only in a record of ours.
    pub actor: Option<Actor>,
    /// The trace that it belongs to; nothing that follows from the command depends on it.
    pub traceparent: Option<TraceParent>,
    pub order: Order,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    Transfer(TransferOrder),
    Account(AccountId, AccountChange),
}

/// Move `amount` from `debit_account` to `credit_account`, once for this key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransferOrder {
    pub idempotency_key: IdempotencyKey,
    pub debit_account: AccountId,
    pub credit_account: AccountId,
    pub amount: Amount,
    pub currency: Currency,
    pub exponent: u8,
    pub description: Option<String>,
    pub metadata: Option<Metadata>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountChange {
    Open {
        opening: Opening,
        exponent: u8,
    },
    /// `None` leaves a field as it is; `Some(None)` is unlimited, or no metadata.
    Change {
        /// A plain decimal; the account's own currency says how many decimals it may have.
        min_balance: Option<Option<String>>,
        metadata: Option<Option<Metadata>>,
    },
    Freeze,
    Unfreeze,
    Close,
}

impl AccountChange {
    pub fn command(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open_account",
            Self::Change { .. } => "change_account",
            Self::Freeze => "freeze_account",
            Self::Unfreeze => "unfreeze_account",
            Self::Close => "close_account",
        }
    }
}

impl Command {
    /// The account whose partition decides this command.
    pub fn account(&self) -> &AccountId {
        match &self.order {
            Order::Transfer(transfer) => &transfer.debit_account,
            Order::Account(id, _) => id,
        }
    }

    /// Reads a line of a record. `units_of` gives the units of a ledger, `None` when there is no such ledger.
    ///
    /// # Errors
    /// When the line is no valid command; `ledger_unknown` when only the ledger is missing.
    pub fn decode<'u>(
        line: &[u8],
        units_of: impl FnOnce(&LedgerName) -> Option<&'u Units>,
    ) -> Result<Self, Invalid> {
        let transfer = RawTransfer::parse(line, Shape::Logged);
        if let Ok(raw) = &transfer
            && raw
                .command
                .as_ref()
                .is_none_or(|Text(command)| command == "transfer")
        {
            let ledger = logged_ledger(raw.ledger.as_ref())?;
            let accepted_at = logged_time(raw.accepted_at.as_ref())?;
            let traceparent = logged_trace(raw.traceparent.as_ref())?;
            let key = raw.idempotency_key.as_ref().ok_or_else(key_missing)?;
            let key = IdempotencyKey::parse(&key.0)?;
            let units = units_of(&ledger).ok_or_else(|| ledger_unknown(&ledger))?;
            let order = Order::Transfer(raw.validate(key, units)?);
            return Ok(Self {
                ledger,
                accepted_at,
                actor: logged_actor(raw.actor.as_ref()),
                traceparent,
                order,
            });
        }
        match (probe_command(line).as_deref(), transfer) {
            (None | Some("transfer"), Err(invalid)) => Err(invalid),
            (command, _) => decode_account(line, command.unwrap_or_default(), units_of),
        }
    }

    /// The line of a record, without a line break.
    pub fn encode(&self) -> Vec<u8> {
        let mut line = Vec::with_capacity(256);
        let written = match &self.order {
            Order::Transfer(transfer) => serde_json::to_writer(&mut line, &transfer.to_wire(self)),
            Order::Account(id, change) => {
                serde_json::to_writer(&mut line, &change.to_wire(self, id))
            }
        };
        written.expect("strings and integers have a JSON text, and memory does not fail");
        line
    }

    /// Upper bound of the event line that can follow, in bytes.
    pub fn event_bytes_max(&self) -> usize {
        EVENT_FIXED_BYTES_MAX
            + match &self.order {
                Order::Transfer(transfer) => transfer.text_bytes() + 2 * IdempotencyKey::BYTES_MAX,
                Order::Account(..) => TEXT_BYTES_MAX + KIND_CHARS_MAX,
            }
    }
}

fn decode_account<'u>(
    line: &[u8],
    command: &str,
    units_of: impl FnOnce(&LedgerName) -> Option<&'u Units>,
) -> Result<Command, Invalid> {
    let raw = RawAccount::parse(line, Shape::Logged)?;
    let ledger = logged_ledger(raw.ledger.as_ref())?;
    let accepted_at = logged_time(raw.accepted_at.as_ref())?;
    let traceparent = logged_trace(raw.traceparent.as_ref())?;
    let units = units_of(&ledger).ok_or_else(|| ledger_unknown(&ledger))?;
    let Some(Text(id)) = &raw.id else {
        return Err(Invalid::new(
            "missing_field",
            "/id",
            "the field id is missing",
        ));
    };
    let id = AccountId::parse(id)?;
    let change = match command {
        "open_account" => raw.validate_open(units)?,
        "change_account" => raw.validate_change()?,
        "freeze_account" => raw.validate_bare(AccountChange::Freeze)?,
        "unfreeze_account" => raw.validate_bare(AccountChange::Unfreeze)?,
        "close_account" => raw.validate_bare(AccountChange::Close)?,
        _ => {
            return Err(Invalid::new(
                "command_unknown",
                "/command",
                "a command is transfer, open_account, change_account, freeze_account, unfreeze_account or close_account",
            ));
        }
    };
    Ok(Command {
        ledger,
        accepted_at,
        actor: logged_actor(raw.actor.as_ref()),
        traceparent,
        order: Order::Account(id, change),
    })
}

fn logged_ledger(ledger: Option<&Text>) -> Result<LedgerName, Invalid> {
    let Some(Text(ledger)) = ledger else {
        return Err(Invalid::new(
            "missing_field",
            "/ledger",
            "the field ledger is missing",
        ));
    };
    LedgerName::parse(ledger)
}

fn logged_time(at: Option<&Text>) -> Result<Option<Timestamp>, Invalid> {
    at.map(|Text(at)| Timestamp::parse(at, "/accepted_at"))
        .transpose()
}

fn logged_trace(traceparent: Option<&Text>) -> Result<Option<TraceParent>, Invalid> {
    traceparent
        .map(|Text(text)| TraceParent::parse(text))
        .transpose()
}

/// A claim that names no actor is none: who publishes by hand is told apart by the record, not by the line.
fn logged_actor(actor: Option<&Text>) -> Option<Actor> {
    actor.and_then(|Text(text)| Actor::parse(text).ok())
}

fn key_missing() -> Invalid {
    Invalid::new(
        "idempotency_key_missing",
        "/idempotency_key",
        "the field idempotency_key is missing",
    )
}

fn ledger_unknown(ledger: &LedgerName) -> Invalid {
    Invalid::new(
        "ledger_unknown",
        "/ledger",
        format!("there is no ledger {ledger}"),
    )
}

impl TransferOrder {
    pub fn id(&self, ledger: &LedgerName) -> TransferId {
        TransferId::derive(ledger, &self.idempotency_key)
    }

    /// 128 bits of BLAKE3 over everything that the client means: equal for a retry, different for another request.
    pub fn fingerprint(&self) -> [u8; 16] {
        // The key is what is asked about, and the currency says the exponent.
        let Self {
            idempotency_key: _,
            debit_account,
            credit_account,
            amount,
            currency,
            exponent: _,
            description,
            metadata,
        } = self;
        let minor = amount.minor().to_le_bytes();
        let mut bytes = prefixed(&[
            debit_account.as_str().as_bytes(),
            credit_account.as_str().as_bytes(),
            &minor,
            currency.as_str().as_bytes(),
            description.as_deref().unwrap_or_default().as_bytes(),
            metadata.as_ref().map_or("", Metadata::as_str).as_bytes(),
        ]);
        bytes.push(u8::from(description.is_some()));
        digest(&bytes)
    }

    /// Names of the fields in which `other`, under the same key, asks for something else; none when the fingerprints
    /// are equal, nor for a repeat of what a version before stored with other last digits.
    pub fn differs(&self, other: &Self) -> Vec<String> {
        let Self {
            idempotency_key: _,
            debit_account,
            credit_account,
            amount,
            currency,
            exponent: _,
            description,
            metadata,
        } = self;
        [
            ("debit_account", *debit_account != other.debit_account),
            ("credit_account", *credit_account != other.credit_account),
            ("amount", *amount != other.amount),
            ("currency", *currency != other.currency),
            ("description", *description != other.description),
            (
                "metadata",
                !Metadata::is_repeat(metadata.as_ref(), other.metadata.as_ref()),
            ),
        ]
        .into_iter()
        .filter(|(_, differs)| *differs)
        .map(|(field, _)| field.to_owned())
        .collect()
    }

    fn text_bytes(&self) -> usize {
        text_bytes(self.description.as_deref(), self.metadata.as_ref())
    }
}

#[cfg(test)]
mod tests;
