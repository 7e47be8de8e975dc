//! Ledgers, units and keys, for the command line and for the routes of admins alike.
//!
//! Invariant: a key is shown once, when it is made; what is kept of it is a hash of 256 random bits. The exponent
//! of a unit never changes.

use std::fmt::Write as _;

use schemas::{Currency, LedgerName, Timestamp, Units};
use serde::Serialize;
use sqlx::PgPool;

use crate::store::keys as rows;
use crate::{Error, Scope};

const ID_BYTES: usize = 8;
const SECRET_BYTES: usize = 32;
const PAGE: i64 = 200;

/// A key at the one moment when it can be read.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct CreatedKey {
    /// Names the key in lists; not secret.
    pub id: String,
    /// Shown this once.
    pub key: String,
    pub ledger: LedgerName,
    pub scope: Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub created_at: Timestamp,
}

/// A key as lists show it.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct KeyInfo {
    pub id: String,
    pub ledger: LedgerName,
    pub scope: Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    pub created_at: Timestamp,
    pub revoked_at: Option<Timestamp>,
}

/// A ledger and the units that it declared.
#[derive(Debug, Clone)]
pub struct LedgerInfo {
    pub name: LedgerName,
    pub units: Units,
}

/// Makes a key, and its ledger if that is its first one.
///
/// # Errors
/// When Postgres does not answer.
///
/// # Panics
/// When the operating system has no random numbers.
pub async fn create_key(
    pool: &PgPool,
    ledger: &LedgerName,
    scope: Scope,
    name: Option<&str>,
) -> Result<CreatedKey, Error> {
    create_ledger(pool, ledger).await?;
    let number = ledger_number(pool, ledger).await?;
    let id = random_hex::<ID_BYTES>();
    let key = format!("sk_{id}_{}", random_hex::<SECRET_BYTES>());
    let hash = crate::keyring::hash(&key);
    let created_at = rows::insert_key(pool, number, &id, hash, scope.as_str(), name)
        .await
        .map_err(doing("storing a key"))?;
    Ok(CreatedKey {
        id,
        key,
        ledger: ledger.clone(),
        scope,
        name: name.map(str::to_owned),
        created_at: Timestamp::from_nanoseconds(created_at),
    })
}

/// Keys by id after `after`, of one ledger or of all; revoked ones too.
///
/// # Errors
/// When Postgres does not answer or the ledger does not exist.
pub async fn list_keys(
    pool: &PgPool,
    ledger: Option<&LedgerName>,
    after: &str,
    limit: i64,
) -> Result<Vec<KeyInfo>, Error> {
    let number = optional_number(pool, ledger).await?;
    let listed = rows::keys(pool, number, after, limit)
        .await
        .map_err(doing("listing keys"))?;
    Ok(listed.into_iter().filter_map(key_info).collect())
}

/// Every key of a ledger.
///
/// # Errors
/// When Postgres does not answer or the ledger does not exist.
pub async fn all_keys(pool: &PgPool, ledger: &LedgerName) -> Result<Vec<KeyInfo>, Error> {
    let mut keys: Vec<KeyInfo> = Vec::new();
    loop {
        let after = keys.last().map_or(String::new(), |key| key.id.clone());
        let page = list_keys(pool, Some(ledger), &after, PAGE).await?;
        if page.is_empty() {
            return Ok(keys);
        }
        keys.extend(page);
    }
}

/// A new key in place of the ones with the same name and scope.
///
/// # Errors
/// When Postgres does not answer.
pub async fn renew_key(
    pool: &PgPool,
    ledger: &LedgerName,
    scope: Scope,
    name: &str,
) -> Result<CreatedKey, Error> {
    let created = create_key(pool, ledger, scope, Some(name)).await?;
    for old in all_keys(pool, ledger).await? {
        let replaced = old.name.as_deref() == Some(name)
            && old.scope == scope
            && old.id != created.id
            && old.revoked_at.is_none();
        if replaced {
            revoke_key(pool, Some(ledger), &old.id).await?;
        }
    }
    Ok(created)
}

/// Revokes a key; `false` when there is none with this id in the ledger, or in any.
///
/// # Errors
/// When Postgres does not answer or the ledger does not exist.
pub async fn revoke_key(
    pool: &PgPool,
    ledger: Option<&LedgerName>,
    id: &str,
) -> Result<bool, Error> {
    let number = optional_number(pool, ledger).await?;
    rows::revoke_key(pool, number, id)
        .await
        .map_err(doing("revoking a key"))
}

/// `false` when it exists already.
///
/// # Errors
/// When Postgres does not answer.
pub async fn create_ledger(pool: &PgPool, name: &LedgerName) -> Result<bool, Error> {
    rows::insert_ledger(pool, name)
        .await
        .map_err(doing("creating a ledger"))
}

/// Every ledger, by name.
///
/// # Errors
/// When Postgres does not answer.
pub async fn list_ledgers(pool: &PgPool) -> Result<Vec<LedgerInfo>, Error> {
    let ledgers = journal::ledgers(pool)
        .await
        .map_err(doing("listing ledgers"))?;
    let mut ledgers: Vec<LedgerInfo> = ledgers
        .into_iter()
        .map(|(name, ledger)| LedgerInfo {
            name,
            units: ledger.units,
        })
        .collect();
    ledgers.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(ledgers)
}

/// Declares a unit of the ledger's own, such as `POINTS` with 0 decimals; saying it again changes nothing.
///
/// # Errors
/// When Postgres does not answer, the ledger does not exist, the code is a currency or the exponent another one.
pub async fn declare_unit(
    pool: &PgPool,
    ledger: &LedgerName,
    unit: Currency,
    exponent: u8,
) -> Result<(), Error> {
    if Units::default().exponent(unit).is_ok() {
        return Err(Error::UnitIsCurrency(unit));
    }
    if exponent > Units::EXPONENT_MAX {
        return Err(Error::ExponentTooLarge);
    }
    let number = ledger_number(pool, ledger).await?;
    let declared = rows::insert_unit(pool, number, unit.as_str(), i16::from(exponent))
        .await
        .map_err(doing("declaring a unit"))?;
    if declared == i16::from(exponent) {
        return Ok(());
    }
    Err(Error::UnitFixed {
        unit,
        declared: u8::try_from(declared).unwrap_or_default(),
    })
}

async fn optional_number(pool: &PgPool, ledger: Option<&LedgerName>) -> Result<Option<i32>, Error> {
    match ledger {
        Some(name) => ledger_number(pool, name).await.map(Some),
        None => Ok(None),
    }
}

async fn ledger_number(pool: &PgPool, name: &LedgerName) -> Result<i32, Error> {
    rows::ledger_number(pool, name)
        .await
        .map_err(doing("looking for a ledger"))?
        .ok_or_else(|| Error::LedgerUnknown(name.clone()))
}

fn key_info(row: rows::ListedKey) -> Option<KeyInfo> {
    Some(KeyInfo {
        id: row.id,
        ledger: LedgerName::parse(&row.ledger).ok()?,
        scope: Scope::parse(&row.scope)?,
        name: row.name,
        created_at: Timestamp::from_nanoseconds(row.created_at),
        revoked_at: row.revoked_at.map(Timestamp::from_nanoseconds),
    })
}

fn doing(doing: &'static str) -> impl FnOnce(sqlx::Error) -> Error {
    move |source| Error::Database { doing, source }
}

pub(crate) fn random_hex<const BYTES: usize>() -> String {
    let mut bits = [0; BYTES];
    getrandom::fill(&mut bits).expect("the operating system has random numbers");
    hex(&bits)
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        write!(text, "{byte:02x}").expect("a string takes all text");
    }
    text
}
