//! Answers of the API, read with as little work as possible.
//!
//! Invariant: an answer is taken only when all of it is there, by its `Content-Length`.

use std::collections::BTreeMap;

/// Where one answer stands in what was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// `Idempotent-Replayed`.
    pub(super) replayed: bool,
    /// The server closes the connection behind it.
    pub(super) close: bool,
    body: (usize, usize),
}

/// What was received is no HTTP/1.1 answer with a `Content-Length`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

impl Answer {
    /// The answer at the beginning of `input`; `None` while it is not complete.
    pub(super) fn parse(input: &[u8]) -> Result<Option<Self>, Malformed> {
        let (mut start, mut length) = (0, None);
        let mut answer = Self {
            status: 0,
            replayed: false,
            close: false,
            body: (0, 0),
        };
        loop {
            let rest = input.get(start..).ok_or(Malformed)?;
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                return Ok(None);
            };
            let line = rest[..end].trim_ascii_end();
            start += end + 1;
            if line.is_empty() {
                break;
            }
            if answer.status == 0 {
                answer.status = status(line).ok_or(Malformed)?;
            } else if let Some(value) = header(line, b"content-length:") {
                length = std::str::from_utf8(value)
                    .ok()
                    .and_then(|value| value.parse().ok());
            } else if header(line, b"idempotent-replayed:").is_some() {
                answer.replayed = true;
            } else if header(line, b"connection:")
                .is_some_and(|value| value.eq_ignore_ascii_case(b"close"))
            {
                answer.close = true;
            }
        }
        let length: usize = length.ok_or(Malformed)?;
        answer.body = (start, start + length);
        Ok((input.len() >= answer.body.1).then_some(answer))
    }

    pub(super) fn body<'i>(&self, input: &'i [u8]) -> &'i [u8] {
        &input[self.body.0..self.body.1]
    }

    pub(super) fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }
}

fn status(line: &[u8]) -> Option<u16> {
    let digits = line.strip_prefix(b"HTTP/1.")?.get(2..5)?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn header<'l>(line: &'l [u8], name: &[u8]) -> Option<&'l [u8]> {
    let (found, value) = line.split_at_checked(name.len())?;
    found
        .eq_ignore_ascii_case(name)
        .then_some(value.trim_ascii())
}

/// The stable code of a problem.
pub(super) fn problem_code(body: &[u8]) -> Option<&str> {
    text_after(body, br#""code":""#)
}

/// The text behind `before`, up to the next quote.
pub(super) fn text_after<'b>(bytes: &'b [u8], before: &[u8]) -> Option<&'b str> {
    let start = find(bytes, before)? + before.len();
    let rest = &bytes[start..];
    let end = rest.iter().position(|byte| *byte == b'"')?;
    std::str::from_utf8(&rest[..end]).ok()
}

pub(super) fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    loop {
        from += bytes.get(from..)?.iter().position(|byte| *byte == first)?;
        if bytes[from..].starts_with(wanted) {
            return Some(from);
        }
        from += 1;
    }
}

/// Lines of a batch's answer that tell of a problem, by its code.
pub(super) fn line_problems(body: &[u8], errors: &mut BTreeMap<String, u64>) -> Vec<usize> {
    let mut problems = Vec::new();
    for (number, line) in body.split(|byte| *byte == b'\n').enumerate() {
        if find(line, br#""problem":"#).is_some() {
            problems.push(number);
            let code = problem_code(line).unwrap_or("unknown").to_owned();
            *errors.entry(code).or_default() += 1;
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCEPTED: &[u8] = b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\nIdempotent-Replayed: true\r\ncontent-length: 4\r\n\r\n{\"a\"HTTP/1.1";

    #[test]
    fn an_answer_is_taken_when_all_of_it_is_there() {
        let whole = ACCEPTED.len() - "HTTP/1.1".len();
        for length in 0..whole {
            assert_eq!(
                Answer::parse(&ACCEPTED[..length]),
                Ok(None),
                "{length} bytes"
            );
        }
        let answer = Answer::parse(ACCEPTED).unwrap().unwrap();
        assert_eq!(
            (answer.status, answer.replayed, answer.close),
            (202, true, false)
        );
        assert!(answer.is_success());
        assert_eq!(answer.body(ACCEPTED), b"{\"a\"");
    }

    #[test]
    fn a_refusal_tells_its_code() {
        let refused = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 35\r\n\r\n{\"status\":503,\"code\":\"log_full\"}   ";
        let answer = Answer::parse(refused).unwrap().unwrap();
        assert_eq!(
            (answer.status, answer.close, answer.is_success()),
            (503, true, false)
        );
        assert_eq!(problem_code(answer.body(refused)), Some("log_full"));
        assert_eq!(problem_code(b"{}"), None);
    }

    #[test]
    fn what_is_no_answer_is_said_to_be_none() {
        for bad in [
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 2x2 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
        ] {
            assert_eq!(Answer::parse(bad.as_bytes()), Err(Malformed), "{bad}");
        }
    }

    #[test]
    fn problems_of_a_batch_are_counted_by_code() {
        let body = b"{\"line\":1,\"status\":\"pending\"}\n{\"line\":2,\"problem\":{\"code\":\"overloaded\"}}\n{\"line\":3,\"problem\":{\"code\":\"overloaded\"}}\n";
        let mut errors = BTreeMap::new();
        assert_eq!(line_problems(body, &mut errors), [1, 2]);
        assert_eq!(errors, BTreeMap::from([("overloaded".to_owned(), 2)]));
    }
}
