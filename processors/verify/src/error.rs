//! Why it could not be checked.
//!
//! Invariant: what is wrong with the data is a finding, never an error.

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{doing}")]
    Postgres {
        doing: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("reading the log")]
    Log(#[from] streams::Error),
    #[error("the log said nothing for {0:?} in the middle of a scan")]
    LogSilent(std::time::Duration),
    #[error("making a temporary file for accounts")]
    TemporaryFile(#[source] std::io::Error),
    #[error("keeping accounts in a temporary file")]
    Spill(#[source] Box<redb::Error>),
    #[error("reading an account back from the temporary file: {0}")]
    Spoiled(schemas::Invalid),
}

impl Error {
    /// For `map_err`.
    pub(crate) fn postgres(doing: &'static str) -> impl Fn(sqlx::Error) -> Self + Copy {
        move |source| Self::Postgres { doing, source }
    }
}
