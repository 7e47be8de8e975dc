//! What can keep a partition from going on.
//!
//! Invariant: an error says what it is. What follows for a batch stands in `apply`, for a session in
//! [`SessionEnd`](crate::hold::SessionEnd).

type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server does not answer.
    #[error("{doing}")]
    Unavailable {
        doing: &'static str,
        #[source]
        source: Source,
    },
    /// Somebody else holds the partition.
    #[error("another process has taken the partition over")]
    Fenced,
    /// Another transaction came between.
    #[error("the batch met another transaction")]
    Conflict(#[source] Source),
    /// Somebody holds a lock for longer than it was waited for.
    #[error("a row that the batch needs stays locked")]
    Blocked(#[source] Source),
    /// What the batch would write is refused, and always will be.
    #[error("the batch cannot be committed: {0}")]
    Poison(String),
    /// Records were taken from our consumer.
    #[error("the reader lost its place")]
    LostPlace(#[source] streams::ReadError),
    /// Going on could skip or repeat money, or bury what is valid.
    #[error("{0}")]
    Stopped(String),
}

impl Error {
    pub(crate) fn unavailable(doing: &'static str, source: impl Into<Source>) -> Self {
        Self::Unavailable {
            doing,
            source: source.into(),
        }
    }

    /// The error and its causes in one line.
    pub fn chain(&self) -> String {
        chain(self)
    }
}

/// An error and its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl From<streams::Error> for Error {
    fn from(error: streams::Error) -> Self {
        Self::unavailable("using the log", error)
    }
}
