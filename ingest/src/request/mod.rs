//! What a request says, parsed once.
//!
//! Invariant: a fault of the request is a 4xx problem made here, before anything is done.

mod body;
mod caller;
mod headers;
mod id;
mod query;

pub(crate) use body::{JsonBytes, ndjson};
pub(crate) use caller::{Admin, Asked, Reader, Writer};
pub(crate) use headers::{Wait, idempotency_key, idempotency_key_if_given, preferred_wait};
pub(crate) use id::{REQUEST_ID, RequestId, RequestIds};
pub(crate) use query::{PathText, Query, at, limit, time, wait};
