//! Connections to nats-server.
//!
//! Invariant: a connection never gives up; what is sent over it is bounded in size and time. Bytes that others
//! published arrive only over a connection apart, as the client library ends a connection at headers it cannot read.

use std::sync::Arc;
use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event, ServerAddr};
use tokio::sync::watch;

use crate::Error;
use crate::error::Source;

/// Oldest nats-server that has what the log needs.
pub const SERVER_VERSION_MIN: (i64, i64, i64) = (2, 11, 0);

const RECONNECT_DELAY_MAX: Duration = Duration::from_millis(500);

/// A connection, and the way to another one.
#[derive(Debug, Clone)]
pub struct Connection {
    pub(crate) client: Client,
    addresses: Arc<[ServerAddr]>,
    name: Arc<str>,
}

/// Connects to `url` (`nats://user:password@host:port`, several separated by commas) under `name`.
///
/// # Errors
/// When no server answers, or one that is too old.
pub async fn connect(url: &str, name: &str) -> Result<Connection, Error> {
    let addresses: Arc<[ServerAddr]> = url
        .split(',')
        .map(|address| address.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|source| Error::unavailable("reading the address of nats-server", source))?;
    let client = credentials(options(name).event_callback(report), &addresses)
        .connect(&addresses[..])
        .await
        .map_err(|source| Error::unavailable("connecting to nats-server", source))?;
    let (major, minor, patch) = SERVER_VERSION_MIN;
    if !client.is_server_compatible(major, minor, patch) {
        return Err(Error::Misconfigured(format!(
            "nats-server is {}, at least {major}.{minor} is needed",
            client.server_info().version
        )));
    }
    Ok(Connection {
        client,
        addresses,
        name: name.into(),
    })
}

impl Connection {
    /// The client library's own handle.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// A connection of its own for reading what others published.
    pub(crate) async fn apart(&self) -> Result<Apart, Source> {
        let (sender, lost) = watch::channel(false);
        let options = options(&format!("{}, reading", self.name))
            // Whoever reads opens another one.
            .max_reconnects(1)
            .event_callback(move |event| {
                let lost = matches!(event, Event::Disconnected | Event::Closed);
                sender.send_if_modified(|known| !std::mem::replace(known, *known || lost) && lost);
                async {}
            });
        let client = credentials(options, &self.addresses)
            .connect(&self.addresses[..])
            .await?;
        Ok(Apart { client, lost })
    }
}

/// A connection that ends with the first thing that goes wrong with it.
#[derive(Debug)]
pub(crate) struct Apart {
    pub(crate) client: Client,
    lost: watch::Receiver<bool>,
}

impl Apart {
    /// Waits until the connection is lost; the library's task may also have ended in a panic.
    pub(crate) async fn lost(&mut self) {
        if self.lost.wait_for(|lost| *lost).await.is_err() {
            tracing::debug!("the task of a connection ended");
        }
    }
}

/// The client library reads user and password from nowhere but its options.
fn credentials(options: ConnectOptions, addresses: &[ServerAddr]) -> ConnectOptions {
    let named = addresses
        .iter()
        .find_map(|address| Some((address.username()?, address.password()?)));
    match named {
        Some((user, password)) => options.user_and_password(user.to_owned(), password.to_owned()),
        None => options,
    }
}

fn options(name: &str) -> ConnectOptions {
    ConnectOptions::new()
        .name(name)
        .connection_timeout(Duration::from_secs(5))
        .request_timeout(Some(Duration::from_secs(5)))
        .ping_interval(Duration::from_secs(10))
        .max_reconnects(None)
        .reconnect_delay_callback(|attempts| {
            let doubled = Duration::from_millis(1 << attempts.min(10));
            doubled.min(RECONNECT_DELAY_MAX)
        })
}

async fn report(event: Event) {
    match event {
        Event::Connected => tracing::info!("connected to nats-server"),
        Event::Disconnected => tracing::warn!("connection to nats-server lost"),
        Event::Draining | Event::Closed => tracing::debug!("connection to nats-server closed"),
        Event::ClientError(_) => tracing::debug!(event = %event, "nats-server connection"),
        other => tracing::warn!(event = %other, "nats-server connection"),
    }
}
