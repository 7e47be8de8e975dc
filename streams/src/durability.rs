//! Whether an acknowledgement of the server means "on disk".
//!
//! Invariant: only the server's own word counts. Its monitoring port is the one place that tells
//! (`sync_always` of `/jsz`); nothing of it shows on the client protocol.

use std::time::Duration;

use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::net::TcpStream;

use crate::Error;

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

#[derive(Deserialize)]
struct JetStreamReport {
    config: Option<JetStreamConfig>,
}

#[derive(Deserialize)]
struct JetStreamConfig {
    #[serde(default)]
    sync_always: bool,
}

/// Asks the monitoring port at `url` (`http://host:port`).
///
/// # Errors
/// When the port does not answer, or its server has no `JetStream`.
pub async fn durability(url: &str) -> Result<Durability, Error> {
    let doing = || format!("asking nats-server's monitoring port {url} whether it syncs always");
    let body = tokio::time::timeout(TIMEOUT, get(url, "/jsz"))
        .await
        .map_err(|source| Error::unavailable(doing(), source))?
        .map_err(|source| Error::unavailable(doing(), source))?;
    let report: JetStreamReport =
        serde_json::from_slice(&body).map_err(|source| Error::unavailable(doing(), source))?;
    match report.config {
        Some(config) if config.sync_always => Ok(Durability::SyncAlways),
        Some(_) => Ok(Durability::SyncLazily),
        None => Err(Error::Misconfigured(format!(
            "the nats-server at {url} has JetStream switched off"
        ))),
    }
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
