//! A command's line as it is kept beside its outcome.
//!
//! Invariant: it means the same command, byte for byte where no trace context has to go.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

const TRACEPARENT: &str = "traceparent";

/// A valid command's line without its `traceparent` and without blanks around it.
///
/// # Panics
/// When the line is no JSON object.
pub fn line_to_keep(line: &[u8]) -> Cow<'_, str> {
    let line = std::str::from_utf8(line.trim_ascii()).expect("a command is JSON, so UTF-8");
    // A quick look; what only looks like one is written again member by member, which changes nothing but blanks.
    if !line.contains("trace") && !line.contains('\\') {
        return Cow::Borrowed(line);
    }
    let members = serde_json::Deserializer::from_str(line)
        .deserialize_map(Members)
        .expect("a command is a JSON object");
    if members.iter().all(|(name, _)| name != TRACEPARENT) {
        return Cow::Borrowed(line);
    }
    let mut kept = String::with_capacity(line.len());
    for (name, value) in members.iter().filter(|(name, _)| name != TRACEPARENT) {
        kept.push(if kept.is_empty() { '{' } else { ',' });
        kept.push_str(&serde_json::to_string(name).expect("a string has a JSON text"));
        kept.push(':');
        kept.push_str(value.get());
    }
    kept.push('}');
    Cow::Owned(kept)
}

/// The members of an object in their order.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_kept_as_it_came_but_for_its_trace_context() {
        let trace = r#""traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01""#;
        let cases = [
            (
                r#"{"id":"a", "ledger":"demo"}"#.to_owned(),
                r#"{"id":"a", "ledger":"demo"}"#,
            ),
            (format!(r#" {{"id":"a",{trace}}} "#), r#"{"id":"a"}"#),
            (
                format!(r#"{{{trace}, "id" : "a\u0062","metadata":{{"traceparent": 1.50}}}}"#),
                r#"{"id":"a\u0062","metadata":{"traceparent": 1.50}}"#,
            ),
            (
                r#"{"trac\u0065parent":"x","id":"a"}"#.to_owned(),
                r#"{"id":"a"}"#,
            ),
            (
                r#"{"id":"a", "metadata":{"traceparent":1}}"#.to_owned(),
                r#"{"id":"a", "metadata":{"traceparent":1}}"#,
            ),
        ];
        for (line, kept) in cases {
            assert_eq!(line_to_keep(line.as_bytes()), kept, "{line}");
        }
    }
}
