//! Who asked for a command, and as part of which trace.
//!
//! Invariant: neither is part of what was asked: two requests that differ only here are one request.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::text_schema::text_schema;
use crate::{Invalid, KeyId};

/// Who asked for a command.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Actor {
    /// The API key with this id.
    Key(KeyId),
    /// A process of ours.
    Sluice,
    /// Somebody who may publish on the log, whatever the line says.
    Nats,
}

impl Actor {
    /// Longest text in bytes.
    pub const BYTES_MAX: usize = "key:".len() + KeyId::BYTES_MAX;

    /// # Errors
    /// When the text names no actor.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        match (text, text.strip_prefix("key:")) {
            (_, Some(id)) => KeyId::parse(id).map(Self::Key),
            ("sluice", None) => Ok(Self::Sluice),
            ("nats", None) => Ok(Self::Nats),
            _ => Err(Invalid::new(
                "actor_malformed",
                "/actor",
                "an actor is key: and the id of an API key, sluice or nats",
            )),
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(id) => write!(f, "key:{id}"),
            Self::Sluice => f.write_str("sluice"),
            Self::Nats => f.write_str("nats"),
        }
    }
}

impl Serialize for Actor {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Actor {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

text_schema!(
    Actor,
    pattern = "^(key:[A-Za-z0-9_-]{1,64}|sluice|nats)$",
    "key:4f2a9c",
    "Who asked: an API key, a process of Sluice, or whoever may publish on the log."
);

/// A W3C trace context of the form that version 00 has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TraceParent(Arc<str>);

impl TraceParent {
    /// `version-trace-parent-flags` in lower-case hexadecimal digits (W3C Trace Context, section 3.2).
    const PARTS: [usize; 4] = [2, 32, 16, 2];

    /// # Errors
    /// When it is not of that form, or an id is zero.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let hex = |part: &str| {
            part.bytes()
                .all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
        };
        let zero = |part: &str| part.bytes().all(|byte| byte == b'0');
        let parts: Vec<&str> = text.splitn(Self::PARTS.len() + 1, '-').collect();
        let is_good = parts.iter().map(|part| part.len()).eq(Self::PARTS)
            && parts.iter().all(|part| hex(part))
            && parts[0] != "ff"
            && !zero(parts[1])
            && !zero(parts[2]);
        if !is_good {
            return Err(Invalid::new(
                "traceparent_malformed",
                "/traceparent",
                "a traceparent is one of W3C Trace Context, such as 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            ));
        }
        Ok(Self(text.into()))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_actor_survives_its_text() {
        for text in ["key:4f2a9c", "sluice", "nats"] {
            assert_eq!(Actor::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "key:", "key:a b", "Sluice", "root", "key"] {
            assert_eq!(
                Actor::parse(text).unwrap_err().code,
                if text.starts_with("key:") {
                    "key_id_malformed"
                } else {
                    "actor_malformed"
                },
                "{text}"
            );
        }
    }

    #[test]
    fn a_trace_context_is_the_one_of_the_w3c() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(TraceParent::parse(good).unwrap().as_str(), good);
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        ] {
            assert_eq!(
                TraceParent::parse(bad).unwrap_err().code,
                "traceparent_malformed",
                "{bad}"
            );
        }
    }
}
