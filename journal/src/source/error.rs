//! Why a source has no next commit: for now, or for ever.
//!
//! Invariant: what cannot pass by itself is never tried again; it names partition and position.

use std::error::Error;
use std::sync::Arc;

use schemas::{Partition, Position};

use super::Link;
use crate::Broken;

/// There is no next commit, and there will be none.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// A record is not what a processor published.
    #[error("record {sequence} of EVENTS, partition {partition}: {why}")]
    Forged {
        partition: Partition,
        sequence: u64,
        why: &'static str,
    },
    /// The commits in Postgres do not go on from here.
    #[error(
        "commit {position} of partition {partition} does not follow the commit {after} that was read before"
    )]
    OtherHistory {
        partition: Partition,
        position: Position,
        after: Position,
    },
    #[error(transparent)]
    Broken(#[from] Broken),
    /// Postgres or nats-server answers, but with what nobody can go on from.
    #[error("{doing}")]
    Unusable {
        doing: String,
        #[source]
        source: Arc<dyn Error + Send + Sync>,
    },
}

impl SourceError {
    pub(super) fn other_history(partition: Partition, position: Position, after: Link) -> Self {
        Self::OtherHistory {
            partition,
            position,
            after: after.position,
        }
    }
}

pub(super) enum Failed {
    /// To be tried again.
    Away {
        doing: String,
        source: Arc<dyn Error + Send + Sync>,
    },
    Ended(SourceError),
}

impl From<SourceError> for Failed {
    fn from(error: SourceError) -> Self {
        Self::Ended(error)
    }
}

impl Failed {
    pub(super) fn postgres(doing: String, error: sqlx::Error) -> Self {
        let may_pass = may_pass(&error);
        Self::sorted(may_pass, doing, Arc::new(error))
    }

    pub(super) fn log(doing: String, error: streams::Error) -> Self {
        let may_pass = match &error {
            // A stream that is missing may be restored.
            streams::Error::Unavailable { .. } | streams::Error::StreamMissing(_) => true,
            streams::Error::Misconfigured(_) => false,
        };
        Self::sorted(may_pass, doing, Arc::new(error))
    }

    fn sorted(may_pass: bool, doing: String, source: Arc<dyn Error + Send + Sync>) -> Self {
        if may_pass {
            Self::Away { doing, source }
        } else {
            Self::Ended(SourceError::Unusable { doing, source })
        }
    }
}

/// Whether the same statement may succeed later.
fn may_pass(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::WorkerCrashed => true,
        // What it is asked for is not there or not allowed, or its own data is damaged.
        sqlx::Error::Database(error) => {
            let code = error.code().unwrap_or_default();
            let lasting = ["22", "42", "XX001", "XX002"];
            !lasting.iter().any(|lasting| code.starts_with(lasting))
        }
        _ => false,
    }
}
