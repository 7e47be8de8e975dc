//! One server process that dies with us.
//!
//! **Invariant:** from its first instruction on, a server has a watcher that stops it when this process ends, also by
//! SIGKILL. The watcher is a shell that reads from a pipe we hold: when we are gone the pipe closes. That is portable
//! and needs no `unsafe`, other than a parent-death signal, which moreover follows the thread and not the process.
//!
//! Both have process groups of their own, so that a terminal's Ctrl-C reaches us alone and we stop them in order.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::account::Account;
use crate::version::add_libraries;

/// The server waits for a word before it becomes itself; without it (we died) it never starts.
const GATE: &str = r#"read -r go && exec "$@" </dev/null"#;

/// Arguments: the gentle and the hard signal, the server, what to remove afterwards (or nothing).
const WATCHER: &str = r#"
read -r never
kill -"$1" "$3" 2>/dev/null
tries=0
while kill -0 "$3" 2>/dev/null && [ "$tries" -lt 100 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -"$2" "$3" 2>/dev/null && sleep 1
if [ -n "$4" ]; then rm -rf "$4"; rmdir "$(dirname "$4")"; fi
"#;

const POLL: Duration = Duration::from_millis(10);
const HARD_PATIENCE: Duration = Duration::from_secs(10);

/// What to run, as whom, and how it is asked to stop.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) libraries: Vec<PathBuf>,
    /// Variables that are set unless ours has them already.
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) account: Option<Account>,
    pub(crate) stopping: Stopping,
    /// Removed by the watcher if we die, with its parent if that is empty then.
    pub(crate) remove_when_orphaned: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopping {
    pub(crate) gentle: Signal,
    pub(crate) hard: Signal,
    pub(crate) gentle_patience: Duration,
}

impl Stopping {
    /// Each signal, and how long to wait after it.
    pub(crate) fn steps(self) -> [(Signal, Duration); 2] {
        [
            (self.gentle, self.gentle_patience),
            (self.hard, HARD_PATIENCE),
        ]
    }
}

#[derive(Debug)]
pub(crate) struct Process {
    server: Child,
    watcher: Child,
    stopping: Stopping,
}

/// Spawned and watched, but not let go yet.
pub(crate) struct Gated {
    process: Process,
    gate: ChildStdin,
}

impl Gated {
    pub(crate) fn spawn(launch: &Launch, log: File) -> io::Result<Self> {
        let mut server = Command::new("sh");
        server
            .args(["-c", GATE, "sh"])
            .arg(&launch.program)
            .args(&launch.arguments);
        add_libraries(&mut server, &launch.libraries);
        for (name, value) in &launch.environment {
            if std::env::var_os(name).is_none() {
                server.env(name, value);
            }
        }
        if let Some(account) = &launch.account {
            account.apply(&mut server);
        }
        server
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log);
        let mut server = server.current_dir("/").process_group(0).spawn()?;
        let gate = server.stdin.take().expect("stdin is piped");
        let watcher = match spawn_watcher(launch, server.id()) {
            Ok(watcher) => watcher,
            Err(error) => {
                drop(gate);
                server.wait()?;
                return Err(error);
            }
        };
        let process = Process {
            server,
            watcher,
            stopping: launch.stopping,
        };
        Ok(Self { process, gate })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn release(mut self) -> io::Result<Process> {
        self.gate.write_all(b"go\n")?;
        Ok(self.process)
    }
}

impl Process {
    pub(crate) fn id(&self) -> u32 {
        self.server.id()
    }

    /// `None` while it runs. Once it has exited its watcher is gone too.
    pub(crate) fn exited(&mut self) -> io::Result<Option<ExitStatus>> {
        let exited = self.server.try_wait()?;
        if exited.is_some() {
            self.dismiss_watcher()?;
        }
        Ok(exited)
    }

    pub(crate) fn stop(&mut self) -> io::Result<()> {
        for (signal, patience) in self.stopping.steps() {
            if self.signal_and_wait(signal, patience)? {
                return Ok(());
            }
        }
        self.kill()
    }

    pub(crate) fn kill(&mut self) -> io::Result<()> {
        self.server.kill()?;
        self.server.wait()?;
        self.dismiss_watcher()
    }

    fn signal_and_wait(&mut self, signal: Signal, patience: Duration) -> io::Result<bool> {
        if self.exited()?.is_some() {
            return Ok(true);
        }
        send(self.id(), signal)?;
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if self.exited()?.is_some() {
                return Ok(true);
            }
            thread::sleep(POLL);
        }
        Ok(false)
    }

    fn dismiss_watcher(&mut self) -> io::Result<()> {
        self.watcher.kill()?;
        self.watcher.wait()?;
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            tracing::warn!(pid = self.id(), %error, "a server could not be stopped");
        }
    }
}

/// Sends `signal`; a process that is gone is no error.
pub(crate) fn send(pid: u32, signal: Signal) -> io::Result<()> {
    let pid = i32::try_from(pid).map_err(io::Error::other)?;
    match kill(Pid::from_raw(pid), signal) {
        Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn spawn_watcher(launch: &Launch, server: u32) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", WATCHER, "sluice-watcher"])
        .args(
            launch
                .stopping
                .steps()
                .map(|(signal, _)| signal.as_str().trim_start_matches("SIG")),
        )
        .arg(server.to_string())
        .arg(
            launch
                .remove_when_orphaned
                .as_deref()
                .unwrap_or("".as_ref()),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir("/")
        .process_group(0)
        .spawn()
}
