//! Answers that say yes.
//!
//! Invariant: headers say what the status cannot: where to look next, that a repeat was recognised, how long was
//! waited, and that a 202 is not on disk where it is not.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use schemas::LinePosition;
use serde::Serialize;

use crate::answers::{Answer, Told};
use crate::api::Api;
use crate::request::Wait;

const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const DURABILITY: HeaderName = HeaderName::from_static("sluice-durability");

pub(crate) fn json(status: StatusCode, body: &impl Serialize) -> Response {
    let body = serde_json::to_vec(body)
        .expect("strings and integers have a JSON text, and memory does not fail");
    of_type("application/json", status, body)
}

pub(crate) fn of_type(kind: &'static str, status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// 200 once it is decided, else 202.
pub(crate) fn transfer(api: &Api, answer: &Answer, wait: Option<Wait>) -> Response {
    let mut response = match &answer.transfer {
        Told::Decided(transfer) => json(StatusCode::OK, transfer),
        Told::Pending(transfer) => {
            let mut response = json(StatusCode::ACCEPTED, transfer);
            accepted(api, &mut response);
            let LinePosition {
                partition,
                position,
                ..
            } = answer.at;
            let location = format!("/v1/transfers/{}?at={partition}.{position}", transfer.id);
            response
                .headers_mut()
                .insert(header::LOCATION, text(location));
            response
        }
    };
    if answer.is_replay {
        response
            .headers_mut()
            .insert(REPLAYED, HeaderValue::from_static("true"));
    }
    waited(&mut response, wait);
    response
}

/// Says so where an acknowledgement is not on disk.
pub(crate) fn accepted(api: &Api, response: &mut Response) {
    if api.syncs_lazily {
        response
            .headers_mut()
            .insert(DURABILITY, HeaderValue::from_static("lazy"));
    }
}

/// Says that a preference to wait was honoured.
pub(crate) fn waited(response: &mut Response, wait: Option<Wait>) {
    if let Some(wait) = wait {
        let applied = text(format!("wait={}", wait.seconds));
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
}

/// Digits, letters and the punctuation of our own ids.
pub(crate) fn text(value: String) -> HeaderValue {
    HeaderValue::try_from(value).expect("ids and numbers are header values")
}
