//! The lines of a record, one command each.
//!
//! Invariant: total: every byte sequence has lines, though perhaps none.

use bytes::Bytes;

/// The lines of a record. One JSON object over several lines, as a person may publish it, is one line.
pub fn lines_of(body: &Bytes) -> Vec<Bytes> {
    let blank = |text: &[u8]| text.iter().all(u8::is_ascii_whitespace);
    let lines: Vec<Bytes> = body
        .split(|byte| *byte == b'\n')
        .filter(|line| !blank(line))
        .map(|line| body.slice_ref(line))
        .collect();
    let opens_only = lines.len() > 1 && lines[0].trim_ascii_end().last() != Some(&b'}');
    if opens_only && serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok() {
        return vec![body.clone()];
    }
    lines
}
