//! Ports on loopback.
//!
//! **Invariant:** ports picked here lie below the range that the system hands to outgoing connections, so that a port
//! stays ours between a server's death and its restart.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use crate::error::{Error, Result, io};

const FIRST: u16 = 20_000;
const COUNT: u16 = 12_000;
const TRIES_MAX: u32 = 1_000;

/// `wanted`, or a free port if it is 0. Drawn at random, since other processes pick at the same time.
pub(crate) fn resolve(wanted: u16) -> Result<u16> {
    if wanted != 0 {
        return Ok(wanted);
    }
    for _ in 0..TRIES_MAX {
        let random = getrandom::u32()
            .map_err(|error| io("drawing a random port")(std::io::Error::other(error)))?;
        let offset = u16::try_from(random % u32::from(COUNT)).expect("COUNT fits");
        if is_free(FIRST + offset) {
            return Ok(FIRST + offset);
        }
    }
    Err(Error::NoFreePort)
}

/// # Errors
/// [`Error::PortTaken`], naming the flag that chooses another one. Port 0 is never taken.
pub(crate) fn check_free(port: u16, flag: &'static str) -> Result<()> {
    if is_free(port) {
        return Ok(());
    }
    Err(Error::PortTaken { port, flag })
}

pub(crate) fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

fn is_free(port: u16) -> bool {
    TcpListener::bind(loopback(port)).is_ok()
}
