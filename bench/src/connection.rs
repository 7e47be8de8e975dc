//! One connection of the load generator.
//!
//! Invariant: one request at a time, and never a second one before the answer to the first is complete.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};

use super::answer::Answer;

const INPUT_BYTES: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    token: Token,
    output: Vec<u8>,
    written: usize,
    input: Vec<u8>,
    filled: usize,
    /// The request that is under way, and when it was due, as nanoseconds since the epoch.
    pub(super) busy: Option<(u64, i64)>,
    is_connected: bool,
}

/// The connection is of no more use.
#[derive(Debug)]
pub(super) struct Broken;

impl Connection {
    pub(super) fn open(
        address: SocketAddr,
        token: Token,
        registry: &Registry,
    ) -> std::io::Result<Self> {
        let mut stream = TcpStream::connect(address)?;
        registry.register(
            &mut stream,
            token,
            Interest::READABLE.add(Interest::WRITABLE),
        )?;
        Ok(Self {
            stream,
            token,
            output: Vec::new(),
            written: 0,
            input: vec![0; INPUT_BYTES],
            filled: 0,
            busy: None,
            is_connected: false,
        })
    }

    /// Opens the connection again, keeping its buffers.
    pub(super) fn reopen(
        &mut self,
        address: SocketAddr,
        registry: &Registry,
    ) -> std::io::Result<()> {
        let fresh = Self::open(address, self.token, registry)?;
        self.stream = fresh.stream;
        (self.filled, self.written, self.busy) = (0, 0, None);
        self.output.clear();
        self.is_connected = false;
        Ok(())
    }

    /// Whether the connection has just been made.
    pub(super) fn connected(&mut self) -> Result<bool, Broken> {
        if self.is_connected {
            return Ok(false);
        }
        if self.stream.take_error().ok().flatten().is_some() {
            return Err(Broken);
        }
        match self.stream.peer_addr() {
            Ok(_) => {
                self.stream.set_nodelay(true).map_err(|_| Broken)?;
                self.is_connected = true;
                Ok(true)
            }
            Err(error) if error.kind() == ErrorKind::NotConnected => Ok(false),
            Err(_) => Err(Broken),
        }
    }

    /// Sends what `write` puts into the buffer.
    pub(super) fn send(
        &mut self,
        request: (u64, i64),
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Broken> {
        debug_assert!(self.busy.is_none());
        self.busy = Some(request);
        write(&mut self.output);
        self.written = 0;
        self.flush()
    }

    /// Goes on writing what did not fit into the socket.
    pub(super) fn flush(&mut self) -> Result<(), Broken> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(0) => return Err(Broken),
                Ok(written) => self.written += written,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken),
            }
        }
        Ok(())
    }

    /// Reads what is there; gives the answer once it is complete.
    pub(super) fn receive(&mut self) -> Result<Option<Answer>, Broken> {
        loop {
            if self.filled == self.input.len() {
                self.input.resize(2 * self.filled, 0);
            }
            match self.stream.read(&mut self.input[self.filled..]) {
                Ok(0) => return Err(Broken),
                Ok(read) => {
                    self.filled += read;
                    // A short read leaves the socket empty (epoll(7)): no second call is needed to see that.
                    if self.filled < self.input.len() {
                        break;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return Err(Broken),
            }
        }
        if self.filled == 0 {
            return Ok(None);
        }
        match (
            Answer::parse(&self.input[..self.filled]),
            self.busy.is_some(),
        ) {
            (Ok(answer), true) => Ok(answer),
            _ => Err(Broken),
        }
    }

    pub(super) fn body(&self, answer: &Answer) -> &[u8] {
        answer.body(&self.input[..self.filled])
    }

    /// Ready for the next request.
    pub(super) fn finish(&mut self) {
        self.filled = 0;
        self.busy = None;
    }
}
