//! One text per meaning for the JSON that clients attach: sorted keys, no blanks, no duplicates.
//!
//! Invariant: two texts are equal exactly when their objects mean the same (RFC 8259; numbers as the nearest double
//! or as 64-bit integers), and a canonical text is its own canonical text.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};

/// Deepest nesting of objects and lists that is accepted.
pub const JSON_DEPTH_MAX: usize = 8;

/// How far a double may lie from the nearest one when it was read twice by the versions before, as in texts that they
/// stored: two steps a reading. Decimals of up to 14 digits lie further apart, but for subnormal doubles, which have fewer
/// bits: these are compared exactly.
const DOUBLE_STEPS_MAX: u64 = 4;

/// Why a JSON text has no canonical form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    NotAnObject,
    Malformed,
    TooDeep,
    DuplicateKey,
    NulCharacter,
}

/// The canonical text of a JSON object.
pub(crate) fn canonical_object(json: &str) -> Result<String, Fault> {
    let node = read_object(json)?;
    Ok(serde_json::to_string(&node).expect("string keys and finite numbers have a JSON text"))
}

/// Whether two texts of objects are one request: equal but for doubles that lie as close together as versions before
/// this one wrote the same number.
pub(crate) fn is_repeat(one: &str, other: &str) -> bool {
    one == other
        || match (read_object(one), read_object(other)) {
            (Ok(one), Ok(other)) => one.repeats(&other),
            _ => false,
        }
}

fn read_object(json: &str) -> Result<Node, Fault> {
    let fault = Cell::new(Fault::Malformed);
    let seed = Value {
        depth: 0,
        fault: &fault,
    };
    let mut reader = serde_json::Deserializer::from_str(json);
    let node = seed.deserialize(&mut reader).map_err(|_| fault.get())?;
    reader.end().map_err(|_| Fault::Malformed)?;
    if !matches!(node, Node::Object(_)) {
        return Err(Fault::NotAnObject);
    }
    Ok(node)
}

#[derive(serde::Serialize)]
#[serde(untagged)]
enum Node {
    Null,
    Bool(bool),
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Object(BTreeMap<String, Node>),
}

impl Node {
    fn repeats(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Bool(one), Self::Bool(other)) => one == other,
            (Self::Unsigned(one), Self::Unsigned(other)) => one == other,
            (Self::Signed(one), Self::Signed(other)) => one == other,
            (Self::Float(one), Self::Float(other)) => {
                let steps = step(*one).abs_diff(step(*other));
                let is_exact = one.is_subnormal() || other.is_subnormal();
                steps <= if is_exact { 0 } else { DOUBLE_STEPS_MAX }
            }
            (Self::Text(one), Self::Text(other)) => one == other,
            (Self::List(one), Self::List(other)) => {
                one.len() == other.len()
                    && one.iter().zip(other).all(|(one, other)| one.repeats(other))
            }
            (Self::Object(one), Self::Object(other)) => {
                one.len() == other.len()
                    && one
                        .iter()
                        .zip(other)
                        .all(|((key, one), (other_key, other))| {
                            key == other_key && one.repeats(other)
                        })
            }
            (
                Self::Null
                | Self::Bool(_)
                | Self::Unsigned(_)
                | Self::Signed(_)
                | Self::Float(_)
                | Self::Text(_)
                | Self::List(_)
                | Self::Object(_),
                _,
            ) => false,
        }
    }
}

/// The place of a double among all doubles, in their order.
fn step(double: f64) -> i64 {
    let bits = double.to_bits().cast_signed();
    if bits < 0 { i64::MIN - bits } else { bits }
}

#[derive(Clone, Copy)]
struct Value<'a> {
    depth: usize,
    fault: &'a Cell<Fault>,
}

impl Value<'_> {
    fn fail<E: de::Error>(self, fault: Fault) -> E {
        self.fault.set(fault);
        E::custom("no canonical form")
    }

    fn deeper<E: de::Error>(self) -> Result<Self, E> {
        if self.depth == JSON_DEPTH_MAX {
            return Err(self.fail(Fault::TooDeep));
        }
        Ok(Self {
            depth: self.depth + 1,
            ..self
        })
    }

    fn text<E: de::Error>(self, text: &str) -> Result<String, E> {
        if text.contains('\0') {
            return Err(self.fail(Fault::NulCharacter));
        }
        Ok(text.to_owned())
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = Node;

    fn deserialize<D: de::Deserializer<'de>>(self, from: D) -> Result<Node, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = Node;

    fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Node, E> {
        Ok(Node::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Node, E> {
        Ok(Node::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Node, E> {
        Ok(Node::Unsigned(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Node, E> {
        Ok(Node::Signed(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Node, E> {
        Ok(Node::Float(value))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Node, E> {
        self.text(value).map(Node::Text)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Node, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Node::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Node, A::Error> {
        let inner = self.deeper()?;
        let mut object = BTreeMap::new();
        while let Some(key) = entries.next_key::<String>()? {
            let key = self.text(&key)?;
            let value = entries.next_value_seed(inner)?;
            if object.insert(key, value).is_some() {
                return Err(self.fail(Fault::DuplicateKey));
            }
        }
        Ok(Node::Object(object))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_meanings_have_equal_texts() {
        let cases = [
            (
                r#"{"b": 1, "a": {"y": [1, 2.50], "x": null}}"#,
                r#"{"a":{"x":null,"y":[1,2.5]},"b":1}"#,
            ),
            (r#"{"A":"a"}"#, r#"{"A":"a"}"#),
            ("{}", "{}"),
        ];
        for (json, canonical) in cases {
            assert_eq!(canonical_object(json).as_deref(), Ok(canonical));
        }
    }

    #[test]
    fn what_has_no_canonical_text_says_why() {
        let deep = format!("{}{}", r#"{"a":"#.repeat(9), "}".repeat(9));
        let cases = [
            ("[1]", Fault::NotAnObject),
            ("\"x\"", Fault::NotAnObject),
            (r#"{"a":1,"a":2}"#, Fault::DuplicateKey),
            (r#"{"a":"\u0000"}"#, Fault::NulCharacter),
            (r#"{"\u0000":1}"#, Fault::NulCharacter),
            (r#"{"a":"\ud800"}"#, Fault::Malformed),
            (r#"{"a":1e999999}"#, Fault::Malformed),
            (r#"{"a":1"#, Fault::Malformed),
            (&deep, Fault::TooDeep),
        ];
        for (json, fault) in cases {
            assert_eq!(canonical_object(json), Err(fault), "{json}");
        }
    }
}
