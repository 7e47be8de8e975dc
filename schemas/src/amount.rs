//! Money: a decimal string at the edge, an integer of minor units inside.
//!
//! Invariant: an [`Amount`] is positive and fits 63 bits; no float is ever involved.

use std::fmt;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::text_schema::text_schema;
use crate::{Invalid, Units};

/// A positive number of minor units (cents for USD, yen for JPY).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount(i64);

impl Amount {
    /// `None` unless `minor` is positive.
    pub fn from_minor(minor: i64) -> Option<Self> {
        (minor > 0).then_some(Self(minor))
    }

    pub fn minor(self) -> i64 {
        self.0
    }

    /// Reads `"12.34"` with at most `exponent` decimals.
    ///
    /// # Errors
    /// When the text is no plain decimal, is not positive, has too many decimals or passes 2^63 - 1 minor units.
    pub fn parse(text: &str, exponent: u8) -> Result<Self, Invalid> {
        let minor = parse_signed(text, exponent, "/amount")?;
        Self::from_minor(minor).ok_or_else(|| {
            Invalid::new(
                "amount_not_positive",
                "/amount",
                "an amount is greater than zero; money flows from the debit account to the credit account",
            )
        })
    }
}

/// Minor units and how many of them make one: what a balance is. Its text has every decimal of the currency.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Money {
    pub minor: i64,
    pub exponent: u8,
}

impl fmt::Display for Money {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&format_minor(self.minor, self.exponent))
    }
}

impl Serialize for Money {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&format_minor(self.minor, self.exponent))
    }
}

impl<'de> Deserialize<'de> for Money {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        let exponent = u8::try_from(decimals(&text)).unwrap_or(Units::EXPONENT_MAX);
        let minor = parse_signed(&text, exponent, "").map_err(serde::de::Error::custom)?;
        Ok(Self { minor, exponent })
    }
}

text_schema!(
    Money,
    pattern = r"^-?[0-9]+(\.[0-9]+)?$",
    "12.34",
    "Decimal string with every decimal of the currency; never a JSON number."
);

/// Reads a decimal that may be zero or negative, such as a `min_balance`, into minor units.
///
/// # Errors
/// When the text is no plain decimal, has more than `exponent` decimals or does not fit 64 bits.
pub fn parse_signed(text: &str, exponent: u8, pointer: &'static str) -> Result<i64, Invalid> {
    if !is_plain_decimal(text) {
        return Err(Invalid::new(
            "amount_malformed",
            pointer,
            "an amount is a plain decimal in a string, such as \"12.34\": digits with an optional point, no exponent, sign, blank or separator",
        ));
    }
    let too_large = || {
        Invalid::new(
            "amount_too_large",
            pointer,
            "an amount is at most 9223372036854775807 minor units",
        )
    };
    let decimals = decimals(text);
    if decimals > usize::from(exponent) {
        return Err(Invalid::new(
            "amount_too_many_decimals",
            pointer,
            format!("this currency has {exponent} decimals, the amount has {decimals}"),
        ));
    }
    let mut decimal = Decimal::from_str_exact(text).map_err(|_| too_large())?;
    decimal.rescale(u32::from(exponent));
    if decimal.scale() != u32::from(exponent) {
        return Err(too_large());
    }
    i64::try_from(decimal.mantissa()).map_err(|_| too_large())
}

/// How many digits stand after the point.
pub(crate) fn decimals(text: &str) -> usize {
    text.split_once('.')
        .map_or(0, |(_, decimals)| decimals.len())
}

/// `-?digits[.digits]`: what `rust_decimal` reads beyond that (`1_000`, `+1`, `.5`) is refused.
fn is_plain_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    match unsigned.split_once('.') {
        Some((whole, decimals)) => digits(whole) && digits(decimals),
        None => digits(unsigned),
    }
}

/// Writes minor units with exactly `exponent` decimals: `(-1234, 2)` is `-12.34`.
pub fn format_minor(minor: i64, exponent: u8) -> String {
    Decimal::from_i128_with_scale(i128::from(minor), u32::from(exponent)).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_exactly_or_refused_with_a_code() {
        let cases: &[(&str, u8, Result<i64, &str>)] = &[
            ("12.34", 2, Ok(1234)),
            ("12", 2, Ok(1200)),
            ("0.1", 2, Ok(10)),
            ("92233720368547758.07", 2, Ok(i64::MAX)),
            ("92233720368547758.08", 2, Err("amount_too_large")),
            ("9223372036854775808", 0, Err("amount_too_large")),
            (
                "99999999999999999999999999999999999999",
                2,
                Err("amount_too_large"),
            ),
            ("79228162514264337593543950335", 18, Err("amount_too_large")),
            ("12.345", 2, Err("amount_too_many_decimals")),
            ("12.3", 0, Err("amount_too_many_decimals")),
            ("0", 2, Err("amount_not_positive")),
            ("-1", 2, Err("amount_not_positive")),
            ("1e3", 2, Err("amount_malformed")),
            ("NaN", 2, Err("amount_malformed")),
            ("1_000", 2, Err("amount_malformed")),
            ("+1", 2, Err("amount_malformed")),
            (".5", 2, Err("amount_malformed")),
            ("5.", 2, Err("amount_malformed")),
            (" 5", 2, Err("amount_malformed")),
            ("", 2, Err("amount_malformed")),
            ("٣", 2, Err("amount_malformed")),
        ];
        for (text, exponent, expected) in cases {
            let read = Amount::parse(text, *exponent);
            let found = read
                .as_ref()
                .map(|amount| amount.minor())
                .map_err(|invalid| invalid.code);
            assert_eq!(found, *expected, "{text}");
        }
    }

    #[test]
    fn minor_units_are_written_with_every_decimal() {
        let cases = [
            (1234, 2, "12.34"),
            (-5, 2, "-0.05"),
            (0, 2, "0.00"),
            (100, 0, "100"),
            (i64::MIN, 2, "-92233720368547758.08"),
        ];
        for (minor, exponent, expected) in cases {
            assert_eq!(format_minor(minor, exponent), expected);
        }
    }
}
