//! Everything malformed is a 4xx problem with a stable code and the field at fault, and nothing reaches the log.

use axum::body::Bytes;
use axum::http::Method;

use crate::harness::{Answer, Api};

/// A good transfer, with one field replaced or added.
fn with(field: &str, value: &str) -> String {
    let fields = [
        ("debit_account", r#""alice""#),
        ("credit_account", r#""bob""#),
        ("amount", r#""1.00""#),
        ("currency", r#""USD""#),
    ];
    let mut object: Vec<String> = fields
        .iter()
        .filter(|(name, _)| *name != field)
        .map(|(name, value)| format!("\"{name}\":{value}"))
        .collect();
    if !value.is_empty() {
        object.push(format!("\"{field}\":{value}"));
    }
    format!("{{{}}}", object.join(","))
}

#[track_caller]
fn check(case: &str, answer: &Answer, status: u16, code: &str, pointer: &str) {
    let found = answer.problem();
    assert_eq!(
        (found.0, found.1.as_str(), found.2.as_str()),
        (status, code, pointer),
        "{case}"
    );
}

/// A field of a transfer, what it is set to (nothing: left out), and the code; the pointer is the field.
const MALFORMED_FIELDS: &[(&str, &str, &str)] = &[
    ("amount", "12", "amount_not_a_string"),
    ("amount", "1.5", "amount_not_a_string"),
    ("amount", "null", "amount_not_a_string"),
    ("amount", r#""1e3""#, "amount_malformed"),
    ("amount", r#""NaN""#, "amount_malformed"),
    ("amount", r#""""#, "amount_malformed"),
    ("amount", r#""1.234""#, "amount_too_many_decimals"),
    ("amount", r#""0""#, "amount_not_positive"),
    ("amount", r#""-1""#, "amount_not_positive"),
    ("amount", r#""92233720368547758.08""#, "amount_too_large"),
    ("amount", r#""99999999999999999999999""#, "amount_too_large"),
    ("amount", "", "missing_field"),
    ("currency", r#""XYZ""#, "currency_unknown"),
    ("currency", r#""usd""#, "currency_unknown"),
    ("currency", "7", "invalid_type"),
    ("debit_account", r#""a b""#, "account_id_malformed"),
    ("debit_account", r#""a.b""#, "account_id_malformed"),
    ("debit_account", "LONG", "account_id_malformed"),
    ("credit_account", r#""""#, "account_id_malformed"),
    ("credit_account", r#""a\u0000""#, "account_id_malformed"),
    ("credit_account", r#"["b"]"#, "invalid_type"),
    ("credit_account", "", "missing_field"),
    ("description", r#""a\u0000b""#, "nul_character"),
    ("description", "LONG", "text_too_long"),
    ("description", "1", "invalid_type"),
    ("metadata", "[]", "metadata_not_an_object"),
    ("metadata", r#"{"a\u0000":1}"#, "nul_character"),
    ("metadata", r#"{"a":"\u0000"}"#, "nul_character"),
    ("metadata", r#"{"a":1,"a":2}"#, "duplicate_field"),
    ("metadata", r#"{"a":LONG}"#, "text_too_long"),
    ("metadata", "NESTED", "metadata_too_deep"),
    ("memo", "1", "unknown_field"),
    ("ledger", r#""other""#, "unknown_field"),
    ("idempotency_key", r#""k""#, "unknown_field"),
    ("accepted_at", r#""2026-01-01T00:00:00Z""#, "unknown_field"),
];

/// A whole body, the code and the pointer.
const MALFORMED_BODIES: &[(&str, &str, &str)] = &[
    ("[]", "invalid_type", ""),
    ("7", "invalid_type", ""),
    ("", "json_malformed", ""),
    ("{", "json_malformed", ""),
    ("\u{feff}{}", "json_malformed", ""),
    (
        r#"{"amount":"1","amount":"1"}"#,
        "duplicate_field",
        "/amount",
    ),
    (
        r#"{"debit_account":"a","credit_account":"b","amount":"1","currency":"USD"} x"#,
        "json_malformed",
        "",
    ),
];

#[tokio::test]
async fn a_malformed_transfer_names_its_field() {
    let api = Api::start().await;
    let headers = [("idempotency-key", "k")];
    let long = format!("\"{}\"", "x".repeat(5000));
    for depth in [20, 5000] {
        let nested = format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        for (field, value, code) in MALFORMED_FIELDS {
            let value = value.replace("LONG", &long).replace("NESTED", &nested);
            let answer = api
                .post("/v1/transfers", &headers, &with(field, &value))
                .await;
            check(field, &answer, 400, code, &format!("/{field}"));
        }
    }
    for (body, code, pointer) in MALFORMED_BODIES {
        let answer = api.post("/v1/transfers", &headers, body).await;
        check(body, &answer, 400, code, pointer);
    }
    assert!(api.commands().await.is_empty());
}

type Headers<'a> = &'a [(&'a str, &'a str)];

#[tokio::test]
async fn headers_are_checked_before_the_body_counts() {
    let long_key = "k".repeat(256);
    let cases: &[(Headers, u16, &str)] = &[
        (&[], 400, "idempotency_key_missing"),
        (&[("idempotency-key", "")], 400, "idempotency_key_malformed"),
        (
            &[("idempotency-key", &long_key)],
            400,
            "idempotency_key_malformed",
        ),
        (
            &[("idempotency-key", "kéy")],
            400,
            "idempotency_key_malformed",
        ),
        (
            &[("idempotency-key", "a\tb")],
            400,
            "idempotency_key_malformed",
        ),
        (
            &[("idempotency-key", "a"), ("idempotency-key", "b")],
            400,
            "idempotency_key_repeated",
        ),
        (
            &[("idempotency-key", "a"), ("content-type", "text/plain")],
            415,
            "content_type_unsupported",
        ),
    ];
    let api = Api::start().await;
    for (headers, status, code) in cases {
        let answer = api.post("/v1/transfers", headers, &with("", "")).await;
        answer.expect_problem(*status, code);
    }
    let accepted: &[Headers] = &[
        &[
            ("idempotency-key", "k1"),
            ("content-type", "application/json; charset=utf-8"),
        ],
        &[("idempotency-key", "k2"), ("prefer", "wait=soon, ,;=")],
        &[("idempotency-key", "k3"), ("traceparent", "nonsense")],
    ];
    for headers in accepted {
        api.post("/v1/transfers", headers, &with("", ""))
            .await
            .expect(202);
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_are_refused() {
    let api = Api::start().await;
    let body = Bytes::from_static(b"{\"debit_account\":\"\xff\xfe\"}");
    let headers = [("idempotency-key", "k")];
    let answer = api
        .send(
            Method::POST,
            "/v1/transfers",
            &api.write_key,
            &headers,
            body,
        )
        .await;
    check("invalid UTF-8", &answer, 400, "utf8_malformed", "");
}

#[tokio::test]
async fn a_long_body_is_refused_and_heard_about() {
    let api = Api::start().await;
    let long = "x".repeat(10 << 20);
    let headers = [("idempotency-key", "k")];
    for (path, bytes) in [
        ("/v1/transfers", 10 << 20),
        ("/v1/transfers", (64 << 10) + 1),
        ("/v1/accounts", 10 << 20),
        ("/v1/transfers/batch", 10 << 20),
    ] {
        let answer = api.post(path, &headers, &long[..bytes]).await;
        answer.expect_problem(413, "body_too_long");
    }
    let lines = "{}\n".repeat(10_001);
    let answer = api.post("/v1/transfers/batch", &[], &lines).await;
    answer.expect_problem(413, "batch_too_long");
    let answer = api.post("/v1/transfers/batch", &[], "\n\n").await;
    answer.expect_problem(400, "batch_empty");
}

const MALFORMED_PATHS: &[(&str, u16, &str)] = &[
    ("/v1/transfers/7", 400, "transfer_id_malformed"),
    ("/v1/transfers/tr_%00", 400, "transfer_id_malformed"),
    ("/v1/transfers/%ff", 400, "path_malformed"),
    (
        "/v1/transfers/tr_5e1815f308b081363b3c91e0ebaed625",
        404,
        "transfer_not_found",
    ),
    (
        "/v1/transfers/tr_5e1815f308b081363b3c91e0ebaed625/timeline",
        404,
        "transfer_not_found",
    ),
    (
        "/v1/transfers/tr_5e1815f308b081363b3c91e0ebaed625?at=x",
        400,
        "position_malformed",
    ),
    (
        "/v1/transfers/tr_5e1815f308b081363b3c91e0ebaed625?at=9000.1",
        400,
        "position_malformed",
    ),
    (
        "/v1/transfers/tr_5e1815f308b081363b3c91e0ebaed625?at=1.-1",
        400,
        "position_malformed",
    ),
    (
        "/v1/transfers/tr_5e1815f308b081363b3c91e0ebaed625?wait=x",
        400,
        "wait_malformed",
    ),
    (
        "/v1/transfers/tr_5e1815f308b081363b3c91e0ebaed625?wiat=1",
        400,
        "query_malformed",
    ),
    (
        "/v1/transfers/tr_5e1815f308b081363b3c91e0ebaed625?wait=1&wait=2",
        400,
        "query_malformed",
    ),
    ("/v1/transfers/by-key/%00", 400, "idempotency_key_malformed"),
    ("/v1/transfers/by-key/a%2Fb", 404, "transfer_not_found"),
    ("/v1/transfers?limit=0", 400, "limit_out_of_range"),
    ("/v1/transfers?limit=201", 400, "limit_out_of_range"),
    ("/v1/transfers?limit=-1", 400, "limit_out_of_range"),
    ("/v1/transfers?limit=x", 400, "limit_out_of_range"),
    ("/v1/transfers?after=x", 400, "cursor_malformed"),
    ("/v1/transfers?after=%00", 400, "cursor_malformed"),
    ("/v1/transfers?after=%ff", 400, "cursor_malformed"),
    (
        "/v1/transfers?account=a&after=1.2.3",
        400,
        "cursor_malformed",
    ),
    ("/v1/transfers?account=a%00b", 400, "account_id_malformed"),
    ("/v1/transfers?status=pending", 400, "status_unknown"),
    ("/v1/accounts/a.b", 400, "account_id_malformed"),
    ("/v1/accounts/a%00", 400, "account_id_malformed"),
    ("/v1/accounts/nobody", 404, "account_unknown"),
    ("/v1/accounts?after=%00", 400, "cursor_malformed"),
    ("/v1/accounts/nobody/statement", 404, "account_unknown"),
    (
        "/v1/accounts/nobody/statement?from=yesterday",
        400,
        "time_malformed",
    ),
    (
        "/v1/accounts/nobody/statement?to=%00",
        400,
        "time_malformed",
    ),
    (
        "/v1/accounts/nobody/statement?after=-1",
        400,
        "cursor_malformed",
    ),
    (
        "/v1/accounts/nobody/balance?at=9999-01-01T00:00:00Z",
        400,
        "time_malformed",
    ),
    ("/v1/events?after=x", 400, "cursor_malformed"),
    ("/v1/keys?after=%00", 400, "cursor_malformed"),
    ("/v1/nothing", 404, "route_unknown"),
    ("/v1/transfers/", 404, "route_unknown"),
    ("/docs/nothing", 404, "not_found"),
];

#[tokio::test]
async fn paths_and_queries_are_checked() {
    let api = Api::start().await;
    for (path, status, code) in MALFORMED_PATHS {
        let answer = api.get(&api.admin_key, path).await;
        let (found_status, found_code, _) = answer.problem();
        assert_eq!(
            (found_status, found_code.as_str()),
            (*status, *code),
            "{path}"
        );
    }
    let answer = api
        .send(
            Method::DELETE,
            "/v1/transfers",
            &api.admin_key,
            &[],
            Bytes::new(),
        )
        .await;
    answer.expect_problem(405, "method_not_allowed");
}

#[tokio::test]
async fn a_malformed_account_names_its_field() {
    let cases: &[(&str, &str, &str)] = &[
        ("{}", "missing_field", "/currency"),
        (r#"{"currency":"XYZ"}"#, "currency_unknown", "/currency"),
        (
            r#"{"currency":"USD","id":"a b"}"#,
            "account_id_malformed",
            "/id",
        ),
        (
            r#"{"currency":"USD","type":""}"#,
            "account_type_malformed",
            "/type",
        ),
        (
            r#"{"currency":"USD","min_balance":5}"#,
            "amount_not_a_string",
            "/min_balance",
        ),
        (
            r#"{"currency":"USD","min_balance":"5"}"#,
            "min_balance_positive",
            "/min_balance",
        ),
        (
            r#"{"currency":"USD","min_balance":"-1.234"}"#,
            "amount_too_many_decimals",
            "/min_balance",
        ),
        (
            r#"{"currency":"USD","metadata":7}"#,
            "metadata_not_an_object",
            "/metadata",
        ),
        (
            r#"{"currency":"USD","balance":"7"}"#,
            "unknown_field",
            "/balance",
        ),
    ];
    let api = Api::start().await;
    for (body, code, pointer) in cases {
        let answer = api.post("/v1/accounts", &[], body).await;
        check(body, &answer, 400, code, pointer);
    }
    let changes: &[(&str, &str, &str)] = &[
        ("{}", "missing_field", ""),
        (r#"{"currency":"USD"}"#, "unknown_field", "/currency"),
        (r#"{"id":"b"}"#, "unknown_field", "/id"),
        (r#"{"min_balance":"x"}"#, "amount_malformed", "/min_balance"),
    ];
    for (body, code, pointer) in changes {
        let body_bytes = Bytes::from((*body).to_owned());
        let answer = api
            .send(
                Method::PATCH,
                "/v1/accounts/a",
                &api.write_key,
                &[],
                body_bytes,
            )
            .await;
        check(body, &answer, 400, code, pointer);
    }
    assert!(api.commands().await.is_empty());
}

#[tokio::test]
async fn the_clients_request_id_comes_back_if_it_is_a_good_one() {
    let api = Api::start().await;
    let asked = async |id: &str| {
        let answer = api
            .send(
                Method::GET,
                "/healthz",
                "",
                &[("x-request-id", id)],
                Bytes::new(),
            )
            .await;
        answer.header("x-request-id").to_owned()
    };
    assert_eq!(asked("mine-42").await, "mine-42");
    for bad in ["", &"x".repeat(129), "a\tb"] {
        assert!(asked(bad).await.starts_with("req_"), "{bad:?}");
    }
}

#[tokio::test]
async fn headers_that_are_too_long_are_told_the_limit() {
    let api = Api::start_with(|config| config.limits.header_bytes_max = 40_000).await;
    let headers = [("x-long", &*"x".repeat(40_000))];
    let answer = api
        .send(Method::GET, "/healthz", "", &headers, Bytes::new())
        .await;
    answer.expect_problem(431, "headers_too_long");
    let detail = answer.json()["detail"].to_string();
    assert!(detail.contains("at most 40000 bytes"), "{detail}");
}
