//! Whether an acknowledgement of the server means "on disk".
//!
//! Invariant: only the servers' own word counts: of the one that we talk to and of each that keeps `COMMANDS`. Their
//! monitoring ports are the one place that tells (`sync_always` of `/varz`); nothing of it shows on the client protocol.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::log::get_stream;
use crate::streams::COMMANDS;
use crate::{Error, Log};

const TIMEOUT: Duration = Duration::from_secs(5);
const BODY_BYTES_MAX: usize = 1 << 20;

/// How the server writes what it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Every record is synced before it is acknowledged.
    SyncAlways,
    /// Records are synced now and then: a power failure loses acknowledged ones.
    SyncLazily,
}

/// What a server says of itself.
#[derive(Debug, Deserialize)]
struct Server {
    #[serde(rename = "server_id")]
    id: String,
    #[serde(rename = "server_name")]
    name: String,
    #[serde(default)]
    jetstream: JetStream,
}

#[derive(Debug, Default, Deserialize)]
struct JetStream {
    config: Option<JetStreamConfig>,
}

#[derive(Debug, Deserialize)]
struct JetStreamConfig {
    #[serde(default)]
    sync_always: bool,
}

impl Server {
    fn durability(&self) -> Durability {
        match &self.jetstream.config {
            Some(config) if config.sync_always => Durability::SyncAlways,
            _ => Durability::SyncLazily,
        }
    }
}

/// Asks the monitoring ports at `urls` (`http://host:port`, several separated by commas): lazily where one of them is.
///
/// # Errors
/// When a port does not answer.
pub async fn durability(urls: &str) -> Result<Durability, Error> {
    Ok(weakest(ask(urls).await?.iter()))
}

async fn ask(urls: &str) -> Result<Vec<Server>, Error> {
    let mut servers = Vec::new();
    for url in urls.split(',').map(str::trim) {
        let doing =
            || format!("asking nats-server's monitoring port {url} whether it syncs always");
        let body = tokio::time::timeout(TIMEOUT, get(url, "/varz"))
            .await
            .map_err(|source| Error::unavailable(doing(), source))?
            .map_err(|source| Error::unavailable(doing(), source))?;
        let server: Server =
            serde_json::from_slice(&body).map_err(|source| Error::unavailable(doing(), source))?;
        servers.push(server);
    }
    Ok(servers)
}

fn weakest<'a>(mut servers: impl Iterator<Item = &'a Server>) -> Durability {
    let lazily = servers.any(|server| server.durability() == Durability::SyncLazily);
    if lazily {
        Durability::SyncLazily
    } else {
        Durability::SyncAlways
    }
}

/// One connection to one start of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Session {
    server_id: String,
    client_id: u64,
}

/// What was found of the connection that there was last; appends are refused over any other.
#[derive(Debug, Clone, Default)]
pub(crate) struct Checked(Arc<RwLock<Option<Session>>>);

impl Checked {
    fn set(&self, session: Option<Session>) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = session;
    }

    fn is(&self, session: &Session) -> bool {
        let checked = self.0.read().unwrap_or_else(PoisonError::into_inner);
        checked.as_ref() == Some(session)
    }
}

impl Log {
    /// The same log; appends are refused until [`Log::check_durability`] found that they are synced, and again after
    /// each connection.
    #[must_use]
    pub fn durable_only(&self) -> Self {
        let mut log = self.clone();
        log.checked = Some(Checked::default());
        log
    }

    /// Whether what is acknowledged over the connection as it is now is known to be on disk, where that is asked for.
    pub fn is_durable(&self) -> bool {
        let checked = self.checked.as_ref();
        checked.is_none_or(|checked| checked.is(&self.session()))
    }

    /// Asks the monitoring ports at `urls` about the server that we talk to and every replica of `COMMANDS`.
    ///
    /// # Errors
    /// `Misconfigured` when one of these is not among them; else when a server does not answer.
    pub async fn check_durability(&self, urls: &str) -> Result<Durability, Error> {
        let session = self.session();
        let found = self.durability_of(&session, urls).await;
        if let Some(checked) = &self.checked {
            match found {
                Ok(Durability::SyncAlways) => checked.set(Some(session)),
                // A port that does not answer now says nothing against what it said of this connection.
                Err(Error::Unavailable { .. }) => {}
                Ok(Durability::SyncLazily) | Err(_) => checked.set(None),
            }
        }
        found
    }

    async fn durability_of(&self, session: &Session, urls: &str) -> Result<Durability, Error> {
        let servers = ask(urls).await?;
        let ours = servers
            .iter()
            .find(|server| server.id == session.server_id)
            .ok_or_else(|| unknown(&self.connection.client.server_info().server_name))?;
        let stream = get_stream(&self.jetstream, COMMANDS).await?;
        let cluster = stream.cached_info().cluster.clone().unwrap_or_default();
        let replicas = cluster.replicas.into_iter().map(|replica| replica.name);
        let mut needed = vec![ours];
        for name in cluster.leader.into_iter().chain(replicas) {
            let named = servers.iter().find(|server| server.name == name);
            needed.push(named.ok_or_else(|| unknown(&name))?);
        }
        Ok(weakest(needed.into_iter()))
    }

    fn session(&self) -> Session {
        let info = self.connection.client.server_info();
        Session {
            server_id: info.server_id,
            client_id: info.client_id,
        }
    }
}

fn unknown(name: &str) -> Error {
    Error::Misconfigured(format!(
        "nothing tells whether the nats-server {name} syncs always: its monitoring port is not among those given"
    ))
}

async fn get(url: &str, path: &str) -> Result<Bytes, Box<dyn std::error::Error + Send + Sync>> {
    let authority = url
        .strip_prefix("http://")
        .ok_or("the address of the monitoring port begins with http://")?
        .trim_end_matches('/');
    let stream = TcpStream::connect(authority).await?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let connection = tokio::spawn(connection);
    let request = hyper::Request::get(path)
        .header(hyper::header::HOST, authority)
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    if !answer.status().is_success() {
        return Err(format!("the monitoring port answered {}", answer.status()).into());
    }
    let body = Limited::new(answer.into_body(), BODY_BYTES_MAX)
        .collect()
        .await?
        .to_bytes();
    connection.abort();
    Ok(body)
}
