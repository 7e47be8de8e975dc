//! Metadata has one text: reading what was written changes nothing, however its numbers are spelled.

#![cfg(test)]

use proptest::collection::{hash_map, vec};
use proptest::prelude::*;
use schemas::Metadata;

/// JSON texts, in every spelling of numbers that RFC 8259 allows.
fn json() -> impl Strategy<Value = String> {
    let integer = prop_oneof!["0", "[1-9][0-9]{0,24}"];
    let fraction = prop_oneof![Just(String::new()), "\\.[0-9]{1,25}"];
    let exponent = prop_oneof![
        Just(String::new()),
        (any::<bool>(), "[+-]?", 0..330_u32).prop_map(|(upper, sign, digits)| {
            format!("{}{sign}{digits}", if upper { 'E' } else { 'e' })
        }),
    ];
    let number = ("-?", integer, fraction, exponent)
        .prop_map(|(sign, integer, fraction, exponent)| {
            format!("{sign}{integer}{fraction}{exponent}")
        })
        .prop_filter("a double", |text| {
            text.parse().is_ok_and(|double: f64| double.is_finite())
        });
    let double = any::<f64>()
        .prop_filter("JSON has no infinity", |double| double.is_finite())
        .prop_map(|double| format!("{double:e}"));
    let text = any::<String>()
        .prop_filter("metadata holds no U+0000", |text| !text.contains('\0'))
        .prop_map(|text| serde_json::to_string(&text).unwrap());
    let leaf = prop_oneof![
        3 => number,
        2 => double,
        1 => text,
        1 => prop_oneof![Just("null"), Just("true"), Just("false")].prop_map(str::to_owned),
    ];
    leaf.prop_recursive(5, 32, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..6).prop_map(|list| format!("[ {}]", list.join(", "))),
            object(inner),
        ]
    })
}

fn object(value: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    hash_map("[a-zA-Zé\"\\\\ ]{0,4}", value, 0..6).prop_map(|object| {
        let fields: Vec<String> = object
            .into_iter()
            .map(|(key, value)| format!("{}: {value}", serde_json::to_string(&key).unwrap()))
            .collect();
        format!("{{{} }}", fields.join(" ,"))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn a_canonical_text_is_its_own_canonical_text(json in object(json())) {
        let once = Metadata::parse(&json).unwrap();
        let twice = Metadata::parse(once.as_str()).unwrap();
        prop_assert_eq!(twice.as_str(), once.as_str());
    }

    #[test]
    fn a_double_is_kept_to_the_last_bit(double in any::<f64>().prop_filter("finite", |double| double.is_finite())) {
        let metadata = Metadata::parse(&format!("{{\"x\":{double:e}}}")).unwrap();
        let text = metadata.as_str();
        let kept: f64 = text[5..text.len() - 1].parse().unwrap();
        prop_assert_eq!(kept.to_bits(), double.to_bits());
    }
}

/// What a client sent, and the text that the version before stored for it, which had read it twice.
const STORED_BEFORE: &[(&str, &str)] = &[
    ("1e-25", "1e-25"),
    ("0.416776807665196328", "0.4167768076651964"),
    ("7.2157501535189110e-9", "7.215750153518908e-9"),
    ("-9.4006430148041210363e-116", "-9.400643014804125e-116"),
    ("1.5", "1.5"),
];

#[test]
fn what_a_version_before_stored_is_recognised() {
    for (sent, stored) in STORED_BEFORE {
        for shape in [r#"{"x":N}"#, r#"{"a":{"b":[1,N]},"c":"d"}"#] {
            let sent = Metadata::parse(&shape.replace('N', sent)).unwrap();
            let stored = Metadata::from_stored(shape.replace('N', stored)).unwrap();
            assert!(
                Metadata::is_repeat(Some(&stored), Some(&sent)),
                "{stored:?} {sent:?}"
            );
        }
    }
}

#[test]
fn what_means_something_else_is_no_repeat() {
    let cases = [
        (r#"{"x":0.1}"#, r#"{"x":0.100000000000001}"#),
        (r#"{"x":1.5}"#, r#"{"x":-1.5}"#),
        (r#"{"x":1e-25}"#, r#"{"x":1.00000000000001e-25}"#),
        // Just above a power of two, where 14 digits are worth the fewest steps.
        (r#"{"x":9.9035203142831e27}"#, r#"{"x":9.9035203142832e27}"#),
        (r#"{"x":5e-324}"#, r#"{"x":1e-323}"#),
        (r#"{"x":0.0}"#, r#"{"x":5e-324}"#),
        (
            r#"{"x":2.2250738585072014e-308}"#,
            r#"{"x":2.225073858507201e-308}"#,
        ),
        (r#"{"x":9007199254740993}"#, r#"{"x":9007199254740992}"#),
        (r#"{"x":1}"#, r#"{"x":2}"#),
        (r#"{"x":[1.5]}"#, r#"{"x":[1.5,1.5]}"#),
        (r#"{"x":1.5}"#, r#"{"y":1.5}"#),
        (r#"{"x":1.5}"#, r#"{"x":1.5,"y":1}"#),
        (r#"{"x":"1.5"}"#, r#"{"x":1.5}"#),
        (r#"{"x":null}"#, r#"{"x":false}"#),
    ];
    for (one, other) in cases {
        let [one, other] = [one, other].map(|json| Metadata::parse(json).unwrap());
        assert!(
            !Metadata::is_repeat(Some(&one), Some(&other)),
            "{one:?} {other:?}"
        );
        assert!(Metadata::is_repeat(Some(&one), Some(&one)));
        assert!(!Metadata::is_repeat(Some(&one), None));
    }
}
