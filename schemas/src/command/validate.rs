//! From the shape of a command to its meaning.
//!
//! Invariant: every field is checked here, for requests and for lines of the log alike.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::{AccountChange, TEXT_BYTES_MAX, TransferOrder};
use crate::amount::{decimals, parse_signed};
use crate::outcome::text_bytes;
use crate::raw::{RawAccount, RawTransfer, Text, refuse_fields};
use crate::{AccountId, Amount, Currency, IdempotencyKey, Invalid, Metadata, Opening, Units};

/// Most characters of an account's `type`.
pub(super) const KIND_CHARS_MAX: usize = 64;

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
