//! Versions of servers, as the servers themselves print them.
//!
//! **Invariant:** a version is only ever believed from running the program, never from a path or a package name.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::Duration;

use crate::error::{Error, Result};

/// While a file just written is still open in a process that another thread is forking, running it is refused; this
/// lasts microseconds.
const BUSY_RETRIES_MAX: u32 = 100;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl Version {
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }

    /// The first word of `text` that starts like a version: `nats-server: v2.15.1`, `postgres (PostgreSQL) 15.18 (…)`.
    pub fn parse(text: &str) -> Option<Self> {
        text.split_whitespace().find_map(|word| {
            let word = word.strip_prefix('v').unwrap_or(word);
            let mut numbers = word.split('.').map_while(leading_number);
            let major = numbers.next()?;
            Some(Self::new(
                major,
                numbers.next().unwrap_or(0),
                numbers.next().unwrap_or(0),
            ))
        })
    }

    /// Runs `program --version`.
    pub(crate) fn of(program: &Path, libraries: &[PathBuf]) -> Result<Self> {
        let unusable = |why: String| Error::Unusable {
            path: program.to_owned(),
            why,
        };
        let mut command = Command::new(program);
        command.arg("--version").stdin(Stdio::null());
        add_libraries(&mut command, libraries);
        let output =
            output_once_closed(&mut command).map_err(|error| unusable(error.to_string()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        if !output.status.success() {
            let problem = String::from_utf8_lossy(&output.stderr);
            return Err(unusable(format!("{}: {}", output.status, problem.trim())));
        }
        Self::parse(&text).ok_or_else(|| unusable(format!("it printed no version but {text:?}")))
    }

    pub(crate) fn at_least(self, wanted: Self) -> Result<Self> {
        if self < wanted {
            return Err(Error::TooOld {
                found: self,
                wanted,
            });
        }
        Ok(self)
    }
}

impl fmt::Display for Version {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}.{}", self.major, self.minor)?;
        if self.patch > 0 {
            write!(formatter, ".{}", self.patch)?;
        }
        Ok(())
    }
}

/// Servers unpacked without root find their libraries beside them.
pub(crate) fn add_libraries(command: &mut Command, libraries: &[PathBuf]) {
    if let Ok(joined) = std::env::join_paths(libraries)
        && !libraries.is_empty()
    {
        command.env("LD_LIBRARY_PATH", joined);
    }
}

fn output_once_closed(command: &mut Command) -> io::Result<Output> {
    for _ in 0..BUSY_RETRIES_MAX {
        match command.output() {
            Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {
                thread::sleep(Duration::from_millis(10));
            }
            other => return other,
        }
    }
    command.output()
}

fn leading_number(part: &str) -> Option<u32> {
    let digits = part
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(part.len());
    part[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_servers_print() {
        for (text, expected) in [
            ("nats-server: v2.15.1\n", Some(Version::new(2, 15, 1))),
            ("nats-server: v2.11.0-RC.1", Some(Version::new(2, 11, 0))),
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some(Version::new(15, 18, 0)),
            ),
            (
                "postgres (PostgreSQL) 19beta1",
                Some(Version::new(19, 0, 0)),
            ),
            ("Version: 2.9.10-1+b2", Some(Version::new(2, 9, 10))),
            ("no version", None),
        ] {
            assert_eq!(Version::parse(text), expected, "{text}");
        }
    }
}
