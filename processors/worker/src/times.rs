//! How long a processor holds on, and how long it waits.
//!
//! Invariant: a session gives up what it waits for, and Postgres ends one that stands still, before the lease runs out;
//! so whoever takes a partition over finds it free, or ends a session that has no business there any more.

use std::time::Duration;

use crate::Error;

/// How long a partition stays ours after the last sign of life.
pub const LEASE: Duration = Duration::from_secs(6);
/// How often a lease without traffic is renewed.
pub const RENEWAL: Duration = Duration::from_secs(2);
/// Longest time that a statement waits for one lock.
pub const LOCK_MAX: Duration = Duration::from_secs(2);
/// Longest time that a session does nothing inside a transaction.
pub const IDLE_MAX: Duration = Duration::from_secs(2);
/// Longest time that a batch waits inside its transaction for the one before to commit.
pub const UNWRITTEN_MAX: Duration = Duration::from_secs(1);
/// Longest time that a statement takes.
pub const STATEMENT_MAX: Duration = Duration::from_secs(4);
/// Longest time that a step of a transaction takes, whatever becomes of the server: Postgres gives up itself before.
pub const STEP_MAX: Duration = Duration::from_secs(5);
/// How long a session goes from one transaction to the next before the pool looks at it again.
pub const SESSION_KEPT_MAX: Duration = Duration::from_mins(5);
/// How long a takeover waits for a row that somebody else has locked before it ends that session.
pub const BLOCKED_MAX: Duration = Duration::from_secs(1);
/// Longest pause after a failure.
pub const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A session that answers nothing must not keep those waiting who need its answer.
///
/// # Errors
/// `Unavailable` when `step` takes longer than [`STEP_MAX`].
pub(crate) async fn within<T>(
    doing: &'static str,
    step: impl Future<Output = Result<T, Error>>,
) -> Result<T, Error> {
    let done = tokio::time::timeout(STEP_MAX, step).await;
    done.unwrap_or_else(|late| Err(Error::unavailable(doing, late)))
}

const fn fit(a: Duration, b: Duration, limit: Duration) -> bool {
    a.as_millis() + b.as_millis() <= limit.as_millis()
}

const _: () = {
    assert!(
        fit(RENEWAL, STATEMENT_MAX, LEASE),
        "a renewal that takes as long as it may comes in time"
    );
    assert!(
        fit(LOCK_MAX, PAUSE_MAX, LEASE),
        "a batch that waits for a lock can renew the lease between two tries"
    );
    assert!(
        LOCK_MAX.as_millis() < STATEMENT_MAX.as_millis(),
        "a statement that waits for a lock says so before it is ended"
    );
    assert!(
        STATEMENT_MAX.as_millis() < STEP_MAX.as_millis(),
        "Postgres ends a statement before we give up its session"
    );
    assert!(
        fit(LOCK_MAX, LOCK_MAX, STEP_MAX),
        "a batch that begins waits for its position and its accounts, and says so before we give up its session"
    );
    assert!(
        UNWRITTEN_MAX.as_millis() < IDLE_MAX.as_millis(),
        "a batch gives up its place before Postgres ends its session"
    );
    assert!(
        fit(IDLE_MAX, BLOCKED_MAX, LEASE),
        "a session that stands still is ended before its lease runs out"
    );
    assert!(
        BLOCKED_MAX.as_millis() < LOCK_MAX.as_millis(),
        "a takeover ends who blocks it before it gives up itself"
    );
};
