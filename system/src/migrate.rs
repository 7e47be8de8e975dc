//! Tables and streams.
//!
//! Invariant: what is there stays; only what is missing is made.

use anyhow::Context;

use crate::{Servers, connect};

/// Brings the database up to date and creates the streams that are missing; gives both.
pub async fn migrate(
    servers: &Servers,
    streams: &streams::Args,
    name: &str,
) -> anyhow::Result<(sqlx::PgPool, streams::Log)> {
    let database = connect::open_database(servers.database()?, name).await?;
    migrations::MIGRATIONS
        .run(&database)
        .await
        .context("migrating the database")?;
    let log = connect::create_log(servers.nats()?, &streams.settings()).await?;
    Ok((database, log))
}
