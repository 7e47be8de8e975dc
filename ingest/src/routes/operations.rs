//! What operators and their tools ask.
//!
//! Invariant: nothing here needs a key, and nothing here shows a ledger's data.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::Api;
use crate::problem::{Problem, ProblemBody};
use crate::respond;

/// Whether this process can do its work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Readiness {
    /// Always `ready`.
    status: &'static str,
    /// What is away without stopping transfers from being accepted.
    degraded: Vec<&'static str>,
}

/// The process is alive.
#[utoipa::path(
    get, path = "/healthz", tag = "operations", security(()),
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(crate) async fn healthz() -> Response {
    respond::of_type("text/plain; charset=utf-8", StatusCode::OK, "ok\n")
}

/// Transfers are accepted.
#[utoipa::path(
    get, path = "/readyz", tag = "operations", security(()),
    responses(
        (status = 200, body = Readiness),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn readyz(State(api): State<Arc<Api>>) -> Result<Response, Problem> {
    if !api.appender.is_connected() {
        return Err(Problem::unavailable(
            "log_unavailable",
            "the log cannot be reached",
        ));
    }
    let degraded = match api.store.ping().await {
        Ok(()) => Vec::new(),
        Err(_) => vec!["postgres"],
    };
    let readiness = Readiness {
        status: "ready",
        degraded,
    };
    Ok(respond::json(StatusCode::OK, &readiness))
}

/// Metrics in the text format of Prometheus.
#[utoipa::path(
    get, path = "/metrics", tag = "operations", security(()),
    responses((status = 200, body = String, content_type = "text/plain"))
)]
pub(crate) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let text = api.prometheus.render();
    respond::of_type("text/plain; version=0.0.4", StatusCode::OK, text)
}

/// This document.
#[utoipa::path(
    get, path = "/openapi.json", tag = "operations", security(()),
    responses((status = 200, body = serde_json::Value))
)]
pub(crate) async fn openapi(State(api): State<Arc<Api>>) -> Response {
    respond::of_type("application/json", StatusCode::OK, api.document.clone())
}
