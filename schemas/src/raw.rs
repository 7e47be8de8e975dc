//! JSON as it arrives: the shape is checked, the meaning not yet.
//!
//! Invariant: an unknown, repeated or missing field and a wrong type are told apart and named by pointer.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::Invalid;

/// Where a JSON object comes from, and so which fields it may carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// The body of an HTTP request: ledger and idempotency key travel in headers.
    Request,
    /// A line of a batch or a file: the idempotency key is a field.
    Line,
    /// A line of a record on the log: the ledger is a field too.
    Logged,
}

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// A transfer before validation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawTransfer<'a> {
    #[serde(borrow)]
    pub command: Option<Text<'a>>,
    pub ledger: Option<Text<'a>>,
    pub idempotency_key: Option<Text<'a>>,
    pub accepted_at: Option<Text<'a>>,
    pub actor: Option<Text<'a>>,
    pub traceparent: Option<Text<'a>>,
    pub debit_account: Text<'a>,
    pub credit_account: Text<'a>,
    pub amount: Text<'a>,
    pub currency: Text<'a>,
    pub description: Option<Text<'a>>,
    #[serde(borrow)]
    pub metadata: Option<&'a RawValue>,
}

impl<'a> RawTransfer<'a> {
    /// # Errors
    /// When the bytes are no JSON object of this shape.
    pub fn parse(json: &'a [u8], shape: Shape) -> Result<Self, Invalid> {
        let raw: Self = parse(json)?;
        let logged = [
            ("command", raw.command.is_some()),
            ("ledger", raw.ledger.is_some()),
            ("accepted_at", raw.accepted_at.is_some()),
            ("actor", raw.actor.is_some()),
            ("traceparent", raw.traceparent.is_some()),
        ];
        let keyed = ("idempotency_key", raw.idempotency_key.is_some());
        match shape {
            Shape::Request => refuse_fields(logged.into_iter().chain([keyed]))?,
            Shape::Line => refuse_fields(logged)?,
            Shape::Logged => {}
        }
        Ok(raw)
    }
}

/// A command about one account before validation.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RawAccount<'a> {
    #[serde(borrow)]
    pub command: Option<Text<'a>>,
    pub ledger: Option<Text<'a>>,
    pub accepted_at: Option<Text<'a>>,
    pub actor: Option<Text<'a>>,
    pub traceparent: Option<Text<'a>>,
    pub id: Option<Text<'a>>,
    pub currency: Option<Text<'a>>,
    #[serde(rename = "type")]
    pub kind: Option<Text<'a>>,
    /// Outer `None`: not given. Inner `None`: `null`, which is unlimited.
    #[serde(default, deserialize_with = "given")]
    pub min_balance: Option<Option<Text<'a>>>,
    #[serde(borrow, default, deserialize_with = "given")]
    pub metadata: Option<Option<&'a RawValue>>,
}

impl<'a> RawAccount<'a> {
    /// # Errors
    /// When the bytes are no JSON object of this shape.
    pub fn parse(json: &'a [u8], shape: Shape) -> Result<Self, Invalid> {
        let raw: Self = parse(json)?;
        if shape != Shape::Logged {
            refuse_fields([
                ("command", raw.command.is_some()),
                ("ledger", raw.ledger.is_some()),
                ("accepted_at", raw.accepted_at.is_some()),
                ("actor", raw.actor.is_some()),
                ("traceparent", raw.traceparent.is_some()),
            ])?;
        }
        Ok(raw)
    }
}

/// The one field that tells which command a logged line is.
#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(borrow)]
    command: Option<Text<'a>>,
}

/// The `command` field of a line, if the line is JSON at all.
pub(crate) fn probe_command(json: &[u8]) -> Option<String> {
    let probe: Probe = serde_json::from_slice(json).ok()?;
    probe.command.map(|Text(command)| command.into_owned())
}

#[expect(
    clippy::option_option,
    reason = "not given, null and a value are three things"
)]
fn given<'de, D, T>(from: D) -> Result<Option<Option<T>>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    Option::<T>::deserialize(from).map(Some)
}

pub(crate) fn refuse_fields(
    fields: impl IntoIterator<Item = (&'static str, bool)>,
) -> Result<(), Invalid> {
    match fields.into_iter().find(|(_, given)| *given) {
        Some((field, _)) => Err(unknown_field(format!("/{field}"), field)),
        None => Ok(()),
    }
}

fn parse<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Invalid> {
    // serde would read a list as the fields in their order.
    let is_list = json.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'[');
    if is_list {
        return Err(Invalid::new(
            "invalid_type",
            "",
            "a JSON object is expected, not a list",
        ));
    }
    serde_json::from_slice(json).map_err(|_| explain::<T>(json))
}

/// Reads once more, slowly, to say which field is at fault.
fn explain<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Invalid {
    if std::str::from_utf8(json).is_err() {
        return Invalid::new(
            "utf8_malformed",
            "",
            "the JSON is not valid UTF-8 (RFC 8259)",
        );
    }
    let mut reader = serde_json::Deserializer::from_slice(json);
    let Err(fault) = serde_path_to_error::deserialize::<_, T>(&mut reader) else {
        return Invalid::new("json_malformed", "", "there is text after the JSON object");
    };
    let pointer = pointer(fault.path());
    let cause = fault.into_inner();
    if !cause.is_data() {
        return Invalid::new(
            "json_malformed",
            "",
            format!("the JSON is malformed: {cause}"),
        );
    }
    let message = cause.to_string();
    let field = message.split('`').nth(1).unwrap_or_default().to_owned();
    if message.starts_with("unknown field") {
        unknown_field(format!("/{field}"), &field)
    } else if message.starts_with("duplicate field") {
        Invalid::new(
            "duplicate_field",
            format!("/{field}"),
            format!("the field {field} stands twice"),
        )
    } else if message.starts_with("missing field") {
        Invalid::new(
            "missing_field",
            format!("/{field}"),
            format!("the field {field} is missing"),
        )
    } else if pointer == "/amount" || pointer == "/min_balance" {
        Invalid::new(
            "amount_not_a_string",
            pointer,
            "money is a decimal string such as \"12.34\"; a JSON number may be rounded on its way by any program that reads it as a float",
        )
    } else {
        Invalid::new("invalid_type", pointer, message)
    }
}

/// Longest name of a field that an explanation quotes.
const QUOTED_CHARS_MAX: usize = 64;

fn unknown_field(pointer: String, field: &str) -> Invalid {
    if field.chars().count() > QUOTED_CHARS_MAX {
        return Invalid::new(
            "unknown_field",
            "",
            "a field with a very long name is not known here",
        );
    }
    Invalid::new(
        "unknown_field",
        pointer,
        format!("the field {field} is not known here"),
    )
}

fn pointer(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(format!("/{index}")),
            Segment::Map { key } => Some(format!("/{}", key.replace('~', "~0").replace('/', "~1"))),
            Segment::Enum { variant } => Some(format!("/{variant}")),
            Segment::Unknown => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_of_shape_names_its_field() {
        let cases: &[(&[u8], &str, &str)] = &[
            (br#"{"debit_account":"a","credit_account":"b","amount":12,"currency":"USD"}"#, "amount_not_a_string", "/amount"),
            (br#"{"debit_account":"a","credit_account":"b","amount":1.5,"currency":"USD"}"#, "amount_not_a_string", "/amount"),
            (br#"{"debit_account":7,"credit_account":"b","amount":"1","currency":"USD"}"#, "invalid_type", "/debit_account"),
            (br#"{"debit_account":"a","amount":"1","currency":"USD"}"#, "missing_field", "/credit_account"),
            (br#"{"debit_account":"a","credit_account":"b","amount":"1","currency":"USD","memo":1}"#, "unknown_field", "/memo"),
            (br#"{"debit_account":"a","debit_account":"a","credit_account":"b","amount":"1","currency":"USD"}"#, "duplicate_field", "/debit_account"),
            (br#"{"debit_account":"a","credit_account":"b","amount":"1","currency":"USD","ledger":"x"}"#, "unknown_field", "/ledger"),
            (br#"{"debit_account":"a","credit_account":"b","amount":"1","currency":"USD","idempotency_key":"x"}"#, "unknown_field", "/idempotency_key"),
            (br#"{"debit_account":"a""#, "json_malformed", ""),
            (br#"{"debit_account":"a","credit_account":"b","amount":"1","currency":"USD"} x"#, "json_malformed", ""),
            (b"{\"debit_account\":\"\xff\"}", "utf8_malformed", ""),
            (b"[]", "invalid_type", ""),
            (b"", "json_malformed", ""),
        ];
        for (json, code, pointer) in cases {
            let invalid = RawTransfer::parse(json, Shape::Request).unwrap_err();
            assert_eq!(
                (invalid.code, invalid.pointer.as_ref()),
                (*code, *pointer),
                "{}",
                String::from_utf8_lossy(json)
            );
        }
    }

    #[test]
    fn null_is_told_apart_from_not_given() {
        let raw = |json: &'static str| {
            RawAccount::parse(json.as_bytes(), Shape::Request)
                .unwrap()
                .min_balance
        };
        assert!(raw("{}").is_none());
        assert!(matches!(raw(r#"{"min_balance":null}"#), Some(None)));
        assert!(matches!(raw(r#"{"min_balance":"5"}"#), Some(Some(_))));
    }
}
