//! Lists, a page at a time.
//!
//! Invariant: a page begins where the last one ended in the order of an index; nothing is counted or skipped over.

use serde::Serialize;

use crate::problem::Problem;
use crate::store::transfers::Below;

/// Bytes after which a page ends before its `limit`: what a client that does not read may make us keep.
pub(crate) const PAGE_BYTES_MAX: usize = 256 << 10;

/// Some of a list, and where it goes on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Page<T> {
    pub(crate) data: Vec<T>,
    /// Opaque; give it back as `after`. `null` at the end.
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// From one row more than the page holds, so that its end is known. `bytes` tells how long a row gets as JSON.
    pub(crate) fn cut(
        mut data: Vec<T>,
        limit: i64,
        bytes: impl Fn(&T) -> usize,
        cursor: impl FnOnce(&T) -> String,
    ) -> Self {
        let limit = usize::try_from(limit)
            .unwrap_or(0)
            .min(fitting(&data, bytes));
        let is_last = data.len() <= limit;
        data.truncate(limit);
        let next = if is_last {
            None
        } else {
            data.last().map(cursor)
        };
        Self { data, next }
    }
}

/// How many rows fit a page; one always does.
fn fitting<T>(data: &[T], bytes: impl Fn(&T) -> usize) -> usize {
    let mut left = PAGE_BYTES_MAX;
    let fit = data.iter().take_while(|row| {
        let rest = left.checked_sub(bytes(row));
        left = rest.unwrap_or(0);
        rest.is_some()
    });
    fit.count().max(1)
}

/// How long a value is as JSON.
pub(crate) fn json_bytes(value: &impl Serialize) -> usize {
    serde_json::to_vec(value).map_or(0, |json| json.len())
}

pub(crate) fn cursor_malformed() -> Problem {
    Problem::bad_request(
        "cursor_malformed",
        "after is what \"next\" of the page before said, unchanged",
    )
}

/// Where each of an account's three lists of transfers goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AccountPlace {
    pub(crate) posted_below: i64,
    pub(crate) refused_debit: Below,
    pub(crate) refused_credit: Below,
}

impl AccountPlace {
    pub(crate) const START: Self = Self {
        posted_below: i64::MAX,
        refused_debit: Below::START,
        refused_credit: Below::START,
    };

    pub(crate) fn encode(&self) -> String {
        format!(
            "{}.{}.{}",
            self.posted_below,
            encode_below(&self.refused_debit),
            encode_below(&self.refused_credit)
        )
    }

    /// # Errors
    /// When it is no such cursor.
    pub(crate) fn decode(text: &str) -> Result<Self, Problem> {
        let mut parts = text.split('.');
        let mut part = || parts.next().unwrap_or_default();
        let place = Self {
            posted_below: part().parse().map_err(|_| cursor_malformed())?,
            refused_debit: decode_below(part(), part())?,
            refused_credit: decode_below(part(), part())?,
        };
        match parts.next() {
            None => Ok(place),
            Some(_) => Err(cursor_malformed()),
        }
    }
}

pub(crate) fn encode_below(below: &Below) -> String {
    format!("{}.{:x}", below.decided_at, u128::from_be_bytes(below.id))
}

/// Where the list of a whole ledger goes on; in the shape of an account's, so that one pattern describes both.
pub(crate) fn encode_ledger_place(below: &Below) -> String {
    format!("0.{0}.{0}", encode_below(below))
}

/// # Errors
/// When it is no such cursor.
pub(crate) fn decode_ledger_place(text: &str) -> Result<Below, Problem> {
    AccountPlace::decode(text).map(|place| place.refused_debit)
}

/// # Errors
/// When it is no such cursor.
pub(crate) fn decode_below(decided_at: &str, id: &str) -> Result<Below, Problem> {
    let id = u128::from_str_radix(id, 16).map_err(|_| cursor_malformed())?;
    Ok(Below {
        decided_at: decided_at.parse().map_err(|_| cursor_malformed())?,
        id: id.to_be_bytes(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_ends_at_its_limit_or_when_it_gets_too_long() {
        let cases = [
            (vec![10; 5], 5, 5, false),
            (vec![10; 6], 5, 5, true),
            (vec![PAGE_BYTES_MAX / 2; 6], 5, 2, true),
            (vec![PAGE_BYTES_MAX + 1; 6], 5, 1, true),
            (vec![PAGE_BYTES_MAX + 1], 5, 1, false),
            (vec![], 5, 0, false),
        ];
        for (rows, limit, length, goes_on) in cases {
            let page = Page::cut(rows, limit, |bytes| *bytes, |_| "next".to_owned());
            assert_eq!((page.data.len(), page.next.is_some()), (length, goes_on));
        }
    }

    #[test]
    fn a_cursor_survives_its_text() {
        let below = Below {
            decided_at: 1_763_712_000_000_000_001,
            id: [0xab; 16],
        };
        let place = AccountPlace {
            posted_below: 17,
            refused_debit: below,
            refused_credit: Below::START,
        };
        assert_eq!(AccountPlace::decode(&place.encode()).unwrap(), place);
        for bad in [
            "",
            "17",
            "17.1.2.3",
            "x.1.a.1.a",
            "1.1.a.1.a.1",
            "\0",
            "1.1.zz.1.a",
        ] {
            assert!(AccountPlace::decode(bad).is_err(), "{bad:?}");
        }
    }
}
