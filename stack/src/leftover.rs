//! A server that a killed run left on a data folder.
//!
//! **Invariant:** a process is signalled only when its command line names our data folder, since process ids are used
//! again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::kill;
use nix::unistd::Pid;

use crate::error::{Error, Result, io};
use crate::process::{Stopping, send};
use crate::report::Report;

const POLL: Duration = Duration::from_millis(20);

/// How a server on one data folder is recognised and stopped.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) name: &'static str,
    /// Ours, written before the server's first instruction.
    pub(crate) pid_file: PathBuf,
    /// A path that the server's command line contains.
    pub(crate) marker: PathBuf,
    pub(crate) stopping: Stopping,
}

/// Stops the server if one of an earlier run still uses the folder.
pub(crate) fn stop(identity: &Identity, report: &Report) -> Result<()> {
    let Some(pid) = first_number(&identity.pid_file) else {
        return Ok(());
    };
    if !runs_on(pid, &identity.marker) {
        return Ok(());
    }
    let server = identity.name;
    report.say(format!(
        "{server} of an earlier run (process {pid}) still uses this data folder; stopping it"
    ));
    for (signal, patience) in identity.stopping.steps() {
        send(pid, signal).map_err(io(format!("stopping process {pid}")))?;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if !runs_on(pid, &identity.marker) {
                return Ok(());
            }
            thread::sleep(POLL);
        }
    }
    Err(Error::Leftover { server, pid })
}

/// The number on the first line, if the file is there and starts with one.
pub(crate) fn first_number(pid_file: &Path) -> Option<u32> {
    let text = fs::read_to_string(pid_file).ok()?;
    text.lines().next()?.trim().parse().ok()
}

/// Whether the process exists and its command line contains `marker`. A zombie's command line is empty.
pub(crate) fn runs_on(pid: u32, marker: &Path) -> bool {
    command_line(pid).contains(&*marker.to_string_lossy())
}

/// A process of another user counts as absent, as it does for Postgres.
pub(crate) fn exists(pid: u32) -> bool {
    i32::try_from(pid).is_ok_and(|pid| kill(Pid::from_raw(pid), None).is_ok())
}

fn command_line(pid: u32) -> String {
    if let Ok(bytes) = fs::read(format!("/proc/{pid}/cmdline")) {
        return String::from_utf8_lossy(&bytes).replace('\0', " ");
    }
    let listed = Command::new("ps")
        .args(["-o", "command=", "-p", &pid.to_string()])
        .output();
    listed.map_or_else(
        |_| String::new(),
        |output| String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}
