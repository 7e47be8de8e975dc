//! A publisher that no client library keeps from sending what it likes.
//!
//! **Invariant:** what is sent is exactly what the test says; only the lengths in front are added.

use std::io::{BufRead as _, BufReader, Error, Result, Write as _};
use std::net::TcpStream;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

/// A connection that speaks the NATS protocol by hand.
#[derive(Debug)]
pub struct RawNats {
    write: TcpStream,
    read: BufReader<TcpStream>,
}

impl RawNats {
    /// Connects to `nats://user:password@host:port`.
    ///
    /// # Errors
    /// When the server does not answer.
    pub fn connect(url: &str) -> Result<Self> {
        let parts = url.strip_prefix("nats://").and_then(|rest| {
            let (login, address) = rest.split_once('@')?;
            let (user, password) = login.split_once(':')?;
            Some((user, password, address))
        });
        let (user, password, address) = parts.ok_or_else(|| Error::other("not a NATS URL"))?;
        let write = TcpStream::connect(address)?;
        write.set_read_timeout(Some(PATIENCE))?;
        let read = BufReader::new(write.try_clone()?);
        let mut raw = Self { write, read };
        let connect = serde_json::json!({
            "verbose": false, "pedantic": false, "headers": true, "user": user, "pass": password,
        });
        raw.send(format!("CONNECT {connect}\r\n").as_bytes())?;
        raw.flush()?;
        Ok(raw)
    }

    /// Publishes a body, behind a header block where there is one.
    ///
    /// # Errors
    /// When the connection is gone.
    pub fn publish(&mut self, subject: &str, headers: Option<&[u8]>, body: &[u8]) -> Result<()> {
        let message = match headers {
            None => [format!("PUB {subject} {}\r\n", body.len()).as_bytes(), body].concat(),
            Some(headers) => {
                let (first, all) = (headers.len(), headers.len() + body.len());
                let control = format!("HPUB {subject} {first} {all}\r\n");
                [control.as_bytes(), headers, body].concat()
            }
        };
        self.send(&message)?;
        self.send(b"\r\n")
    }

    /// Waits until the server has read everything.
    ///
    /// # Errors
    /// With what the server said against it.
    pub fn flush(&mut self) -> Result<()> {
        self.send(b"PING\r\n")?;
        loop {
            let mut line = String::new();
            if self.read.read_line(&mut line)? == 0 {
                return Err(Error::other("the server closed the connection"));
            }
            match line.trim_end() {
                "PONG" => return Ok(()),
                "PING" => self.send(b"PONG\r\n")?,
                error if error.starts_with("-ERR") => return Err(Error::other(error)),
                _ => {}
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.write.write_all(bytes)
    }
}
