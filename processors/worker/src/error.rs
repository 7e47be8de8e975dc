//! What can keep a partition from going on.
//!
//! Invariant: each kind has one way out, and `hold` is where it is taken.

type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A server does not answer: take the partition over again, after a pause.
    #[error("{doing}")]
    Unavailable {
        doing: &'static str,
        #[source]
        source: Source,
    },
    /// Somebody else holds the partition: let go of it.
    #[error("another process has taken the partition over")]
    Fenced,
    /// Another transaction came between: decide again.
    #[error("the batch met another transaction")]
    Conflict(#[source] Source),
    /// One command of the batch can never be committed.
    #[error("a command cannot be committed: {0}")]
    Poison(String),
    /// Records were taken from our consumer: open it again.
    #[error("the reader lost its place")]
    LostPlace(#[source] streams::ReadError),
    /// Going on could skip or repeat money: stop until an operator has looked.
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
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl From<streams::Error> for Error {
    fn from(error: streams::Error) -> Self {
        Self::unavailable("using the log", error)
    }
}
