//! What can go wrong with the log.
//!
//! Invariant: an error says what was being done; its source says why that failed.

pub(crate) type Source = Box<dyn std::error::Error + Send + Sync>;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{doing}")]
    Unavailable {
        doing: String,
        #[source]
        source: Source,
    },
    #[error("there is no stream {0}: `sluice migrate` creates it")]
    StreamMissing(&'static str),
    #[error("{0}")]
    Misconfigured(String),
}

impl Error {
    pub(crate) fn unavailable(doing: impl Into<String>, source: impl Into<Source>) -> Self {
        Self::Unavailable {
            doing: doing.into(),
            source: source.into(),
        }
    }
}
