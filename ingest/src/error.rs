//! What can stop the way in, or an administrative action.
//!
//! Invariant: an error says what was being done; its source says why that failed. What a client did wrong is
//! no error but a problem that it is answered.

use schemas::{Currency, LedgerName};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address}; --listen takes another address")]
    Listen {
        address: std::net::SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error(
        "nats-server acknowledges before records are on disk: set sync_interval: always, or accept losses with --allow-lazy-sync"
    )]
    SyncsLazily,
    #[error(
        "nats-server's monitoring address is not given, so nothing tells whether it syncs always: give it, or accept losses with --allow-lazy-sync"
    )]
    MonitorUnknown,
    #[error("the log is not usable")]
    Log(#[from] streams::Error),
    #[error("{doing}")]
    Database {
        doing: &'static str,
        #[source]
        source: sqlx::Error,
    },
    #[error("there is no ledger {0}")]
    LedgerUnknown(LedgerName),
    #[error("{0} is an ISO 4217 currency; a unit of a ledger's own needs another code")]
    UnitIsCurrency(Currency),
    #[error("{unit} has {declared} decimals in this ledger, which never change")]
    UnitFixed { unit: Currency, declared: u8 },
    #[error("a unit has at most {} decimals", schemas::Units::EXPONENT_MAX)]
    ExponentTooLarge,
}
