//! The files that a result is written to.
//!
//! Invariant: a path that cannot be written is known before anything is measured, and no file is missing because
//! another one failed.

use std::fs::{self, OpenOptions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use serde::Serialize;

/// Opens each for writing and leaves it as it was.
///
/// # Errors
/// When one of them cannot be written.
pub(super) fn check<const N: usize>(paths: [&Option<PathBuf>; N]) -> anyhow::Result<()> {
    for path in paths.into_iter().flatten() {
        let opened = match OpenOptions::new().write(true).create_new(true).open(path) {
            Ok(_) => fs::remove_file(path),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                OpenOptions::new().append(true).open(path).map(drop)
            }
            Err(error) => Err(error),
        };
        opened.with_context(|| cannot_write(path))?;
    }
    Ok(())
}

/// A file and what belongs into it, if it was made.
pub(super) type Output<'p> = (&'p Path, anyhow::Result<String>);

/// # Errors
/// When some could not be written; the others are.
pub(super) fn write<'p>(outputs: impl IntoIterator<Item = Output<'p>>) -> anyhow::Result<()> {
    let written = outputs.into_iter().map(|(path, text)| {
        text.and_then(|text| Ok(fs::write(path, text)?))
            .with_context(|| cannot_write(path))
    });
    let failures: Vec<_> = written
        .filter_map(|written| written.err().map(|error| format!("{error:#}")))
        .collect();
    ensure!(failures.is_empty(), "{}", failures.join("; "));
    Ok(())
}

pub(super) fn json(value: &impl Serialize) -> anyhow::Result<String> {
    let mut text = serde_json::to_string_pretty(value)?;
    text.push('\n');
    Ok(text)
}

fn cannot_write(path: &Path) -> String {
    format!("writing {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_tried_and_left_as_it_was() {
        let folder = tempfile::tempdir().unwrap();
        let (new, old) = (folder.path().join("new"), folder.path().join("old"));
        fs::write(&old, "before").unwrap();
        check([&Some(new.clone()), &None, &Some(old.clone())]).unwrap();
        assert!(!new.exists());
        assert_eq!(fs::read_to_string(&old).unwrap(), "before");
        for bad in [folder.path().join("no/file"), folder.path().to_owned()] {
            let refused = check([&Some(new.clone()), &Some(bad.clone())]).unwrap_err();
            assert_eq!(refused.to_string(), cannot_write(&bad));
        }
    }

    #[test]
    fn what_can_be_written_is_written_whatever_else_fails() {
        let folder = tempfile::tempdir().unwrap();
        let [first, second, last] =
            ["no/first", "second", "last"].map(|name| folder.path().join(name));
        let failed = write([
            (&*first, Ok("1".to_owned())),
            (&*second, Err(anyhow::anyhow!("not drawn"))),
            (&*last, Ok("3".to_owned())),
        ]);
        let failed = failed.unwrap_err().to_string();
        for part in ["no/first", "second: not drawn"] {
            assert!(failed.contains(part), "{failed}");
        }
        assert!(!second.exists());
        assert_eq!(fs::read_to_string(&last).unwrap(), "3");
    }
}
