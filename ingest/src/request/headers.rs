//! Headers that steer a command: its key, how long to wait, whose trace it belongs to.
//!
//! Invariant: what RFC 7240 says to ignore is ignored, everything else that is malformed is refused.

use std::time::Duration;

use axum::http::{HeaderMap, HeaderName};
use schemas::{IdempotencyKey, TraceParent};
use tokio::time::Instant;

use crate::problem::Problem;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// How long a client stays for the outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wait {
    pub(crate) seconds: u64,
    pub(crate) until: Instant,
}

impl Wait {
    /// From now on, at most `max`; `None` for no time at all.
    pub(crate) fn new(seconds: u64, max: Duration) -> Option<Self> {
        let seconds = seconds.min(max.as_secs());
        (seconds > 0).then(|| Self {
            seconds,
            until: Instant::now() + Duration::from_secs(seconds),
        })
    }
}

/// # Errors
/// When the header is missing, given twice or malformed.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<IdempotencyKey, Problem> {
    idempotency_key_if_given(headers)?.ok_or_else(|| {
        Problem::bad_request(
            "idempotency_key_missing",
            "send an Idempotency-Key header: your own name for this transfer, the same on every retry",
        )
        .at("/idempotency_key")
    })
}

/// # Errors
/// When the header is given twice or malformed.
pub(crate) fn idempotency_key_if_given(
    headers: &HeaderMap,
) -> Result<Option<IdempotencyKey>, Problem> {
    let mut given = headers.get_all(IDEMPOTENCY_KEY).iter();
    let Some(key) = given.next() else {
        return Ok(None);
    };
    if given.next().is_some() {
        return Err(Problem::bad_request(
            "idempotency_key_repeated",
            "a request has one Idempotency-Key header",
        )
        .at("/idempotency_key"));
    }
    // Anything that is not ASCII becomes empty, which is malformed too.
    let key = IdempotencyKey::parse(key.to_str().unwrap_or_default())?;
    Ok(Some(key))
}

/// `Prefer: wait=N` (RFC 7240).
pub(crate) fn preferred_wait(headers: &HeaderMap, max: Duration) -> Option<Wait> {
    headers
        .get_all(PREFER)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .find_map(|preference| {
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            let is_wait = name.trim().eq_ignore_ascii_case("wait");
            is_wait.then(|| value.trim().trim_matches('"').parse().ok())
        })
        .flatten()
        .and_then(|seconds| Wait::new(seconds, max))
}

/// A W3C trace context that is worth passing on.
pub(super) fn traceparent(headers: &HeaderMap) -> Option<TraceParent> {
    TraceParent::parse(headers.get(TRACEPARENT)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn a_preference_to_wait_is_found_and_capped() {
        let cases = [
            ("wait=5", Some(5)),
            ("respond-async, wait=5", Some(5)),
            ("Wait = \"7\"; foo=1", Some(7)),
            ("wait=600", Some(30)),
            ("wait=0", None),
            ("wait=soon", None),
            ("wait=-1", None),
            ("wait", None),
            ("return=minimal", None),
        ];
        for (value, expected) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(PREFER, HeaderValue::from_static(value));
            let wait = preferred_wait(&headers, Duration::from_secs(30));
            assert_eq!(wait.map(|wait| wait.seconds), expected, "{value}");
        }
    }
}
