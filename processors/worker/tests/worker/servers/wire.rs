//! What goes over the connections to Postgres.
//!
//! Invariant: what a session sends is passed on unchanged; everything whose answer it waits for is one entry: a simple
//! query, or what stands before a Sync.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions, PgSslMode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::bed::Servers;

/// Sessions of a processor, and what they ask.
pub(crate) struct Wire {
    pub(crate) pool: PgPool,
    asked: Asked,
}

type Asked = Arc<Mutex<Vec<String>>>;

impl Wire {
    pub(crate) async fn start(servers: &Servers, sessions_max: u32) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let here = listener.local_addr().unwrap();
        let options = PgConnectOptions::clone(&servers.pool.connect_options());
        let server = (options.get_host().to_owned(), options.get_port());
        let asked = Asked::default();
        let recorder = asked.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = TcpStream::connect(server.clone()).await.unwrap();
                tokio::spawn(relay(client, server, recorder.clone()));
            }
        });
        let options = options
            .host("127.0.0.1")
            .port(here.port())
            .ssl_mode(PgSslMode::Disable);
        let pool = PgPoolOptions::new()
            .max_connections(sessions_max)
            .test_before_acquire(false);
        Self {
            pool: pool.connect_with(options).await.unwrap(),
            asked,
        }
    }

    /// What was asked since the last time, in order; one entry a round trip.
    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }
}

async fn relay(client: TcpStream, server: TcpStream, asked: Asked) {
    client.set_nodelay(true).unwrap();
    server.set_nodelay(true).unwrap();
    let (from_client, mut to_client) = client.into_split();
    let (mut from_server, to_server) = server.into_split();
    let answers = tokio::io::copy(&mut from_server, &mut to_client);
    // Whoever hangs up ends both directions.
    tokio::select! {
        _ = record(from_client, to_server, &asked) => {}
        _ = answers => {}
    }
}

/// Passes on a session's messages: the first has no type, all others have one byte of it before their length.
async fn record(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    asked: &Asked,
) -> std::io::Result<()> {
    let mut statements: HashMap<Vec<u8>, String> = HashMap::new();
    let mut waited_for = Vec::new();
    let mut is_first = true;
    loop {
        let kind = if is_first { 0 } else { from.read_u8().await? };
        let length = from.read_u32().await?;
        let mut body = vec![0; length as usize - 4];
        from.read_exact(&mut body).await?;
        let mut fields = body.splitn(3, |byte| *byte == 0);
        match kind {
            b'Q' => asked.lock().unwrap().push(words(&body)),
            // A statement's name, and its text.
            b'P' => {
                let name = fields.next().unwrap().to_vec();
                statements.insert(name, words(fields.next().unwrap()));
                waited_for.push("PREPARE".to_owned());
            }
            // A portal's name, and that of its statement.
            b'B' => waited_for.push(statements[fields.nth(1).unwrap()].clone()),
            b'S' => {
                let entry = std::mem::take(&mut waited_for).join("; ");
                asked.lock().unwrap().push(entry);
            }
            _ => {}
        }
        if !is_first {
            to.write_u8(kind).await?;
        }
        to.write_u32(length).await?;
        to.write_all(&body).await?;
        is_first = false;
    }
}

/// A statement's text on one line.
fn words(sql: &[u8]) -> String {
    let text = String::from_utf8_lossy(sql);
    let words: Vec<&str> = text.trim_end_matches('\0').split_whitespace().collect();
    words.join(" ")
}
