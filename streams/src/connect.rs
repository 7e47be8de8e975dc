//! Connections to nats-server.
//!
//! Invariant: a connection never gives up; what is sent over it is bounded in size and time.

use std::time::Duration;

use async_nats::{Client, ConnectOptions, Event};

use crate::Error;

/// Oldest nats-server that has what the log needs.
pub const SERVER_VERSION_MIN: (i64, i64, i64) = (2, 11, 0);

const RECONNECT_DELAY_MAX: Duration = Duration::from_millis(500);

/// Connects to `url` (`nats://user:password@host:port`, several separated by commas) under `name`.
///
/// # Errors
/// When no server answers, or one that is too old.
pub async fn connect(url: &str, name: &str) -> Result<Client, Error> {
    let addresses: Vec<async_nats::ServerAddr> = url
        .split(',')
        .map(|address| address.trim().parse())
        .collect::<Result<_, _>>()
        .map_err(|source| Error::unavailable("reading the address of nats-server", source))?;
    let client = credentials(options(name), &addresses)
        .connect(addresses)
        .await
        .map_err(|source| Error::unavailable("connecting to nats-server", source))?;
    let (major, minor, patch) = SERVER_VERSION_MIN;
    if !client.is_server_compatible(major, minor, patch) {
        return Err(Error::Misconfigured(format!(
            "nats-server is {}, at least {major}.{minor} is needed",
            client.server_info().version
        )));
    }
    Ok(client)
}

/// The client library reads user and password from nowhere but its options.
fn credentials(options: ConnectOptions, addresses: &[async_nats::ServerAddr]) -> ConnectOptions {
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
        .event_callback(|event| async move {
            match event {
                Event::Connected => tracing::info!("connected to nats-server"),
                Event::Disconnected => tracing::warn!("connection to nats-server lost"),
                Event::Draining | Event::Closed => {
                    tracing::debug!("connection to nats-server closed");
                }
                Event::ClientError(_) => tracing::debug!(event = %event, "nats-server connection"),
                other => tracing::warn!(event = %other, "nats-server connection"),
            }
        })
}
