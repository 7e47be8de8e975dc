//! Columns whose type is wider or narrower than ours.
//!
//! Invariant: one policy. What is written always fits; what is read and does not fit is an error, never another value.

use schemas::{AccountId, Actor, Invalid, Metadata, Partition, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{ColumnIndex, Row};

/// As `smallint` has it. There are at most 256 partitions: a larger number, which only a request can hold, becomes one
/// that no row has.
pub fn partition_number(partition: Partition) -> i16 {
    i16::try_from(partition.0).unwrap_or(i16::MAX)
}

/// # Errors
/// `Decode` for a negative number.
pub fn partition(stored: i16) -> Result<Partition, sqlx::Error> {
    unsigned(stored, "partition").map(Partition)
}

/// Which life of the stream positions are of.
///
/// # Errors
/// `Decode` for a negative number.
pub fn generation(stored: i16) -> Result<u16, sqlx::Error> {
    unsigned(stored, "generation")
}

/// # Errors
/// `Decode` for a negative number.
pub fn line(stored: i32) -> Result<u32, sqlx::Error> {
    unsigned(stored, "line")
}

pub(crate) fn line_number(line: u32) -> i32 {
    i32::try_from(line).expect("a record holds fewer than 2^31 lines")
}

/// # Errors
/// `Decode` for a negative number.
pub fn exponent(stored: i16) -> Result<u8, sqlx::Error> {
    unsigned(stored, "exponent")
}

fn unsigned<S, U>(stored: S, what: &str) -> Result<U, sqlx::Error>
where
    S: Copy + std::fmt::Display,
    U: TryFrom<S>,
{
    U::try_from(stored).map_err(|_| unreadable(format!("{what} {stored}")))
}

/// # Errors
/// `Decode` for what is no id.
pub fn account(row: &PgRow, column: impl ColumnIndex<PgRow>) -> Result<AccountId, sqlx::Error> {
    parsed(AccountId::parse(row.try_get(column)?))
}

/// # Errors
/// `Decode` for what is no JSON object.
pub fn metadata(
    row: &PgRow,
    column: impl ColumnIndex<PgRow>,
) -> Result<Option<Metadata>, sqlx::Error> {
    let stored: Option<String> = row.try_get(column)?;
    stored
        .map(|text| parsed(Metadata::from_stored(text)))
        .transpose()
}

/// Who asked; NULL where a version before this one decided.
///
/// # Errors
/// `Decode` for what is no actor.
pub fn actor(row: &PgRow, column: impl ColumnIndex<PgRow>) -> Result<Option<Actor>, sqlx::Error> {
    let stored: Option<&str> = row.try_get(column)?;
    stored.map(|text| parsed(Actor::parse(text))).transpose()
}

/// # Errors
/// When the column is not there.
pub fn timestamp(row: &PgRow, column: impl ColumnIndex<PgRow>) -> Result<Timestamp, sqlx::Error> {
    Ok(Timestamp::from_nanoseconds(row.try_get(column)?))
}

pub(crate) fn hash(row: &PgRow, column: &str) -> Result<[u8; 32], sqlx::Error> {
    let bytes: &[u8] = row.try_get(column)?;
    bytes
        .try_into()
        .map_err(|_| unreadable(format!("{column} has {} bytes", bytes.len())))
}

/// What was checked before it was stored.
///
/// # Errors
/// `Decode` for what is not valid.
pub fn parsed<T>(value: Result<T, Invalid>) -> Result<T, sqlx::Error> {
    value.map_err(|invalid| unreadable(invalid.detail))
}

pub fn unreadable(what: String) -> sqlx::Error {
    sqlx::Error::Decode(what.into())
}
