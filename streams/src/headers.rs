//! The header block of a record.
//!
//! Invariant: what the client library could not read is told apart and not guessed at. (It ends the connection at such
//! a block, or its task panics: a publisher may send any bytes, the server passes them on.)

use std::str::FromStr;

use async_nats::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use bytes::Bytes;

const VERSION: &str = "NATS/1.0";

/// Reads a block as the client library does.
///
/// # Errors
/// Why it cannot be read.
pub(crate) fn parse(block: &[u8]) -> Result<HeaderMap, &'static str> {
    let mut headers = HeaderMap::new();
    if block.is_empty() {
        return Ok(headers);
    }
    let text = str::from_utf8(block).map_err(|_| "they are not UTF-8")?;
    let mut lines = text.lines().peekable();
    let version = lines.next().unwrap_or_default();
    let status = version
        .strip_prefix(VERSION)
        .ok_or("they do not begin with NATS/1.0")?
        .trim();
    let code = status.split_once(' ').map_or(status, |(code, _)| code);
    if !code.is_empty() && StatusCode::from_str(code.trim()).is_err() {
        return Err("their status is not a status");
    }
    while let Some(line) = lines.next() {
        if line.is_empty() {
            continue;
        }
        let (name, value) = line
            .split_once(':')
            .ok_or("one of their lines has no colon")?;
        let name = HeaderName::from_str(name).map_err(|_| "one of their names is not a name")?;
        let mut value = value.trim_start().to_owned();
        while let Some(more) = lines.next_if(|line| line.starts_with(char::is_whitespace)) {
            value.push_str(more);
        }
        let value = HeaderValue::from_str(value.trim_end())
            .map_err(|_| "one of their values holds a carriage return")?;
        headers.append(name, value);
    }
    Ok(headers)
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_be_read_is_read_and_written_again() {
        let read =
            parse(b"NATS/1.0 503 No Responders\r\nB:  two\r\nA: one\r\nB: three\r\n more\r\n\r\n");
        let written = block(&read.unwrap());
        let expected = "NATS/1.0\r\nA: one\r\nB: two\r\nB: three more\r\n\r\n";
        assert_eq!(written, expected);
        assert_eq!(block(&parse(&written).unwrap()), expected);
        assert_eq!(block(&parse(b"").unwrap()), "");
    }

    #[test]
    fn what_ends_a_connection_is_refused() {
        for hostile in [
            &b"NATS/1.0\r\nA: \xe9\r\n\r\n"[..],
            b"NATS/1.0\r\nA: one\rtwo\r\n\r\n",
            b"NATS/1.0\r\nno colon\r\n\r\n",
            b"NATS/1.0\r\nA b: one\r\n\r\n",
            b"NATS/1.0\r\n\xc3\xa9: one\r\n\r\n",
            b"NATS/1.0 12345\r\n\r\n",
            b"HTTP/1.1\r\n\r\n",
            b"\r\n",
        ] {
            let shown = String::from_utf8_lossy(hostile);
            assert!(parse(hostile).is_err(), "{shown:?}");
        }
    }
}
