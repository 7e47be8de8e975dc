//! Ledgers and the units of their own.
//!
//! Invariant: a ledger is loaded with all of its units, or not at all.

use std::collections::HashMap;

use schemas::{Currency, LedgerName, Units};
use sqlx::{PgExecutor, Row};

use crate::columns::{exponent, parsed};

/// A book and what it counts in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    pub number: i32,
    pub units: Units,
}

pub type Ledgers = HashMap<LedgerName, Ledger>;

/// Every ledger.
///
/// # Errors
/// When Postgres does not answer or a row cannot be read.
pub async fn ledgers(database: impl PgExecutor<'_>) -> Result<Ledgers, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT l.number, l.name, u.code, u.exponent
           FROM ledgers l
           LEFT JOIN units u ON u.ledger = l.number",
    )
    .fetch_all(database)
    .await?;
    let mut ledgers = Ledgers::new();
    for row in rows {
        let name = parsed(LedgerName::parse(row.try_get("name")?))?;
        let ledger = ledgers.entry(name).or_insert(Ledger {
            number: row.try_get("number")?,
            units: Units::default(),
        });
        if let Some(code) = row.try_get("code")? {
            let unit = parsed(Currency::parse(code))?;
            ledger
                .units
                .declare(unit, exponent(row.try_get("exponent")?)?);
        }
    }
    Ok(ledgers)
}
