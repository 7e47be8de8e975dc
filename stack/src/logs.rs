//! The servers' own log files.
//!
//! **Invariant:** a log file holds what the server wrote since its last start, plus at most one older file; it cannot
//! grow over many runs.

use std::fs::{self, File, OpenOptions};
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use crate::error::{Result, io};

const KEPT_BYTES_MAX: u64 = 16 << 20;
const TAIL_LINES: usize = 20;
const TAIL_BYTES: u64 = 16 << 10;

/// Opens the log for appending; a long one becomes `….1` first. Returns the length it has now.
pub(crate) fn open(path: &Path) -> Result<(File, u64)> {
    let doing = || format!("opening the log {}", path.display());
    let length = path.metadata().map_or(0, |metadata| metadata.len());
    if length > KEPT_BYTES_MAX {
        fs::rename(path, path.with_extension("log.1")).map_err(io(doing()))?;
    }
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .open(path)
        .map_err(io(doing()))?;
    let length = file.metadata().map_err(io(doing()))?.len();
    Ok((file, length))
}

/// The last lines written after `start`.
pub(crate) fn tail(path: &Path, start: u64) -> String {
    let read = || {
        let mut file = File::open(path)?;
        let length = file.metadata()?.len();
        file.seek(SeekFrom::Start(
            start.max(length.saturating_sub(TAIL_BYTES)),
        ))?;
        let mut bytes = Vec::new();
        file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
        Ok::<_, std::io::Error>(bytes)
    };
    match read() {
        Ok(bytes) => last_lines(&String::from_utf8_lossy(&bytes)),
        Err(error) => format!("({} cannot be read: {error})", path.display()),
    }
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
}
