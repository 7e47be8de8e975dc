//! The document describes what is there, and its page needs nobody else.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::harness::Api;

/// Every route of the product, by hand: a route that is added or lost shows here.
const ROUTES: &[&str] = &[
    "DELETE /v1/keys/{id}",
    "GET /healthz",
    "GET /metrics",
    "GET /openapi.json",
    "GET /readyz",
    "GET /v1/accounts",
    "GET /v1/accounts/{id}",
    "GET /v1/accounts/{id}/balance",
    "GET /v1/accounts/{id}/statement",
    "GET /v1/events",
    "GET /v1/keys",
    "GET /v1/transfers",
    "GET /v1/transfers/by-key/{key}",
    "GET /v1/transfers/{id}",
    "GET /v1/transfers/{id}/timeline",
    "PATCH /v1/accounts/{id}",
    "POST /v1/accounts",
    "POST /v1/accounts/{id}/close",
    "POST /v1/accounts/{id}/freeze",
    "POST /v1/accounts/{id}/unfreeze",
    "POST /v1/keys",
    "POST /v1/transfers",
    "POST /v1/transfers/batch",
];

fn documented(document: &Value) -> BTreeSet<String> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect()
}

#[tokio::test]
async fn every_route_is_in_the_document() {
    let api = Api::start().await;
    let document = api.get("", "/openapi.json").await.expect(200);
    assert_eq!(document["openapi"], "3.1.0");
    let expected: BTreeSet<String> = ROUTES.iter().map(|route| (*route).to_owned()).collect();
    assert_eq!(documented(&document), expected);
}

#[tokio::test]
async fn every_documented_route_answers_and_asks_for_a_key() {
    let api = Api::start().await;
    for route in ROUTES {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.replace("{id}", "x").replace("{key}", "x");
        let method = method.parse().unwrap();
        let answer = api.send(method, &path, "", &[], "".into()).await;
        if path.starts_with("/v1/") {
            answer.expect_problem(401, "key_missing");
        } else {
            assert_eq!(answer.status, 200, "{route}");
        }
    }
}

#[tokio::test]
async fn a_method_that_a_path_does_not_take_is_a_405_with_those_it_takes() {
    let api = Api::start().await;
    for route in ROUTES {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.replace("{id}", "x").replace("{key}", "x");
        let refused = "TRACE".parse().unwrap();
        let answer = api.send(refused, &path, "", &[], "".into()).await;
        answer.expect_problem(405, "method_not_allowed");
        let allowed: Vec<&str> = answer.header("allow").split(',').collect();
        assert!(allowed.contains(&method), "{route}: {allowed:?}");
    }
}

/// What the API refuses, the document says; `.ci/api-contract` asks for the rest.
#[tokio::test]
async fn the_document_says_what_is_refused() {
    let document = serde_json::to_value(ingest::openapi()).unwrap();
    let parameter = |path: &str, method: &str, name: &str| {
        let parameters = document["paths"][path][method]["parameters"].as_array();
        let found = parameters
            .unwrap()
            .iter()
            .find(|found| found["name"] == name);
        found.unwrap()["schema"].clone()
    };
    for path in [
        "/v1/accounts",
        "/v1/accounts/{id}/statement",
        "/v1/events",
        "/v1/keys",
        "/v1/transfers",
    ] {
        let limit = parameter(path, "get", "limit");
        assert_eq!(
            (&limit["minimum"], &limit["maximum"]),
            (&1.into(), &200.into())
        );
    }
    let wait = parameter("/v1/transfers/{id}", "get", "wait");
    assert_eq!(wait["minimum"], 0);
    for path in ["/v1/transfers", "/v1/accounts"] {
        let key = parameter(path, "post", "Idempotency-Key");
        assert_eq!(key["pattern"], "^[!-~]([ -~]{0,253}[!-~])?$");
    }
    let schemas = &document["components"]["schemas"];
    let min_balance = &schemas["AccountRequest"]["properties"]["min_balance"];
    assert!(min_balance["pattern"].as_str().unwrap().starts_with("^(-"));
    for name in [
        "TransferRequest",
        "AccountRequest",
        "AccountChangeRequest",
        "KeyRequest",
    ] {
        assert_eq!(schemas[name]["additionalProperties"], false, "{name}");
    }
}

#[tokio::test]
async fn every_reference_of_the_document_exists() {
    fn references<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("$ref").and_then(Value::as_str));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(values) => values.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = serde_json::to_value(ingest::openapi()).unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let api = Api::start().await;
    let page = api.get("", "/docs/").await;
    assert_eq!(page.status, 200);
    let page = String::from_utf8(page.body.to_vec()).unwrap();
    let sources = page.split(['"', '\'']).filter(|text| {
        [".js", ".css", ".png"]
            .iter()
            .any(|end| text.ends_with(end))
    });
    let mut count = 0;
    for source in sources {
        assert!(!source.contains("//"), "{source}");
        let file = source.trim_start_matches("./");
        let loaded = api.get("", format!("/docs/{file}")).await;
        assert_eq!(loaded.status, 200, "{source}");
        count += 1;
    }
    assert!(count > 2, "{page}");
    let start = api.get("", "/docs/swagger-initializer.js").await;
    let start = String::from_utf8(start.body.to_vec()).unwrap();
    assert!(start.contains("/openapi.json"), "{start}");
    assert!(
        !start.contains("http://") && !start.contains("https://"),
        "{start}"
    );
}
