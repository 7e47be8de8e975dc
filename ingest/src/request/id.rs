//! The name of one request, in every answer and every log line about it.
//!
//! Invariant: 1 to 128 printable ASCII characters; the client's own if it gave a good one.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::http::{HeaderMap, HeaderName, HeaderValue};

pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const CHARS_MAX: usize = 128;

#[derive(Debug, Clone)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) fn as_str(&self) -> &str {
        self.0.to_str().unwrap_or_default()
    }

    pub(crate) fn into_header(self) -> HeaderValue {
        self.0
    }
}

/// Makes ids: random bits of this process and a counter.
#[derive(Debug)]
pub(crate) struct RequestIds {
    prefix: u64,
    next: AtomicU64,
}

impl RequestIds {
    pub(crate) fn random() -> Self {
        let mut bits = [0; 8];
        getrandom::fill(&mut bits).expect("the operating system has random numbers");
        Self {
            prefix: u64::from_be_bytes(bits),
            next: AtomicU64::new(0),
        }
    }

    /// The client's own id, or a new one.
    pub(crate) fn of(&self, headers: &HeaderMap) -> RequestId {
        match headers.get(REQUEST_ID) {
            Some(given) if is_good(given) => RequestId(given.clone()),
            _ => self.next(),
        }
    }

    pub(crate) fn next(&self) -> RequestId {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let mut id = String::with_capacity(36);
        write!(id, "req_{:016x}{number:x}", self.prefix).expect("a string takes all text");
        RequestId(HeaderValue::try_from(id).expect("letters and digits are a header value"))
    }
}

fn is_good(id: &HeaderValue) -> bool {
    (1..=CHARS_MAX).contains(&id.len())
        && id.as_bytes().iter().all(|byte| (0x20..0x7f).contains(byte))
}
