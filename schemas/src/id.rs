//! Names of ledgers, accounts and transfers.
//!
//! Invariant: an id that exists obeys its alphabet and length, so it can stand in a path, a log line and
//! an SQL parameter as it is.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::Invalid;
use crate::text_schema::text_schema;

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $pointer:literal, $code:literal, $max:literal, $rule:literal, $allowed:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Longest accepted length in bytes.
            pub const BYTES_MAX: usize = $max;

            /// # Errors
            /// When the length or the alphabet is not the documented one.
            pub fn parse(text: &str) -> Result<Self, Invalid> {
                let allowed: fn(u8) -> bool = $allowed;
                if text.is_empty() || text.len() > Self::BYTES_MAX || !text.bytes().all(allowed) {
                    return Err(Invalid::new($code, $pointer, $rule));
                }
                Ok(Self(text.into()))
            }

            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<str>::deserialize(from)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

fn word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-')
}

name!(
    /// An account within its ledger: `[A-Za-z0-9_:-]{1,64}`.
    AccountId, "/id", "account_id_malformed", 64,
    "an account id is 1 to 64 characters of A-Z a-z 0-9 _ : -",
    |byte| word(byte) || byte == b':'
);
name!(
    /// An isolated book of one tenant: `[A-Za-z0-9_-]{1,64}`.
    LedgerName, "/ledger", "ledger_name_malformed", 64,
    "a ledger name is 1 to 64 characters of A-Z a-z 0-9 _ -",
    word
);
name!(
    /// The client's name for one intended transfer, unique for ever within its ledger: 1 to 255 printable ASCII characters.
    IdempotencyKey, "/idempotency_key", "idempotency_key_malformed", 255,
    "an idempotency key is 1 to 255 printable ASCII characters",
    |byte| (0x20..0x7f).contains(&byte)
);

name!(
    /// An API key: `[A-Za-z0-9_-]{1,64}`; not its secret.
    KeyId, "/actor", "key_id_malformed", 64,
    "the id of a key is 1 to 64 characters of A-Z a-z 0-9 _ -",
    word
);

text_schema!(
    AccountId,
    pattern = "^[A-Za-z0-9_:-]{1,64}$",
    "user:42",
    "An account within its ledger."
);
text_schema!(
    LedgerName,
    pattern = "^[A-Za-z0-9_-]{1,64}$",
    "demo",
    "An isolated book of one tenant."
);
text_schema!(
    IdempotencyKey,
    pattern = "^[ -~]{1,255}$",
    "order-1042",
    "The client's name for one intended transfer, unique for ever within its ledger."
);

/// 128 bits of BLAKE3 over the length-prefixed ledger name and idempotency key: the key is the transfer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TransferId([u8; 16]);

/// The parts, each behind its length.
pub(crate) fn prefixed(parts: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(256);
    for part in parts {
        bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        bytes.extend_from_slice(part);
    }
    bytes
}

/// The first 128 bits of BLAKE3.
pub(crate) fn digest(bytes: &[u8]) -> [u8; 16] {
    let digest = blake3::hash(bytes);
    *digest.as_bytes().first_chunk().expect("it has 256 bits")
}

impl TransferId {
    pub fn derive(ledger: &LedgerName, key: &IdempotencyKey) -> Self {
        Self(digest(&prefixed(&[
            ledger.as_str().as_bytes(),
            key.as_str().as_bytes(),
        ])))
    }

    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// # Errors
    /// When the text is not `tr_` and 32 lower-case hexadecimal digits.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let malformed = || {
            Invalid::new(
                "transfer_id_malformed",
                "/id",
                "a transfer id is tr_ and 32 lower-case hexadecimal digits",
            )
        };
        let digits = text.strip_prefix("tr_").ok_or_else(malformed)?.as_bytes();
        if digits.len() != 32 {
            return Err(malformed());
        }
        let mut id = [0; 16];
        for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
            let high = hex_value(pair[0]).ok_or_else(malformed)?;
            let low = hex_value(pair[1]).ok_or_else(malformed)?;
            *byte = high << 4 | low;
        }
        Ok(Self(id))
    }
}

fn hex_value(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

impl fmt::Display for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = *b"tr_00000000000000000000000000000000";
        for (pair, byte) in text[3..].chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).expect("hexadecimal digits are ASCII"))
    }
}

impl fmt::Debug for TransferId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for TransferId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TransferId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

text_schema!(
    TransferId,
    pattern = "^tr_[0-9a-f]{32}$",
    "tr_5e1815f308b081363b3c91e0ebaed625",
    "Follows from the ledger's name and the idempotency key."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transfer_id_survives_its_text() {
        let id = TransferId::derive(
            &LedgerName::parse("demo").unwrap(),
            &IdempotencyKey::parse("k1").unwrap(),
        );
        assert_eq!(TransferId::parse(&id.to_string()), Ok(id));
        assert_eq!(id.to_string(), "tr_5e1815f308b081363b3c91e0ebaed625");
    }

    #[test]
    fn the_split_between_ledger_and_key_is_part_of_the_id() {
        let id = |ledger: &str, key: &str| {
            TransferId::derive(
                &LedgerName::parse(ledger).unwrap(),
                &IdempotencyKey::parse(key).unwrap(),
            )
        };
        assert_ne!(id("ab", "c"), id("a", "bc"));
    }

    #[test]
    fn ids_outside_their_alphabet_do_not_exist() {
        for bad in ["", "a b", "a.b", "a\0", "é", &"a".repeat(65)] {
            assert!(AccountId::parse(bad).is_err(), "{bad:?}");
        }
        assert!(AccountId::parse("user:42_main-EUR").is_ok());
        assert!(IdempotencyKey::parse(&"k".repeat(255)).is_ok());
        assert!(IdempotencyKey::parse(&"k".repeat(256)).is_err());
    }
}
