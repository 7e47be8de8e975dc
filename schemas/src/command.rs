//! What is asked of Sluice: one line of a command record.
//!
//! Invariant: a command that exists is valid on its own; only accounts and keys can still speak against it.

use std::borrow::Cow;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::amount::{decimals, format_minor, parse_signed};
use crate::outcome::text_bytes;
use crate::raw::{RawAccount, RawTransfer, Shape, Text, probe_command, refuse_fields};
use crate::{
    AccountId, Amount, Currency, IdempotencyKey, Invalid, LedgerName, Metadata, Opening, Timestamp,
    TransferId, Units,
};

/// Most bytes that description and metadata of one command may take together, as JSON.
pub const TEXT_BYTES_MAX: usize = 4096;

/// Most characters of an account's `type`.
const KIND_CHARS_MAX: usize = 64;

/// Envelope and fixed fields of the longest event of a transfer, beyond the client's own texts.
const EVENT_FIXED_BYTES_MAX: usize = 1536;

/// One command and the ledger that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    pub ledger: LedgerName,
    /// When ingest accepted it; `None` for a command published by hand.
    pub accepted_at: Option<Timestamp>,
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
            let key = raw.idempotency_key.as_ref().ok_or_else(key_missing)?;
            let key = IdempotencyKey::parse(&key.0)?;
            let units = units_of(&ledger).ok_or_else(|| ledger_unknown(&ledger))?;
            let order = Order::Transfer(raw.validate(key, units)?);
            return Ok(Self {
                ledger,
                accepted_at,
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
        order: Order::Account(id, change),
    })
}

impl RawTransfer<'_> {
    /// # Errors
    /// When a field is not valid by itself, or the currency is unknown to the ledger.
    pub fn validate(
        &self,
        idempotency_key: IdempotencyKey,
        units: &Units,
    ) -> Result<TransferOrder, Invalid> {
        let account = |text: &Text, pointer| {
            AccountId::parse(&text.0).map_err(|invalid| Invalid {
                pointer: Cow::Borrowed(pointer),
                ..invalid
            })
        };
        let debit_account = account(&self.debit_account, "/debit_account")?;
        let credit_account = account(&self.credit_account, "/credit_account")?;
        let currency = Currency::parse(&self.currency.0)?;
        let exponent = units.exponent(currency)?;
        let transfer = TransferOrder {
            idempotency_key,
            debit_account,
            credit_account,
            amount: Amount::parse(&self.amount.0, exponent)?,
            currency,
            exponent,
            description: self
                .description
                .as_ref()
                .map(|Text(text)| text.clone().into_owned()),
            metadata: metadata(self.metadata)?,
        };
        if transfer
            .description
            .as_ref()
            .is_some_and(|text| text.contains('\0'))
        {
            return Err(Invalid::new(
                "nul_character",
                "/description",
                "a description holds no U+0000",
            ));
        }
        if transfer.text_bytes() > TEXT_BYTES_MAX {
            return Err(Invalid::new(
                "text_too_long",
                if transfer.metadata.is_some() {
                    "/metadata"
                } else {
                    "/description"
                },
                format!(
                    "description and metadata take at most {TEXT_BYTES_MAX} bytes together, these take {}",
                    transfer.text_bytes()
                ),
            ));
        }
        Ok(transfer)
    }
}

impl RawAccount<'_> {
    /// The command that opens an account.
    ///
    /// # Errors
    /// When a field is not valid by itself, or the currency is unknown to the ledger.
    pub fn validate_open(&self, units: &Units) -> Result<AccountChange, Invalid> {
        let Some(Text(currency)) = &self.currency else {
            return Err(Invalid::new(
                "missing_field",
                "/currency",
                "the field currency is missing",
            ));
        };
        let currency = Currency::parse(currency)?;
        let exponent = units.exponent(currency)?;
        let min_balance = match &self.min_balance {
            None => Some(0),
            Some(None) => None,
            Some(Some(Text(text))) => Some(min_balance_field(text, exponent)?),
        };
        if min_balance.is_some_and(|least| least > 0) {
            return Err(Invalid::new(
                "min_balance_positive",
                "/min_balance",
                "a new account is empty, so its min_balance is zero, negative or null; raise it once there is money",
            ));
        }
        let opening = Opening {
            currency,
            kind: self.kind()?,
            min_balance,
            metadata: bounded(metadata(self.metadata.flatten())?)?,
        };
        Ok(AccountChange::Open { opening, exponent })
    }

    /// The command that changes an account's limit or metadata.
    ///
    /// # Errors
    /// When a field is not valid by itself or none is given.
    pub fn validate_change(&self) -> Result<AccountChange, Invalid> {
        refuse_fields([
            ("currency", self.currency.is_some()),
            ("type", self.kind.is_some()),
        ])?;
        let min_balance = match &self.min_balance {
            None => None,
            Some(None) => Some(None),
            Some(Some(Text(text))) => {
                // The account's currency is not known here: read with the decimals that are given.
                let exponent = u8::try_from(decimals(text)).unwrap_or(Units::EXPONENT_MAX);
                min_balance_field(text, exponent.min(Units::EXPONENT_MAX))?;
                Some(Some(text.clone().into_owned()))
            }
        };
        let metadata = match self.metadata {
            None => None,
            Some(raw) => Some(bounded(metadata(raw)?)?),
        };
        if min_balance.is_none() && metadata.is_none() {
            return Err(Invalid::new(
                "missing_field",
                "",
                "give min_balance, metadata or both",
            ));
        }
        Ok(AccountChange::Change {
            min_balance,
            metadata,
        })
    }

    /// A change that takes no further fields.
    ///
    /// # Errors
    /// When a field is given that this command does not take.
    pub fn validate_bare(&self, change: AccountChange) -> Result<AccountChange, Invalid> {
        refuse_fields([
            ("currency", self.currency.is_some()),
            ("type", self.kind.is_some()),
            ("min_balance", self.min_balance.is_some()),
            ("metadata", self.metadata.is_some()),
        ])?;
        Ok(change)
    }

    fn kind(&self) -> Result<Option<String>, Invalid> {
        let Some(Text(kind)) = &self.kind else {
            return Ok(None);
        };
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_:.-".contains(&byte);
        if kind.is_empty() || kind.len() > KIND_CHARS_MAX || !kind.bytes().all(allowed) {
            return Err(Invalid::new(
                "account_type_malformed",
                "/type",
                "an account type is 1 to 64 characters of A-Z a-z 0-9 _ : . -",
            ));
        }
        Ok(Some(kind.clone().into_owned()))
    }
}

/// Reads a `min_balance`, which may be zero or negative, into minor units.
///
/// # Errors
/// As [`parse_signed`].
pub fn min_balance_field(text: &str, exponent: u8) -> Result<i64, Invalid> {
    parse_signed(text, exponent, "/min_balance")
}

fn metadata(raw: Option<&RawValue>) -> Result<Option<Metadata>, Invalid> {
    raw.map(|raw| Metadata::parse(raw.get())).transpose()
}

fn bounded(metadata: Option<Metadata>) -> Result<Option<Metadata>, Invalid> {
    let bytes = text_bytes(None, metadata.as_ref());
    if bytes > TEXT_BYTES_MAX {
        return Err(Invalid::new(
            "text_too_long",
            "/metadata",
            format!("metadata takes at most {TEXT_BYTES_MAX} bytes, this takes {bytes}"),
        ));
    }
    Ok(metadata)
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
        let mut hasher = blake3::Hasher::new();
        let minor = self.amount.minor().to_le_bytes();
        let parts: [&[u8]; 6] = [
            self.debit_account.as_str().as_bytes(),
            self.credit_account.as_str().as_bytes(),
            &minor,
            self.currency.as_str().as_bytes(),
            self.description.as_deref().unwrap_or_default().as_bytes(),
            self.metadata
                .as_ref()
                .map_or("", Metadata::as_str)
                .as_bytes(),
        ];
        for part in parts {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.update(&[u8::from(self.description.is_some())]);
        let mut print = [0; 16];
        hasher.finalize_xof().fill(&mut print);
        print
    }

    fn text_bytes(&self) -> usize {
        text_bytes(self.description.as_deref(), self.metadata.as_ref())
    }

    fn to_wire<'a>(&'a self, command: &'a Command) -> TransferWire<'a> {
        TransferWire {
            ledger: &command.ledger,
            idempotency_key: &self.idempotency_key,
            debit_account: &self.debit_account,
            credit_account: &self.credit_account,
            amount: format_minor(self.amount.minor(), self.exponent),
            currency: self.currency,
            description: self.description.as_deref(),
            metadata: self.metadata.as_ref(),
            accepted_at: command.accepted_at,
        }
    }
}

impl AccountChange {
    fn to_wire<'a>(&'a self, command: &'a Command, id: &'a AccountId) -> AccountWire<'a> {
        let mut wire = AccountWire {
            command: self.command(),
            ledger: &command.ledger,
            id,
            currency: None,
            kind: None,
            min_balance: None,
            metadata: None,
            accepted_at: command.accepted_at,
        };
        match self {
            Self::Open { opening, exponent } => {
                wire.currency = Some(opening.currency);
                wire.kind = opening.kind.as_deref();
                wire.min_balance = Some(
                    opening
                        .min_balance
                        .map(|minor| Cow::Owned(format_minor(minor, *exponent))),
                );
                wire.metadata = opening.metadata.as_ref().map(Some);
            }
            Self::Change {
                min_balance,
                metadata,
            } => {
                wire.min_balance = min_balance
                    .as_ref()
                    .map(|limit| limit.as_deref().map(Cow::Borrowed));
                wire.metadata = metadata.as_ref().map(Option::as_ref);
            }
            Self::Freeze | Self::Unfreeze | Self::Close => {}
        }
        wire
    }
}

#[derive(Serialize)]
struct TransferWire<'a> {
    ledger: &'a LedgerName,
    idempotency_key: &'a IdempotencyKey,
    debit_account: &'a AccountId,
    credit_account: &'a AccountId,
    amount: String,
    currency: Currency,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<Timestamp>,
}

#[derive(Serialize)]
#[expect(
    clippy::option_option,
    reason = "not given, null and a value are three things"
)]
struct AccountWire<'a> {
    command: &'static str,
    ledger: &'a LedgerName,
    id: &'a AccountId,
    #[serde(skip_serializing_if = "Option::is_none")]
    currency: Option<Currency>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    min_balance: Option<Option<Cow<'a, str>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Option<&'a Metadata>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<Timestamp>,
}

#[cfg(test)]
mod tests;
