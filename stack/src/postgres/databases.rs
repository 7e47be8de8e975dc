//! Creating databases.
//!
//! **Invariant:** names are checked before they become part of a statement.

use std::time::{Duration, Instant};

use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Connection as _};

use super::Postgres;
use crate::error::{Error, Result};

const IN_USE: &str = "55006";
const EXISTS: &str = "42P04";
/// Closed connections take a moment to leave the template.
const TEMPLATE_PATIENCE: Duration = Duration::from_secs(10);
const RETRY_PAUSE: Duration = Duration::from_millis(50);

impl Postgres {
    /// Creates the database unless it exists.
    ///
    /// # Errors
    /// When the server refuses or cannot be reached.
    pub async fn create_database(&self, name: &str) -> Result<()> {
        match self.create_database_from(name, "template1").await {
            Err(Error::Database { source, .. }) if has_code(&source, EXISTS) => Ok(()),
            other => other,
        }
    }

    /// Creates the database as a copy of `template`, and ends what is still connected to that.
    ///
    /// # Errors
    /// When the database exists, or the server refuses or cannot be reached.
    pub async fn create_database_from(&self, name: &str, template: &str) -> Result<()> {
        check_name(name)?;
        check_name(template)?;
        let doing = || format!("creating the database {name}");
        let database = |source| Error::Database {
            doing: doing(),
            source,
        };
        let mut connection = PgConnection::connect(&self.url("postgres"))
            .await
            .map_err(database)?;
        let statement = format!(r#"CREATE DATABASE "{name}" TEMPLATE "{template}""#);
        let deadline = Instant::now() + TEMPLATE_PATIENCE;
        loop {
            let created = sqlx::query(AssertSqlSafe(statement.clone()))
                .execute(&mut connection)
                .await;
            match created {
                Err(error) if has_code(&error, IN_USE) && Instant::now() < deadline => {
                    end_connections_to(template, &mut connection)
                        .await
                        .map_err(database)?;
                    tokio::time::sleep(RETRY_PAUSE).await;
                }
                Err(error) => return Err(database(error)),
                Ok(_) => break,
            }
        }
        connection.close().await.map_err(database)
    }
}

async fn end_connections_to(
    database: &str,
    connection: &mut PgConnection,
) -> std::result::Result<(), sqlx::Error> {
    sqlx::query("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1")
        .bind(database)
        .execute(connection)
        .await?;
    Ok(())
}

fn has_code(error: &sqlx::Error, code: &str) -> bool {
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .is_some_and(|found| found == code)
}

fn check_name(name: &str) -> Result<()> {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    if (1..=63).contains(&name.len()) && name.bytes().all(allowed) {
        return Ok(());
    }
    Err(Error::DatabaseName(name.to_owned()))
}
