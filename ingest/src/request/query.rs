//! Paths and query strings.
//!
//! Invariant: an unknown, repeated or malformed parameter is refused by name, never ignored.

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use schemas::{LinePosition, Timestamp};
use serde::de::DeserializeOwned;

use super::Wait;
use crate::problem::Problem;

const LIMIT_DEFAULT: i64 = 50;
const LIMIT_MAX: i64 = 200;
/// What a parameter of type integer may hold (`int32` in `OpenAPI`); the longest wait is a limit of its own.
const WAIT_MAX: u64 = i32::MAX as u64;

/// The one variable part of a path, decoded.
pub(crate) struct PathText(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for PathText {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => Ok(Self(text)),
            Err(_) => Err(Problem::bad_request(
                "path_malformed",
                "the path is not valid percent-encoded UTF-8",
            )),
        }
    }
}

/// The parameters after the question mark.
pub(crate) struct Query<T>(pub(crate) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        match axum::extract::Query::<T>::try_from_uri(&parts.uri) {
            Ok(axum::extract::Query(query)) => Ok(Self(query)),
            Err(error) => Err(Problem::bad_request("query_malformed", error.body_text())),
        }
    }
}

/// # Errors
/// When it is not 1 to 200.
pub(crate) fn limit(text: Option<&str>) -> Result<i64, Problem> {
    let Some(text) = text else {
        return Ok(LIMIT_DEFAULT);
    };
    text.parse()
        .ok()
        .filter(|limit| (1..=LIMIT_MAX).contains(limit))
        .ok_or_else(|| {
            Problem::bad_request(
                "limit_out_of_range",
                format!("limit is a number from 1 to {LIMIT_MAX}"),
            )
        })
}

/// # Errors
/// When it is no whole number of seconds.
pub(crate) fn wait(text: Option<&str>, max: std::time::Duration) -> Result<Option<Wait>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    match text.parse() {
        Ok(seconds @ 0..=WAIT_MAX) => Ok(Wait::new(seconds, max)),
        _ => Err(Problem::bad_request(
            "wait_malformed",
            "wait is a whole number of seconds, at most 2147483647",
        )),
    }
}

/// # Errors
/// When it is no position, as `Location` gives it, of one of `partitions`.
pub(crate) fn at(text: Option<&str>, partitions: u16) -> Result<Option<LinePosition>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    text.parse()
        .ok()
        .filter(|at: &LinePosition| at.partition.0 < partitions)
        .map(Some)
        .ok_or_else(|| {
            Problem::bad_request(
                "position_malformed",
                "at is PARTITION.POSITION or PARTITION.POSITION.LINE, as Location gave it",
            )
        })
}

/// # Errors
/// When it is no RFC 3339 time.
pub(crate) fn time(text: Option<&str>, name: &'static str) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else {
        return Ok(None);
    };
    match Timestamp::parse(text, "") {
        Ok(at) => Ok(Some(at)),
        Err(invalid) => Err(Problem::bad_request(
            "time_malformed",
            format!("{name}: {}; a + in a query is written %2B", invalid.detail),
        )),
    }
}
