//! A connection that ends when its client does not read.
//!
//! Invariant: an answer that cannot be written makes progress or ends its connection, so that nobody makes this
//! process keep bytes for ever by not taking them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// What has to be taken within the time for a blocked answer. The system tells of room for writing in pieces larger
/// than this, so a smaller one is the end of an answer.
const BYTES_MIN: usize = 16 << 10;

/// A stream whose writes are given up when a client takes too little for too long.
#[derive(Debug)]
pub(crate) struct Paced {
    stream: TcpStream,
    time_max: Duration,
    blocked: Option<Blocked>,
}

/// Since the system took no more.
#[derive(Debug)]
struct Blocked {
    until: Pin<Box<Sleep>>,
    bytes: usize,
}

impl Paced {
    pub(crate) fn new(stream: TcpStream, time_max: Duration) -> Self {
        Self {
            stream,
            time_max,
            blocked: None,
        }
    }

    fn paced(
        &mut self,
        written: Poll<io::Result<usize>>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(bytes)) => {
                if let Some(blocked) = &mut self.blocked {
                    blocked.bytes += bytes;
                }
                self.blocked.take_if(|blocked| blocked.bytes >= BYTES_MIN);
                Poll::Ready(Ok(bytes))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let time_max = self.time_max;
                let blocked = self.blocked.get_or_insert_with(|| Blocked {
                    until: Box::pin(tokio::time::sleep(time_max)),
                    bytes: 0,
                });
                ready!(blocked.until.as_mut().poll(context));
                Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "the client does not read its answer",
                )))
            }
        }
    }
}

impl AsyncRead for Paced {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Paced {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.paced(written, context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.paced(written, context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    /// Called when an answer is written: the next one has its own time.
    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.blocked = None;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
