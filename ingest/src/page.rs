//! Lists, a page at a time.
//!
//! Invariant: a page begins where the last one ended in the order of an index; nothing is counted or skipped over.

use serde::Serialize;

use crate::problem::Problem;
use crate::store::transfers::Below;

/// Some of a list, and where it goes on.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct Page<T> {
    pub(crate) data: Vec<T>,
    /// Opaque; give it back as `after`. `null` at the end.
    pub(crate) next: Option<String>,
}

impl<T> Page<T> {
    /// From one row more than the page holds, so that its end is known.
    pub(crate) fn cut(mut data: Vec<T>, limit: i64, cursor: impl FnOnce(&T) -> String) -> Self {
        let limit = usize::try_from(limit).unwrap_or(0);
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
