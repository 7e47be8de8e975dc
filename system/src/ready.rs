//! The ready file: where everything answers, as JSON.
//!
//! Invariant: whoever sees the file sees all of it, and only its owner can read the keys in it.

use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use anyhow::Context;
use serde_json::Value;

/// Writes `content` next to `path` and renames it into place.
pub fn write(path: &Path, content: &Value) -> anyhow::Result<()> {
    let unfinished = path.with_extension("unfinished");
    let write = || -> std::io::Result<()> {
        let file = std::fs::OpenOptions::new()
            .create(true)
            .truncate(true)
            .write(true)
            .mode(0o600)
            .open(&unfinished)?;
        serde_json::to_writer_pretty(&file, content)?;
        file.sync_all()?;
        std::fs::rename(&unfinished, path)
    };
    write().with_context(|| format!("writing the ready file {}", path.display()))
}
