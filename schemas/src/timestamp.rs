//! Points in time: 64-bit nanoseconds since 1970 UTC, RFC 3339 in text.
//!
//! Invariant: text and number carry the same instant, to the nanosecond.

use std::fmt;
use std::time::SystemTime;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::Invalid;
use crate::text_schema::text_schema;

/// Nanoseconds since 1970-01-01T00:00:00Z; covers the years 1677 to 2262.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    pub fn from_nanoseconds(nanoseconds: i64) -> Self {
        Self(nanoseconds)
    }

    pub fn nanoseconds(self) -> i64 {
        self.0
    }

    /// Seconds from `earlier` to `self`, zero when the clocks disagree.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        std::time::Duration::from_nanos(
            u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0),
        )
        .as_secs_f64()
    }

    /// # Errors
    /// When the text is no RFC 3339 time or lies outside the years 1677 to 2262.
    pub fn parse(text: &str, pointer: &'static str) -> Result<Self, Invalid> {
        OffsetDateTime::parse(text, &Rfc3339)
            .ok()
            .and_then(|at| i64::try_from(at.unix_timestamp_nanos()).ok())
            .map(Self)
            .ok_or_else(|| {
                Invalid::new(
                    "time_malformed",
                    pointer,
                    "a time is RFC 3339, such as \"2026-11-21T08:18:00Z\"",
                )
            })
    }
}

/// Times before 1970 become 1970, times after 2262 become 2262.
impl From<SystemTime> for Timestamp {
    fn from(at: SystemTime) -> Self {
        let since_1970 = at
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Self(i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX))
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0))
            .expect("64-bit nanoseconds lie within the years 1677 to 2262");
        f.write_str(&at.format(&Rfc3339).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(from)?;
        Self::parse(&text, "").map_err(serde::de::Error::custom)
    }
}

text_schema!(
    Timestamp,
    format = "date-time",
    "2026-11-21T08:18:00.123456789Z",
    "RFC 3339, to the nanosecond; written in UTC."
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_keeps_every_nanosecond() {
        for text in [
            "2026-11-21T08:18:00Z",
            "2026-11-21T08:18:00.123456789Z",
            "1969-12-31T23:59:59.5Z",
        ] {
            assert_eq!(Timestamp::parse(text, "").unwrap().to_string(), text);
        }
        assert_eq!(
            Timestamp::parse("2026-11-21T09:18:00+01:00", "")
                .unwrap()
                .to_string(),
            "2026-11-21T08:18:00Z"
        );
        assert!(Timestamp::parse("yesterday", "").is_err());
        assert!(Timestamp::parse("9999-01-01T00:00:00Z", "").is_err());
    }
}
