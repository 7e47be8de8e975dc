//! What nats-servers say on their monitoring ports.
//!
//! Invariant: only a server's own word says how it writes (`sync_always` of `/varz`); nothing of it shows on the client
//! protocol. Which servers there are, any of them says (`/routez`), under the id that each has from its start to its end.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;

use crate::Error;

const TIMEOUT: Duration = Duration::from_secs(2);
const BODY_BYTES_MAX: usize = 1 << 20;

/// How the server writes what it acknowledges.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// Every record is synced before it is acknowledged.
    SyncAlways,
    /// Records are synced now and then: a power failure loses acknowledged ones.
    SyncLazily,
}

/// One start of one server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// What one port says.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) server: Peer,
    /// `None`: it keeps no streams, or not yet.
    pub(crate) durability: Option<Durability>,
    /// The servers that it is connected with.
    pub(crate) routes: Vec<Peer>,
}

#[derive(Debug, Deserialize)]
struct Variables {
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

#[derive(Debug, Deserialize)]
struct Routes {
    #[serde(default)]
    routes: Vec<Route>,
}

#[derive(Debug, Deserialize)]
struct Route {
    #[serde(rename = "remote_id")]
    id: String,
    #[serde(rename = "remote_name")]
    name: String,
}

impl Variables {
    fn durability(&self) -> Option<Durability> {
        let config = self.jetstream.config.as_ref()?;
        Some(if config.sync_always {
            Durability::SyncAlways
        } else {
            Durability::SyncLazily
        })
    }
}

/// Asks the monitoring ports at `urls` (`http://host:port`, several separated by commas): lazily where one of them is.
///
/// # Errors
/// When a port does not answer.
pub async fn durability(urls: &str) -> Result<Durability, Error> {
    for url in ports(urls) {
        let variables: Variables = ask(url, "/varz").await?;
        if variables.durability() != Some(Durability::SyncAlways) {
            return Ok(Durability::SyncLazily);
        }
    }
    Ok(Durability::SyncAlways)
}

pub(crate) fn ports(urls: &str) -> impl Iterator<Item = &str> {
    urls.split(',').map(str::trim)
}

pub(crate) async fn view(url: &str) -> Result<View, Error> {
    // First who is there, then what they say: who is connected with others keeps its streams already.
    let routes: Routes = ask(url, "/routez").await?;
    let variables: Variables = ask(url, "/varz").await?;
    let peer = |Route { id, name }| Peer { id, name };
    Ok(View {
        durability: variables.durability(),
        server: Peer {
            id: variables.id,
            name: variables.name,
        },
        routes: routes.routes.into_iter().map(peer).collect(),
    })
}

async fn ask<Answer: DeserializeOwned>(url: &str, path: &str) -> Result<Answer, Error> {
    let doing = || format!("asking nats-server's monitoring port {url} whether it syncs always");
    let body = tokio::time::timeout(TIMEOUT, get(url, path))
        .await
        .map_err(|source| Error::unavailable(doing(), source))?
        .map_err(|source| Error::unavailable(doing(), source))?;
    serde_json::from_slice(&body).map_err(|source| Error::unavailable(doing(), source))
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
