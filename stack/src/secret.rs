//! Passwords of the local servers.
//!
//! **Invariant:** a password is drawn once per data folder, readable by its owner only, and complete or absent.

use std::fmt::Write as _;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::error::{Result, io};

/// 128 random bits as 32 hex digits.
pub(crate) fn random_hex() -> Result<String> {
    let mut bytes = [0_u8; 16];
    getrandom::fill(&mut bytes)
        .map_err(|error| io("drawing a random password")(io::Error::other(error)))?;
    Ok(hex(&bytes))
}

/// The password in `file`, drawn and written there if this is the first time.
pub(crate) fn kept_in(file: &Path) -> Result<String> {
    match fs::read_to_string(file) {
        Ok(password) => Ok(password.trim().to_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let password = random_hex()?;
            write_private(file, &password)?;
            Ok(password)
        }
        Err(error) => Err(io(format!("reading {}", file.display()))(error)),
    }
}

/// Replaces `file` in one step with `content`, readable by its owner only.
pub(crate) fn write_private(file: &Path, content: &str) -> Result<()> {
    let fresh = file.with_extension("new");
    let write = || {
        if fresh.exists() {
            fs::remove_file(&fresh)?;
        }
        let mut handle = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&fresh)?;
        handle.write_all(content.as_bytes())?;
        handle.sync_all()?;
        fs::rename(&fresh, file)
    };
    write().map_err(io(format!("writing {}", file.display())))
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("a String takes everything");
        text
    })
}
