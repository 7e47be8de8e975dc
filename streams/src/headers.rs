//! The header block of a record.
//!
//! Invariant: what is written here is a block that the server takes.

use async_nats::{HeaderMap, HeaderValue};
use bytes::Bytes;

const VERSION: &str = "NATS/1.0";

/// A block with these headers. The library keeps no order; names are in alphabetical order.
pub(crate) fn block(headers: &HeaderMap) -> Bytes {
    if headers.is_empty() {
        return Bytes::new();
    }
    let mut sorted: Vec<(&str, &[HeaderValue])> = headers
        .iter()
        .map(|(name, values)| (name.as_ref(), &values[..]))
        .collect();
    sorted.sort_unstable_by_key(|(name, _)| *name);
    let mut block = format!("{VERSION}\r\n");
    for (name, values) in sorted {
        for value in values {
            block.extend([name, ": ", value.as_str(), "\r\n"]);
        }
    }
    block.push_str("\r\n");
    block.into()
}
