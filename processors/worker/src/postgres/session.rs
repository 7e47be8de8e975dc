//! A session inside a transaction.
//!
//! Invariant: no session goes back to the pool inside a transaction, wherever the future that used it was dropped: the
//! guard is there before BEGIN is sent. (sqlx's own guards a transaction only once BEGIN was answered.)

use std::ops::{Deref, DerefMut};

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgRow;
use sqlx::{AssertSqlSafe, PgConnection, PgPool, Postgres as Database};

use crate::times;

/// Rolled back when dropped without `commit`.
pub(super) struct OpenTransaction {
    /// `None` once it is over.
    session: Option<PoolConnection<Database>>,
}

/// A statement whose parameters are in its text, so that it can go in one message with BEGIN: nothing but integers.
pub(super) struct FirstStatement(String);

impl FirstStatement {
    /// `$1` to `$9` in `text` stand for `numbers`.
    pub(super) fn new<const N: usize>(text: &'static str, numbers: [i64; N]) -> Self {
        const { assert!(N < 10, "$1 would be found in $10") };
        let mut sql = text.to_owned();
        for (place, number) in (1..).zip(numbers) {
            // In brackets, as what stands before may be a minus.
            sql = sql.replace(&format!("${place}"), &format!("({number})"));
        }
        assert!(!sql.contains('$'), "a parameter is missing: {sql}");
        Self(sql)
    }
}

impl OpenTransaction {
    /// Begins and runs a first statement, in one round trip; each has a snapshot of its own, as everywhere in the
    /// transaction. Gives the row that the statement returned, whose values are texts.
    pub(super) async fn begin(
        pool: &PgPool,
        first: FirstStatement,
    ) -> Result<(Self, Option<PgRow>), sqlx::Error> {
        let mut transaction = Self {
            session: Some(pool.acquire().await?),
        };
        let begin = AssertSqlSafe(format!("BEGIN; {}", first.0));
        let row = sqlx::raw_sql(begin)
            .fetch_optional(&mut *transaction)
            .await?;
        Ok((transaction, row))
    }

    /// An error leaves open whether it happened.
    pub(super) async fn commit(mut self) -> Result<(), sqlx::Error> {
        sqlx::raw_sql("COMMIT").execute(&mut *self).await?;
        self.session = None;
        Ok(())
    }
}

impl Deref for OpenTransaction {
    type Target = PgConnection;

    fn deref(&self) -> &PgConnection {
        self.session.as_ref().expect(IS_OPEN)
    }
}

impl DerefMut for OpenTransaction {
    fn deref_mut(&mut self) -> &mut PgConnection {
        self.session.as_mut().expect(IS_OPEN)
    }
}

const IS_OPEN: &str = "only `commit` and `drop` take the session";

impl Drop for OpenTransaction {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            tokio::spawn(roll_back(session));
        }
    }
}

/// At whatever it was dropped; answers that are still on their way are read before. A session that cannot be rolled back
/// is closed, and Postgres rolls it back.
async fn roll_back(mut session: PoolConnection<Database>) {
    let rolled_back = sqlx::raw_sql("ROLLBACK").execute(&mut *session);
    match tokio::time::timeout(times::STATEMENT_MAX, rolled_back).await {
        Ok(Ok(_)) => {}
        Ok(Err(error)) => {
            tracing::debug!(%error, "a session that was not rolled back is closed");
            session.close_on_drop();
        }
        Err(_) => {
            tracing::debug!("a session that was not rolled back in time is closed");
            session.close_on_drop();
        }
    }
}
