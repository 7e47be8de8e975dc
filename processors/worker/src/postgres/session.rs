//! Sessions for transactions.
//!
//! Invariant: a session goes on to the next user only when it is known to be outside of any transaction, wherever the
//! future that used it was dropped: its guard is there before BEGIN is sent. (sqlx's own guards a transaction once BEGIN
//! was answered.)

use std::fmt::Write as _;
use std::mem;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::TryStreamExt as _;
use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, Either, PgConnection, PgPool, Postgres as Database};
use tokio::time::Instant;
use uuid::Uuid;

use crate::times;

/// The last sessions that committed are kept: the pool asks each that comes back whether it lives, a round trip for every
/// transaction, and a session that stays has the first statements prepared.
#[derive(Debug, Clone)]
pub(super) struct Sessions {
    pool: PgPool,
    prepared: &'static [Prepared],
    kept_max: usize,
    kept: Arc<Mutex<Vec<Session>>>,
}

/// A statement that a session plans once. (sqlx prepares under names that only it knows.)
#[derive(Debug, Clone, Copy)]
pub(super) struct Prepared {
    pub(super) name: &'static str,
    pub(super) text: &'static str,
}

/// What goes in one message with BEGIN. Parameters are integers and ids, so that nothing stands in it that somebody chose.
pub(super) struct First(String);

impl First {
    pub(super) fn text(statement: &'static str) -> Self {
        Self(statement.to_owned())
    }

    pub(super) fn execute(prepared: Prepared, parameters: &[i64]) -> Self {
        let parameters: Vec<String> = parameters.iter().map(i64::to_string).collect();
        Self(format!(
            "EXECUTE {} ({})",
            prepared.name,
            parameters.join(", ")
        ))
    }

    /// And then another, whose parameter is an array.
    pub(super) fn then_execute(mut self, prepared: Prepared, ids: &[Uuid]) -> Self {
        const BYTES: usize = 33;
        self.0.reserve(BYTES * (ids.len() + 1));
        let put = |text: &mut String| {
            write!(text, "; EXECUTE {} ('{{", prepared.name)?;
            for (place, id) in ids.iter().enumerate() {
                let comma = if place == 0 { "" } else { "," };
                write!(text, "{comma}{}", id.simple())?;
            }
            write!(text, "}}')")
        };
        put(&mut self.0).expect("a text takes everything");
        self
    }
}

#[derive(Debug)]
struct Session {
    connection: PoolConnection<Database>,
    is_prepared: bool,
    taken_at: Instant,
}

impl Sessions {
    pub(super) fn new(pool: PgPool, prepared: &'static [Prepared], kept_max: usize) -> Self {
        Self {
            pool,
            prepared,
            kept_max,
            kept: Arc::default(),
        }
    }

    async fn take(&self) -> Result<Session, sqlx::Error> {
        let kept = self.kept().pop();
        match kept {
            Some(session) => Ok(session),
            None => Ok(Session {
                connection: self.pool.acquire().await?,
                is_prepared: false,
                taken_at: Instant::now(),
            }),
        }
    }

    /// For a session that is outside of any transaction.
    fn keep(&self, session: Session) {
        let mut kept = self.kept();
        if kept.len() < self.kept_max && session.taken_at.elapsed() < times::SESSION_KEPT_MAX {
            kept.push(session);
        } else {
            tokio::spawn(self.clone().give_back(session, ""));
        }
    }

    /// Leaves the transaction and forgets the statements, so that the session is as the pool gave it; answers that are
    /// still on their way are read before. If it is in doubt how the session is, it is closed.
    async fn give_back(self, mut session: Session, leave: &'static str) {
        let mut end = leave.to_owned();
        for Prepared { name, .. } in self.prepared {
            end = format!("{end} DEALLOCATE {name};");
        }
        let end = AssertSqlSafe(end);
        let ended = sqlx::raw_sql(end).execute(&mut *session.connection);
        match tokio::time::timeout(times::STATEMENT_MAX, ended).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "a session that could not be rolled back is closed");
                session.connection.close_on_drop();
            }
            Err(_) => {
                tracing::debug!("a session that was not rolled back in time is closed");
                session.connection.close_on_drop();
            }
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Session>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Rolled back when dropped without `commit`.
pub(super) struct OpenTransaction {
    /// `None` once it is over.
    session: Option<Session>,
    sessions: Sessions,
}

impl OpenTransaction {
    /// Begins and runs the first statements, in one round trip; each has a snapshot of its own, as everywhere in the
    /// transaction. Gives the rows that each returned, whose values are texts.
    pub(super) async fn begin(
        sessions: &Sessions,
        first: First,
    ) -> Result<(Self, Vec<Vec<PgRow>>), sqlx::Error> {
        let mut transaction = Self {
            session: Some(sessions.take().await?),
            sessions: sessions.clone(),
        };
        let session = transaction.session();
        let mut begin = String::new();
        // Answers to what stands before the first statements: BEGIN is one.
        let mut before = 1;
        if !session.is_prepared {
            before += sessions.prepared.len();
            for Prepared { name, text } in sessions.prepared {
                begin = format!("{begin}PREPARE {name} AS {text}; ");
            }
        }
        begin = format!("{begin}BEGIN; {}", first.0);
        let answers = ask(&mut session.connection, begin).await?;
        session.is_prepared = true;
        Ok((transaction, answers.into_iter().skip(before).collect()))
    }

    /// An error leaves open whether it happened.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(&mut *self).await?;
        if let Some(session) = self.session.take() {
            self.sessions.keep(session);
        }
        Ok(())
    }

    fn session(&mut self) -> &mut Session {
        self.session.as_mut().expect(IS_OPEN)
    }
}

const IS_OPEN: &str = "only `commit` and `drop` take the session";

/// The rows of each statement.
async fn ask(
    connection: &mut PgConnection,
    statements: String,
) -> Result<Vec<Vec<PgRow>>, sqlx::Error> {
    let (mut answers, mut rows) = (Vec::new(), Vec::new());
    let mut answered = sqlx::raw_sql(AssertSqlSafe(statements)).fetch_many(connection);
    while let Some(answer) = answered.try_next().await? {
        match answer {
            Either::Left(_) => answers.push(mem::take(&mut rows)),
            Either::Right(row) => rows.push(row),
        }
    }
    Ok(answers)
}

impl Deref for OpenTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        &self.session.as_ref().expect(IS_OPEN).connection
    }
}

impl DerefMut for OpenTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        &mut self.session().connection
    }
}

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let sessions = self.sessions.clone();
            tokio::spawn(sessions.give_back(session, "ROLLBACK;"));
        }
    }
}
