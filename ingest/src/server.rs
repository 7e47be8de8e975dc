//! Connections: accepted, bounded, and closed when they dawdle.
//!
//! Invariant: a client that sends nothing, or half of something, or does not read, costs one connection for a limited
//! time and a bounded number of bytes: the next request is not read before the answer to the last one is written. A
//! connection above the limit is told to come back instead of being queued.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::Limits;
use crate::exchange::Exchange;
use crate::pace::Paced;

/// Pause after the system refused a connection, such as for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long a connection that is turned away may take to hear it.
const TURN_AWAY_TIME_MAX: Duration = Duration::from_millis(100);

/// Connections that the system holds until they are accepted.
const BACKLOG: u32 = 1024;

/// What the system holds of a connection in each direction, instead of the megabytes to which it would grow: an answer
/// on its way out, a body on its way in.
const SEND_BUFFER_BYTES: u32 = 128 << 10;
const RECEIVE_BUFFER_BYTES: u32 = 256 << 10;

/// # Errors
/// When the address cannot be had.
pub(crate) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4(),
        SocketAddr::V6(_) => TcpSocket::new_v6(),
    }?;
    socket.set_reuseaddr(true)?;
    // Every connection inherits these.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `shutdown`, then lets connections finish what they are at, for a limited time.
pub(crate) async fn serve(listener: TcpListener, exchange: Exchange, shutdown: CancellationToken) {
    let limits = exchange.api().limits.clone();
    let permits = Arc::new(Semaphore::new(limits.connections_max));
    let connections = TaskTracker::new();
    let builder = builder(&limits);
    loop {
        let stream = tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            },
            () = shutdown.cancelled() => break,
        };
        let Ok(permit) = Arc::clone(&permits).try_acquire_owned() else {
            turn_away(stream, &exchange).await;
            continue;
        };
        let work = connection(builder.clone(), stream, exchange.clone(), shutdown.clone());
        connections.spawn(async move {
            work.await;
            drop(permit);
        });
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(limits.shutdown_time_max, connections.wait())
        .await
        .is_err()
    {
        tracing::warn!(connections = connections.len(), "connections were cut off");
    }
}

/// Without `pipeline_flush`, which would gather the answers to all requests that were read at once.
fn builder(limits: &Limits) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_time_max)
        .max_buf_size(limits.header_bytes_max)
        .half_close(true);
    builder
}

async fn connection(
    builder: http1::Builder,
    stream: TcpStream,
    exchange: Exchange,
    shutdown: CancellationToken,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection keeps Nagle's delay");
    }
    let gauge = exchange.api().requests.connections.clone();
    gauge.increment(1);
    let stream = Paced::new(stream, exchange.api().limits.write_time_max);
    let service = service_fn(move |request| exchange.clone().answer(request));
    let connection = builder.serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = &mut connection => ended,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(
            error = &error as &dyn std::error::Error,
            "a connection broke"
        );
    }
    gauge.decrement(1);
}

async fn turn_away(mut stream: TcpStream, exchange: &Exchange) {
    let answer = exchange.overloaded();
    let told = tokio::time::timeout(TURN_AWAY_TIME_MAX, stream.write_all(&answer)).await;
    if !matches!(told, Ok(Ok(()))) {
        tracing::debug!("a connection above the limit did not listen");
    }
}
