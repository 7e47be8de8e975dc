//! Currencies: ISO 4217 with its exponents, and the units that a ledger declares for itself.
//!
//! Invariant: the exponent of a code never changes within a ledger.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::text_schema::text_schema;

/// A currency code of 3 to 12 characters of `A-Z 0-9`, such as `USD` or `POINTS`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Currency {
    length: u8,
    bytes: [u8; Self::BYTES_MAX],
}

impl Currency {
    pub const BYTES_MAX: usize = 12;

    /// # Errors
    /// When the code is not 3 to 12 characters of `A-Z 0-9`, the first a letter.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        let well_formed = (3..=Self::BYTES_MAX).contains(&text.len())
            && text.as_bytes()[0].is_ascii_uppercase()
            && text.bytes().all(allowed);
        if !well_formed {
            return Err(Invalid::new(
                "currency_unknown",
                "/currency",
                "a currency is an ISO 4217 code such as \"USD\" or a unit that this ledger declared",
            ));
        }
        let mut bytes = [0; Self::BYTES_MAX];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let length = u8::try_from(text.len()).expect("checked to be at most 12");
        Ok(Self { length, bytes })
    }

    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..usize::from(self.length)]).expect("checked to be ASCII")
    }
}

impl fmt::Display for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Currency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for Currency {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

text_schema!(
    Currency,
    pattern = "^[A-Z][A-Z0-9]{2,11}$",
    "USD",
    "ISO 4217 code or a unit that the ledger declared."
);

/// The units of its own that a ledger declared, by code; ISO 4217 stands behind them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Units(BTreeMap<Currency, u8>);

impl Units {
    /// Most decimals a unit may have: enough for 10^-12 and still 9 million whole units in 64 bits.
    pub const EXPONENT_MAX: u8 = 12;

    pub fn declare(&mut self, unit: Currency, exponent: u8) {
        self.0.insert(unit, exponent);
    }

    pub fn declared(&self) -> impl Iterator<Item = (Currency, u8)> + '_ {
        self.0.iter().map(|(unit, exponent)| (*unit, *exponent))
    }

    /// Decimals of a currency.
    ///
    /// # Errors
    /// When the code is neither in ISO 4217 nor declared here.
    pub fn exponent(&self, currency: Currency) -> Result<u8, Invalid> {
        self.0
            .get(&currency)
            .copied()
            .or_else(|| iso_exponent(currency))
            .ok_or_else(|| {
                Invalid::new(
                    "currency_unknown",
                    "/currency",
                    format!("{currency} is neither an ISO 4217 currency nor a unit of this ledger"),
                )
            })
    }
}

fn iso_exponent(currency: Currency) -> Option<u8> {
    let iso = iso_currency::Currency::from_code(currency.as_str())?;
    iso.exponent()
        .and_then(|exponent| u8::try_from(exponent).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponents_come_from_the_ledger_first_and_from_iso_4217_next() {
        let mut units = Units::default();
        units.declare(Currency::parse("POINTS").unwrap(), 0);
        let exponent = |code: &str| Currency::parse(code).and_then(|code| units.exponent(code));
        for (code, expected) in [("USD", 2), ("JPY", 0), ("KWD", 3), ("POINTS", 0)] {
            assert_eq!(exponent(code), Ok(expected), "{code}");
        }
        for unknown in ["XYZ", "usd", "", "US", "XXX", "POINT"] {
            assert_eq!(
                exponent(unknown).map_err(|e| e.code),
                Err("currency_unknown"),
                "{unknown}"
            );
        }
    }
}
