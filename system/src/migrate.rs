//! Tables and streams.
//!
//! Invariant: what is there stays; only what is missing is made. Whoever works meanwhile is held up by [`QUEUED_MAX`] at
//! a time: behind a lock that we wait for, every statement on its table waits too.

use std::time::Duration;

use anyhow::{Context, bail};
use sqlx::error::DatabaseError;
use sqlx::migrate::{Migrate, MigrateError};
use sqlx::{Connection, PgConnection, PgPool};
use tokio::time::Instant;

use crate::{Servers, connect};

/// How long a statement waits for a lock while others queue behind it.
const QUEUED_MAX: Duration = Duration::from_millis(300);
/// Between two tries, so that those who queued get on.
const PAUSE: Duration = Duration::from_secs(1);
/// How long others may block a migration, all tries together.
const BLOCKED_MAX: Duration = Duration::from_mins(2);
/// How often a try looks who blocks it, and how often it says so.
const LOOK_PAUSE: Duration = Duration::from_millis(50);
const TELL_PAUSE: Duration = Duration::from_secs(10);

/// Brings the database up to date and creates the streams that are missing; gives both.
pub async fn migrate(
    servers: &Servers,
    streams: &streams::Args,
    name: &str,
) -> anyhow::Result<(PgPool, streams::Log)> {
    let database = connect::open_database(servers.database()?, name).await?;
    migrate_database(&database)
        .await
        .context("migrating the database")?;
    let log = connect::create_log(servers.nats()?, &streams.settings()).await?;
    Ok((database, log))
}

async fn migrate_database(database: &PgPool) -> anyhow::Result<()> {
    let started = Instant::now();
    loop {
        // Of its own: what a try that failed locked ends with its session.
        let mut session = PgConnection::connect_with(&database.connect_options())
            .await
            .context("connecting to Postgres")?;
        let mut blockers = "another session".to_owned();
        let pid = pid(&mut session).await?;
        let tried = tokio::select! {
            tried = try_once(&mut session) => tried,
            never = watch_blockers(database, pid, &mut blockers) => match never {},
        };
        session.close().await.ok();
        let Err(error) = tried else {
            return Ok(());
        };
        if !is_blocked(&error) {
            return Err(error.into());
        }
        if started.elapsed() > BLOCKED_MAX {
            bail!(
                "blocked for {} s by {blockers}: wait until that is done, or end it with `SELECT pg_terminate_backend(PID)`, \
                 and migrate again; what is done stays",
                BLOCKED_MAX.as_secs()
            );
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn try_once(session: &mut PgConnection) -> Result<(), MigrateError> {
    set_lock_timeout(session, QUEUED_MAX).await?;
    // Held until the session ends, so that what looks unfinished is not being made by another migration.
    session.lock().await?;
    drop_unfinished_indexes(session).await?;
    for migration in migrations::MIGRATIONS.iter() {
        // What runs outside a transaction takes no lock that others queue behind.
        let lock_timeout = if migration.no_tx {
            BLOCKED_MAX
        } else {
            QUEUED_MAX
        };
        set_lock_timeout(session, lock_timeout).await?;
        migrations::MIGRATIONS
            .run_to(migration.version, &mut *session)
            .await?;
    }
    Ok(())
}

/// `CREATE INDEX CONCURRENTLY` leaves one behind when it is interrupted.
async fn drop_unfinished_indexes(session: &mut PgConnection) -> sqlx::Result<()> {
    let unfinished: Vec<String> = sqlx::query_scalar(
        "SELECT indexrelid::regclass::text
           FROM pg_index
           JOIN pg_class ON pg_class.oid = indexrelid
          WHERE NOT indisvalid AND relnamespace = current_schema()::regnamespace",
    )
    .fetch_all(&mut *session)
    .await?;
    for index in unfinished {
        let drop = format!("DROP INDEX CONCURRENTLY IF EXISTS {index}");
        sqlx::raw_sql(sqlx::AssertSqlSafe(drop))
            .execute(&mut *session)
            .await?;
    }
    Ok(())
}

async fn set_lock_timeout(session: &mut PgConnection, lock_timeout: Duration) -> sqlx::Result<()> {
    sqlx::query("SELECT set_config('lock_timeout', $1, false)")
        .bind(lock_timeout.as_millis().to_string())
        .execute(session)
        .await
        .map(drop)
}

async fn pid(session: &mut PgConnection) -> sqlx::Result<i32> {
    sqlx::query_scalar("SELECT pg_backend_pid()")
        .fetch_one(session)
        .await
}

/// Notes who blocks a session, for ever.
async fn watch_blockers(
    database: &PgPool,
    pid: i32,
    blockers: &mut String,
) -> std::convert::Infallible {
    const SQL: &str = "SELECT string_agg(format('process %s (%s of %s, %s, for %s s)', pid,
                    coalesce(nullif(application_name, ''), backend_type, 'a session'), coalesce(usename, 'Postgres'),
                    coalesce(state, 'working'),
                    coalesce(extract(epoch FROM clock_timestamp() - xact_start)::bigint, 0)), ' and ')
               FROM pg_stat_activity
              WHERE pid = ANY (pg_blocking_pids($1))";
    let mut told: Option<Instant> = None;
    loop {
        tokio::time::sleep(LOOK_PAUSE).await;
        let found: sqlx::Result<Option<String>> =
            sqlx::query_scalar(SQL).bind(pid).fetch_one(database).await;
        match found {
            Ok(Some(found)) => {
                if told.is_none_or(|told| told.elapsed() > TELL_PAUSE) {
                    tracing::warn!(
                        by = found,
                        "the migration is blocked; it tries again for a while"
                    );
                    told = Some(Instant::now());
                }
                *blockers = found;
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, "nobody tells who blocks the migration"),
        }
    }
}

/// `lock_not_available` and `deadlock_detected`: nothing was done, and another try may find the way free.
fn is_blocked(error: &MigrateError) -> bool {
    let (MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) = error else {
        return false;
    };
    let code = error.as_database_error().and_then(DatabaseError::code);
    matches!(code.as_deref(), Some("55P03" | "40P01"))
}
