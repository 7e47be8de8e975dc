//! A TCP proxy that a test can make silent.
//!
//! **Invariant:** silence keeps every connection open and loses no byte: what came meanwhile goes on when it ends.

use std::io::Result;
use std::net::SocketAddr;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

const CHUNK_BYTES: usize = 64 << 10;

/// Stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    passes: watch::Sender<bool>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// In front of `server` (`host:port`).
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(server: String) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        let (passes, passing) = watch::channel(true);
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(forward(client, server.clone(), passing.clone()));
            }
        });
        Ok(Self {
            address,
            passes,
            accepting,
        })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Nothing passes until [`Proxy::pass`].
    pub fn silence(&self) {
        self.passes.send_replace(false);
    }

    pub fn pass(&self) {
        self.passes.send_replace(true);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn forward(client: TcpStream, server: String, passing: watch::Receiver<bool>) {
    let Ok(server) = TcpStream::connect(server).await else {
        return;
    };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let ended = tokio::try_join!(
        copy(from_client, to_server, passing.clone()),
        copy(from_server, to_client, passing)
    );
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection through the proxy ended");
    }
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut passing: watch::Receiver<bool>,
) -> Result<()> {
    let mut chunk = vec![0; CHUNK_BYTES];
    loop {
        let read = from.read(&mut chunk).await?;
        if passing.wait_for(|passes| *passes).await.is_err() || read == 0 {
            return to.shutdown().await;
        }
        to.write_all(&chunk[..read]).await?;
    }
}
