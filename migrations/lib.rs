//! The database schema: numbered SQL files, embedded in the binary.
//!
//! Invariant: a migration works with the code before it and after it, and locks one table only.

/// Every migration, in order; `MIGRATIONS.run(&pool)` applies what is missing.
pub static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations");
