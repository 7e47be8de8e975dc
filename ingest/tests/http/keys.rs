//! Who may do what, and that nobody sees another ledger.

use axum::body::Bytes;
use axum::http::Method;
use ingest::{Scope, admin};
use schemas::LedgerName;
use serde_json::json;

use crate::harness::{Api, transfer_body};

async fn key_of(api: &Api, ledger: &str, scope: Scope) -> String {
    let ledger = LedgerName::parse(ledger).unwrap();
    let created = admin::create_key(&api.pool, &ledger, scope, None).await;
    created.unwrap().key
}

#[tokio::test]
async fn a_key_is_needed_and_has_to_exist() {
    let api = Api::start().await;
    let cases = [
        ("Bearer sk_0_0", "key_unknown"),
        ("Bearer nonsense", "key_malformed"),
        ("Basic c2s6", "key_malformed"),
        ("", "key_malformed"),
        ("Bearer sk_\u{e9}", "key_malformed"),
    ];
    for (header, code) in cases {
        let headers = [("authorization", header)];
        let answer = api
            .send(Method::GET, "/v1/accounts", "", &headers, Bytes::new())
            .await;
        answer.expect_problem(401, code);
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
}

#[tokio::test]
async fn a_scope_is_needed_for_what_it_names() {
    let api = Api::start_with(|config| {
        config.limits.account_wait = std::time::Duration::from_millis(1);
    })
    .await;
    let owing = json!({"currency": "USD", "min_balance": null}).to_string();
    let overdrawn = json!({"currency": "USD", "min_balance": "-5"}).to_string();
    let limit = json!({"min_balance": "-5"}).to_string();
    let transfer = transfer_body("a", "b", "1").to_string();
    let cases: &[(Method, &str, &str, Scope)] = &[
        (Method::GET, "/v1/accounts", "", Scope::Read),
        (Method::GET, "/v1/transfers", "", Scope::Read),
        (Method::GET, "/v1/events", "", Scope::Read),
        (Method::POST, "/v1/transfers", &transfer, Scope::Write),
        (Method::POST, "/v1/transfers/batch", "{}", Scope::Write),
        (
            Method::POST,
            "/v1/accounts",
            r#"{"currency":"USD"}"#,
            Scope::Write,
        ),
        (Method::POST, "/v1/accounts", &owing, Scope::Admin),
        (Method::POST, "/v1/accounts", &overdrawn, Scope::Admin),
        (
            Method::PATCH,
            "/v1/accounts/a",
            r#"{"metadata":{}}"#,
            Scope::Write,
        ),
        (Method::PATCH, "/v1/accounts/a", &limit, Scope::Admin),
        (
            Method::PATCH,
            "/v1/accounts/a",
            r#"{"min_balance":null}"#,
            Scope::Admin,
        ),
        (Method::POST, "/v1/accounts/a/freeze", "", Scope::Admin),
        (Method::POST, "/v1/accounts/a/unfreeze", "", Scope::Admin),
        (Method::POST, "/v1/accounts/a/close", "", Scope::Admin),
        (Method::GET, "/v1/keys", "", Scope::Admin),
        (
            Method::POST,
            "/v1/keys",
            r#"{"scope":"read"}"#,
            Scope::Admin,
        ),
        (Method::DELETE, "/v1/keys/x", "", Scope::Admin),
    ];
    let keys = [
        (Scope::Read, &api.read_key),
        (Scope::Write, &api.write_key),
        (Scope::Admin, &api.admin_key),
    ];
    for (method, path, body, needed) in cases {
        for (scope, key) in keys {
            let body = Bytes::from((*body).to_owned());
            let headers = [("idempotency-key", "k")];
            let answer = api.send(method.clone(), path, key, &headers, body).await;
            if scope >= *needed {
                assert_ne!(answer.status, 403, "{method} {path} with {scope}");
                assert!(answer.status.as_u16() < 500, "{method} {path} with {scope}");
            } else {
                answer.expect_problem(403, "scope_insufficient");
            }
        }
    }
}

#[tokio::test]
async fn admins_make_list_and_revoke_keys_of_their_own_ledger() {
    let api = Api::start().await;
    let other = key_of(&api, "other", Scope::Admin).await;
    let body = Bytes::from(r#"{"scope":"write","name":"till"}"#);
    let created = api
        .send(Method::POST, "/v1/keys", &api.admin_key, &[], body)
        .await
        .expect(201);
    let (id, key) = (
        created["id"].as_str().unwrap(),
        created["key"].as_str().unwrap(),
    );
    assert_eq!(created["ledger"], "demo");
    // It works at once, on its first use.
    api.get(key, "/v1/accounts").await.expect(200);

    let listed = api.get(&api.admin_key, "/v1/keys").await;
    let text = String::from_utf8(listed.body.to_vec()).unwrap();
    assert!(text.contains(id) && !text.contains(key));
    assert_eq!(listed.expect(200)["data"].as_array().unwrap().len(), 4);
    let others = api.get(&other, "/v1/keys").await.expect(200);
    assert_eq!(others["data"].as_array().unwrap().len(), 1);

    let path = format!("/v1/keys/{id}");
    let revoke = async |key: &str| {
        api.send(Method::DELETE, &path, key, &[], Bytes::new())
            .await
    };
    revoke(&other).await.expect_problem(404, "key_not_found");
    assert_eq!(revoke(&api.admin_key).await.status, 204);
    api.get(key, "/v1/accounts")
        .await
        .expect_problem(401, "key_unknown");
}

#[tokio::test]
async fn keys_are_paged_and_bad_requests_for_them_refused() {
    let api = Api::start().await;
    let mut seen = Vec::new();
    let mut path = "/v1/keys?limit=1".to_owned();
    loop {
        let page = api.get(&api.admin_key, &path).await.expect(200);
        seen.extend(page["data"].as_array().unwrap().clone());
        match page["next"].as_str() {
            Some(next) => path = format!("/v1/keys?limit=1&after={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 3);
    for (body, code) in [
        ("{}", "json_malformed"),
        (r#"{"scope":"root"}"#, "scope_unknown"),
        (r#"{"scope":"read","name":"\u0000"}"#, "name_malformed"),
        (r#"{"scope":"read","ledger":"other"}"#, "json_malformed"),
    ] {
        let body = Bytes::from(body);
        let answer = api
            .send(Method::POST, "/v1/keys", &api.admin_key, &[], body)
            .await;
        answer.expect_problem(400, code);
    }
}

#[tokio::test]
async fn ledgers_declare_units_once() {
    let api = Api::start().await;
    let unit = |code| schemas::Currency::parse(code).unwrap();
    let demo = LedgerName::parse("demo").unwrap();
    let declare = async |code, exponent| {
        admin::declare_unit(&api.pool, &demo, unit(code), exponent)
            .await
            .map_err(|error| error.to_string())
    };
    declare("POINTS", 0).await.unwrap();
    declare("POINTS", 0).await.unwrap();
    assert!(declare("POINTS", 2).await.is_err());
    assert!(declare("USD", 3).await.is_err());
    let ledgers = admin::list_ledgers(&api.pool).await.unwrap();
    assert_eq!(ledgers.len(), 1);
    assert_eq!(ledgers[0].units.exponent(unit("POINTS")), Ok(0));
}
