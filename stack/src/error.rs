//! What can go wrong while servers are found, installed, started and stopped.
//!
//! **Invariant:** a message says what was being done and, where a person can act, what to do.

use std::io;
use std::path::PathBuf;

use crate::version::Version;

pub type Result<T> = std::result::Result<T, Error>;

#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    #[error("{doing}")]
    Io {
        doing: String,
        #[source]
        source: io::Error,
    },
    #[error("port {port} is taken; choose another one with {flag}")]
    PortTaken { port: u16, flag: &'static str },
    #[error("no free port was found on 127.0.0.1")]
    NoFreePort,
    #[error("the data folder {} is in use by another sluice", .0.display())]
    DataInUse(PathBuf),
    #[error("{server} did not start: {why}; its last log lines:\n{log}")]
    NotStarted {
        server: &'static str,
        why: String,
        log: String,
    },
    #[error("process {pid} still runs {server} on this data folder and could not be stopped")]
    Leftover { server: &'static str, pid: u32 },
    #[error("{} cannot be used: {why}", path.display())]
    Unusable { path: PathBuf, why: String },
    #[error("{what} failed:\n{output}")]
    Command { what: String, output: String },
    #[error("downloading {url}")]
    Download {
        url: String,
        #[source]
        source: Box<ureq::Error>,
    },
    #[error("{file} does not have the checksum that SHA256SUMS of its release lists")]
    Checksum { file: String },
    #[error("{server} is missing and could not be installed\n{tried}\n{advice}")]
    NotInstalled {
        server: &'static str,
        tried: String,
        advice: &'static str,
    },
    #[error("version {found} is too old, at least {wanted} is needed")]
    TooOld { found: Version, wanted: Version },
    #[error("{} was made by Postgres {made_by} and Postgres {found} cannot read it", folder.display())]
    OtherPostgres {
        folder: PathBuf,
        made_by: String,
        found: u32,
    },
    #[error(
        "Postgres does not run as root, and the user {user} cannot enter {}; choose a data folder it can enter, for example under /var/tmp",
        folder.display()
    )]
    Unreachable { user: String, folder: PathBuf },
    #[error("{doing}")]
    Database {
        doing: String,
        #[source]
        source: sqlx::Error,
    },
    #[error("this database name is not made of 1 to 63 of a-z, 0-9 and _: {0:?}")]
    DatabaseName(String),
    #[error("preparing the template database: {0}")]
    Template(String),
    #[error("the task that was {0} ended early")]
    Interrupted(&'static str),
}

/// For `map_err` on I/O: says what was being done.
pub(crate) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    let doing = doing.into();
    move |source| Error::Io { doing, source }
}

/// The message with its causes, on one line.
pub(crate) fn chain(error: &Error) -> String {
    let mut line = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(source) = cause {
        line = format!("{line}: {source}");
        cause = source.source();
    }
    line
}

/// Runs `work` on a thread that may wait.
pub(crate) async fn blocking<T: Send + 'static>(
    doing: &'static str,
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result,
        Err(ended) if ended.is_panic() => std::panic::resume_unwind(ended.into_panic()),
        Err(_) => Err(Error::Interrupted(doing)),
    }
}
