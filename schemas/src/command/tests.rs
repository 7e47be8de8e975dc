use super::*;

fn decode(line: &str) -> Result<Command, Invalid> {
    let units = Units::default();
    Command::decode(line.as_bytes(), |ledger| {
        (ledger.as_str() == "demo").then_some(&units)
    })
}

#[test]
fn every_command_survives_its_line() {
    let lines = [
        r#"{"ledger":"demo","idempotency_key":"k","debit_account":"a","credit_account":"b","amount":"12.34","currency":"USD"}"#,
        r#"{"ledger":"demo","idempotency_key":"k","debit_account":"a","credit_account":"b","amount":"1","currency":"JPY","description":"x","metadata":{"a":1},"accepted_at":"2026-11-21T08:18:00.5Z"}"#,
        r#"{"ledger":"demo","idempotency_key":"k","debit_account":"a","credit_account":"b","amount":"1","currency":"JPY","actor":"key:4f2a","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#,
        r#"{"command":"open_account","ledger":"demo","id":"a","currency":"USD","type":"wallet","min_balance":"-5.00","metadata":{}}"#,
        r#"{"command":"open_account","ledger":"demo","id":"a","currency":"USD","min_balance":null}"#,
        r#"{"command":"change_account","ledger":"demo","id":"a","min_balance":null,"metadata":null}"#,
        r#"{"command":"change_account","ledger":"demo","id":"a","min_balance":"-10000000.50"}"#,
        r#"{"command":"change_account","ledger":"demo","id":"a","min_balance":"92233720368547758.07"}"#,
        r#"{"command":"freeze_account","ledger":"demo","id":"a","actor":"sluice","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#,
        r#"{"command":"unfreeze_account","ledger":"demo","id":"a"}"#,
        r#"{"command":"close_account","ledger":"demo","id":"a"}"#,
    ];
    for line in lines {
        let command = decode(line).unwrap();
        assert_eq!(String::from_utf8(command.encode()).unwrap(), line);
        assert_eq!(decode(line), Ok(command));
    }
}

#[test]
#[expect(clippy::too_many_lines, reason = "one case a line")]
fn a_line_that_is_no_command_says_why() {
    let transfer = |field: &str, value: &str| {
        let mut object: serde_json::Value = serde_json::from_str(
            r#"{"ledger":"demo","idempotency_key":"k","debit_account":"a","credit_account":"b","amount":"1","currency":"USD"}"#,
        )
        .unwrap();
        object[field] = serde_json::from_str(value).unwrap();
        object.to_string()
    };
    let long = format!("\"{}\"", "x".repeat(TEXT_BYTES_MAX + 1));
    let cases = [
        (transfer("ledger", "\"other\""), "ledger_unknown", "/ledger"),
        (transfer("ledger", "null"), "missing_field", "/ledger"),
        (
            transfer("idempotency_key", "null"),
            "idempotency_key_missing",
            "/idempotency_key",
        ),
        (
            transfer("debit_account", "\"a b\""),
            "account_id_malformed",
            "/debit_account",
        ),
        (
            transfer("credit_account", "\"\""),
            "account_id_malformed",
            "/credit_account",
        ),
        (
            transfer("currency", "\"ABC\""),
            "currency_unknown",
            "/currency",
        ),
        (
            transfer("description", "\"\\u0000\""),
            "nul_character",
            "/description",
        ),
        (
            transfer("description", &long),
            "text_too_long",
            "/description",
        ),
        (
            transfer("metadata", "{\"a\":\"\\u0000\"}"),
            "nul_character",
            "/metadata",
        ),
        (
            transfer("accepted_at", "\"now\""),
            "time_malformed",
            "/accepted_at",
        ),
        (
            transfer("traceparent", "\"nonsense\""),
            "traceparent_malformed",
            "/traceparent",
        ),
        (transfer("actor", "7"), "invalid_type", "/actor"),
        (transfer("command", "\"steal\""), "unknown_field", "/amount"),
        (
            r#"{"command":"steal","ledger":"demo","id":"a"}"#.into(),
            "command_unknown",
            "/command",
        ),
        (
            r#"{"command":"freeze_account","ledger":"demo"}"#.into(),
            "missing_field",
            "/id",
        ),
        (
            r#"{"command":"freeze_account","ledger":"demo","id":"a","type":"x"}"#.into(),
            "unknown_field",
            "/type",
        ),
        (
            r#"{"command":"change_account","ledger":"demo","id":"a"}"#.into(),
            "missing_field",
            "",
        ),
        (
            r#"{"command":"change_account","ledger":"demo","id":"a","min_balance":"92233720368547758.08"}"#.into(),
            "amount_too_large",
            "/min_balance",
        ),
        (
            r#"{"command":"change_account","ledger":"demo","id":"a","min_balance":"0.0000000000001"}"#.into(),
            "amount_too_many_decimals",
            "/min_balance",
        ),
        ("not json".into(), "json_malformed", ""),
        (
            "[null,null,null,null,\"a\",\"b\",\"1\",\"USD\",null,null]".into(),
            "invalid_type",
            "",
        ),
    ];
    for (line, code, pointer) in cases {
        let invalid = decode(&line).unwrap_err();
        assert_eq!(
            (invalid.code, invalid.pointer.as_ref()),
            (code, pointer),
            "{line}"
        );
    }
}

#[test]
fn the_fingerprint_is_over_the_meaning() {
    let print = |rest: &str| {
        let line = format!(
            r#"{{"ledger":"demo","idempotency_key":"k","debit_account":"a","credit_account":"b","currency":"USD",{rest}}}"#
        );
        match decode(&line).unwrap().order {
            Order::Transfer(transfer) => transfer.fingerprint(),
            Order::Account(..) => unreachable!("the line is a transfer"),
        }
    };
    let same = print(r#""amount":"1.5","metadata":{"a":1,"b":2}"#);
    assert_eq!(same, print(r#""metadata":{"b":2, "a":1},"amount":"1.50""#));
    assert_ne!(same, print(r#""amount":"1.51","metadata":{"a":1,"b":2}"#));
    assert_ne!(
        print(r#""amount":"1""#),
        print(r#""amount":"1","description":"""#)
    );
}
