//! What cannot be decided again, though nothing is wrong.
//!
//! Invariant: each is counted under its name, so that "nothing was found" never hides what was not looked at.

use std::collections::HashMap;
use std::time::Duration;

use schemas::{Currency, LedgerName, Order, Timestamp};

/// How long a processor may not have seen what somebody else added: an absent row cannot be locked.
pub(crate) const YOUNG: Duration = Duration::from_mins(1);

/// Neither the log nor Postgres has the line.
pub(crate) const NO_LINE: &str = "commands without their line";
pub(crate) const RULES: &str = "commands decided by other rules";
/// Opened by another partition at about the same time.
pub(crate) const YOUNG_ACCOUNT: &str = "refusals of an account that was just opened";
pub(crate) const YOUNG_LEDGER: &str = "dead letters about a ledger or unit that was just created";
/// Fewer fields were known then.
pub(crate) const OLD_WORDS: &str = "dead letters about a field that was unknown then";
pub(crate) const NO_LIMIT: &str = "dead letters that do not say which limit they passed";
pub(crate) const FITS_TODAY: &str = "dead letters that would fit today's limit";
pub(crate) const NO_HEADERS: &str = "dead letters without their record's headers";
pub(crate) const HEADERS_CUT: &str = "dead letters whose record's headers were too long to keep";
pub(crate) const NO_PLACE: &str = "dead letters from before commits had an order";

/// When ledgers and their own units came into being.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    pub(crate) ledgers: HashMap<LedgerName, Timestamp>,
    pub(crate) units: HashMap<(LedgerName, Currency), Timestamp>,
}

impl Ages {
    /// When the last of what a command names came into being.
    pub(crate) fn youngest(&self, ledger: &LedgerName, order: &Order) -> Option<Timestamp> {
        let currency = match order {
            Order::Transfer(order) => Some(order.currency),
            Order::Account(_, schemas::AccountChange::Open { opening, .. }) => {
                Some(opening.currency)
            }
            Order::Account(..) => None,
        };
        let unit = currency.and_then(|currency| self.units.get(&(ledger.clone(), currency)));
        self.ledgers.get(ledger).max(unit).copied()
    }
}

pub(crate) fn is_young(created_at: Timestamp, at: Timestamp) -> bool {
    created_at.nanoseconds()
        > at.nanoseconds().saturating_sub(
            i64::try_from(YOUNG.as_nanos()).expect("a minute is a small number of nanoseconds"),
        )
}
