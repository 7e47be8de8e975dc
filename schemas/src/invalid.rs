//! What is wrong with an input, in words that its sender can act on.
//!
//! Invariant: `code` is stable; clients may branch on it, and a test lists every one.

use std::borrow::Cow;

/// One fault of an input: where, which, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Invalid {
    /// Stable, machine-readable name of the fault, in `snake_case`.
    pub code: &'static str,
    /// JSON pointer (RFC 6901) to the offending field; empty for the whole document.
    pub pointer: Cow<'static, str>,
    /// One sentence for a person.
    pub detail: String,
}

impl Invalid {
    pub fn new(
        code: &'static str,
        pointer: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self {
            code,
            pointer: pointer.into(),
            detail: detail.into(),
        }
    }
}
