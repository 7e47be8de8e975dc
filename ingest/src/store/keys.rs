//! Ledgers, their units and their keys.
//!
//! Invariant: only the SHA-256 of a key is ever stored.

use std::collections::BTreeMap;

use journal::{Ledgers, ledgers};
use schemas::{LedgerName, Partition};
use sqlx::PgPool;

use super::{Store, Unavailable};
use crate::lives::Life;

/// A key that is not revoked.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct ActiveKey {
    pub(crate) id: String,
    pub(crate) hash: Vec<u8>,
    pub(crate) ledger: i32,
    pub(crate) scope: String,
}

/// A key as lists show it.
#[derive(Debug, sqlx::FromRow)]
pub(crate) struct ListedKey {
    pub(crate) id: String,
    pub(crate) ledger: String,
    pub(crate) scope: String,
    pub(crate) name: Option<String>,
    /// Nanoseconds since 1970.
    pub(crate) created_at: i64,
    pub(crate) revoked_at: Option<i64>,
}

/// Everything that ingest keeps in memory.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) ledgers: Ledgers,
    pub(crate) keys: Vec<ActiveKey>,
    pub(crate) lives: BTreeMap<Partition, Life>,
}

impl Store {
    /// Takes its full time even while the database is away: this is how its return is noticed.
    pub(crate) async fn load_keys(&self) -> Result<Loaded, Unavailable> {
        self.within(self.time_max, "reading the keys", load(&self.pool))
            .await
    }
}

pub(crate) async fn load(pool: &PgPool) -> sqlx::Result<Loaded> {
    let (ledgers, keys, lives) = futures::try_join!(
        ledgers(pool),
        sqlx::query_as("SELECT id, hash, ledger, scope FROM keys WHERE revoked_at IS NULL")
            .fetch_all(pool),
        super::lives::lives(pool),
    )?;
    Ok(Loaded {
        ledgers,
        keys,
        lives,
    })
}

/// Number of a ledger.
pub(crate) async fn ledger_number(pool: &PgPool, name: &LedgerName) -> sqlx::Result<Option<i32>> {
    sqlx::query_scalar("SELECT number FROM ledgers WHERE name = $1")
        .bind(name.as_str())
        .fetch_optional(pool)
        .await
}

/// Whether the ledger is new.
pub(crate) async fn insert_ledger(pool: &PgPool, name: &LedgerName) -> sqlx::Result<bool> {
    let inserted =
        sqlx::query("INSERT INTO ledgers (name) VALUES ($1) ON CONFLICT (name) DO NOTHING")
            .bind(name.as_str())
            .execute(pool)
            .await?;
    Ok(inserted.rows_affected() > 0)
}

/// The exponent that the unit has afterwards: an older one stays.
pub(crate) async fn insert_unit(
    pool: &PgPool,
    ledger: i32,
    code: &str,
    exponent: i16,
) -> sqlx::Result<i16> {
    sqlx::query(
        "INSERT INTO units (ledger, code, exponent) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
    )
    .bind(ledger)
    .bind(code)
    .bind(exponent)
    .execute(pool)
    .await?;
    sqlx::query_scalar("SELECT exponent FROM units WHERE ledger = $1 AND code = $2")
        .bind(ledger)
        .bind(code)
        .fetch_one(pool)
        .await
}

/// When it was created.
pub(crate) async fn insert_key(
    pool: &PgPool,
    ledger: i32,
    id: &str,
    hash: [u8; 32],
    scope: &str,
    name: Option<&str>,
) -> sqlx::Result<i64> {
    sqlx::query_scalar(
        "INSERT INTO keys (id, hash, ledger, scope, name)
         VALUES ($1, $2, $3, $4, $5)
         RETURNING (extract(epoch FROM created_at) * 1000000000)::BIGINT",
    )
    .bind(id)
    .bind(hash.as_slice())
    .bind(ledger)
    .bind(scope)
    .bind(name)
    .fetch_one(pool)
    .await
}

/// Keys after `after` by id, of one ledger or of all, the revoked ones too.
pub(crate) async fn keys(
    pool: &PgPool,
    ledger: Option<i32>,
    after: &str,
    limit: i64,
) -> sqlx::Result<Vec<ListedKey>> {
    sqlx::query_as(
        "SELECT keys.id, ledgers.name AS ledger, keys.scope, keys.name,
                (extract(epoch FROM keys.created_at) * 1000000000)::BIGINT AS created_at,
                (extract(epoch FROM keys.revoked_at) * 1000000000)::BIGINT AS revoked_at
           FROM keys
           JOIN ledgers ON ledgers.number = keys.ledger
          WHERE ($1::INTEGER IS NULL OR keys.ledger = $1) AND keys.id > $2
          ORDER BY keys.id LIMIT $3",
    )
    .bind(ledger)
    .bind(after)
    .bind(limit)
    .fetch_all(pool)
    .await
}

/// Whether there is such a key in this ledger, or in any; a second time changes nothing.
pub(crate) async fn revoke_key(pool: &PgPool, ledger: Option<i32>, id: &str) -> sqlx::Result<bool> {
    let revoked = sqlx::query(
        "UPDATE keys SET revoked_at = coalesce(revoked_at, now())
          WHERE id = $1 AND ($2::INTEGER IS NULL OR ledger = $2)",
    )
    .bind(id)
    .bind(ledger)
    .execute(pool)
    .await?;
    Ok(revoked.rows_affected() > 0)
}
