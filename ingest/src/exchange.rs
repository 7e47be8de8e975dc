//! One request and its answer.
//!
//! Invariant: whatever happens inside, an answer leaves within the time limit, with a request id, and if it is
//! no success, as a problem.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{HeaderValue, Request, Response, StatusCode, header};
use axum::response::IntoResponse;
use futures::FutureExt;
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use crate::api::Api;
use crate::problem::Problem;
use crate::request::{REQUEST_ID, RequestId};

/// Answers the requests of one connection.
#[derive(Clone)]
pub(crate) struct Exchange {
    api: Arc<Api>,
    router: TowerToHyperService<Router>,
}

impl Exchange {
    pub(crate) fn new(api: Arc<Api>) -> Self {
        let router = TowerToHyperService::new(api.router());
        Self { api, router }
    }

    pub(crate) fn api(&self) -> &Api {
        &self.api
    }

    pub(crate) async fn answer(
        self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, Infallible> {
        let id = self.api.request_ids.of(request.headers());
        if header_bytes(&request) > self.api.limits.header_bytes_max {
            return Ok(self.finish(self.headers_too_long().into_response(), id));
        }
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(id.clone());
        let answer = AssertUnwindSafe(self.router.call(request)).catch_unwind();
        let response = match tokio::time::timeout(self.api.limits.request_time_max, answer).await {
            Ok(Ok(Ok(response))) => response,
            Ok(Ok(Err(never))) => match never {},
            Ok(Err(_)) => panicked(&id).into_response(),
            Err(_) => timed_out().into_response(),
        };
        Ok(self.finish(response, id))
    }

    /// What a connection above the limit is told, without a request, as it goes over the wire.
    pub(crate) fn overloaded(&self) -> Vec<u8> {
        let problem = Problem::unavailable(
            "overloaded",
            "too many connections are open; nothing was read, try again",
        );
        let id = self.api.request_ids.next();
        let id = id.as_str();
        crate::metrics::problem(problem.code());
        let body = serde_json::to_string(&problem.body(Some(id)))
            .expect("strings and integers have a JSON text, and memory does not fail");
        format!(
            "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/problem+json\r\n\
             content-length: {}\r\nretry-after: 1\r\nx-request-id: {id}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        )
        .into_bytes()
    }

    fn headers_too_long(&self) -> Problem {
        let most = self.api.limits.header_bytes_max;
        Problem::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "headers_too_long",
            format!("the path and headers of a request are at most {most} bytes"),
        )
    }

    fn finish(&self, mut response: Response<Body>, id: RequestId) -> Response<Body> {
        // Of a 405 (RFC 9110, section 15.5.6), from the router.
        let allow = response.headers_mut().remove(header::ALLOW);
        if let Some(problem) = response.extensions_mut().remove::<Problem>() {
            crate::metrics::problem(problem.code());
            response = problem.write(id.as_str());
        } else if response.status().is_client_error() || response.status().is_server_error() {
            response = unexplained(response.status()).write(id.as_str());
        }
        if let Some(allow) = allow {
            response.headers_mut().insert(header::ALLOW, allow);
        }
        if response.status() == StatusCode::REQUEST_TIMEOUT {
            let close = HeaderValue::from_static("close");
            response.headers_mut().insert(header::CONNECTION, close);
        }
        self.api.requests.answered(response.status());
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, id.into_header());
        response
    }
}

/// As they came; the connection itself stops only at about twice the limit.
fn header_bytes(request: &Request<Incoming>) -> usize {
    let uri = request.uri();
    let target = uri.path().len() + uri.query().map_or(0, str::len);
    let headers = request.headers().iter();
    headers.fold(target, |bytes, (name, value)| {
        bytes + name.as_str().len() + value.len() + ": \r\n".len()
    })
}

fn panicked(id: &RequestId) -> Problem {
    tracing::error!(request = id.as_str(), "a handler panicked");
    Problem::new(
        StatusCode::INTERNAL_SERVER_ERROR,
        "internal_error",
        "this is a fault of the server; a transfer may be on the log or not: retry with the same key only",
    )
}

fn timed_out() -> Problem {
    Problem::unavailable(
        "outcome_unknown",
        "the request took too long; what it asked may be on the log or not: retry with the same key only",
    )
}

/// For an answer that did not come from our own handlers, such as the documentation's.
fn unexplained(status: StatusCode) -> Problem {
    let reason = status.canonical_reason().unwrap_or("refused");
    Problem::new(
        status,
        reason.to_ascii_lowercase().replace([' ', '-'], "_"),
        format!("the request was answered {status}"),
    )
}
