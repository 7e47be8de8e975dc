//! The binary as a process of its own.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// Polls until `probe` gives something.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = probe().await {
            return found;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "waited {PATIENCE:?} in vain until {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A running role; killed when dropped.
pub(crate) struct Role {
    child: Child,
    log: PathBuf,
}

impl Role {
    /// Starts `sluice ARGS --ready-file …` and waits until it is ready.
    pub(crate) async fn start(dir: &Path, name: &str, args: &[&str]) -> (Self, Value) {
        Self::start_in(dir, name, args, &[]).await
    }

    /// As [`Role::start`], with these variables.
    pub(crate) async fn start_in(
        dir: &Path,
        name: &str,
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> (Self, Value) {
        let ready = dir.join(format!("{name}.ready"));
        if ready.exists() {
            std::fs::remove_file(&ready).unwrap();
        }
        let ready_file = ["--ready-file", ready.to_str().unwrap()];
        let mut role = Self::spawn(dir, name, &[args, &ready_file].concat(), environment);
        let content = eventually(&format!("{name} is ready"), async || {
            if let Some(status) = role.child.try_wait().unwrap() {
                panic!("{name} ended with {status}: {}", role.log());
            }
            Some(serde_json::from_slice(&std::fs::read(&ready).ok()?).unwrap())
        })
        .await;
        (role, content)
    }

    /// Starts `sluice ARGS`.
    pub(crate) fn spawn(
        dir: &Path,
        name: &str,
        args: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let log = dir.join(format!("{name}.log"));
        let output = File::options()
            .create(true)
            .append(true)
            .open(&log)
            .unwrap();
        let child = Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(args)
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        Self { child, log }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self::signal(self.pid(), signal);
    }

    /// `kill -9`.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// The exit status, once it has ended by itself.
    pub(crate) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().unwrap()
    }

    /// SIGTERM; gives the exit status.
    pub(crate) async fn stop(mut self) -> std::process::ExitStatus {
        self.signal(Signal::SIGTERM);
        eventually("the role has stopped", async || {
            self.child.try_wait().unwrap()
        })
        .await
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Role {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|status| status.is_none()) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

pub(crate) fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).unwrap();
    kill(Pid::from_raw(pid), signal).unwrap();
}

/// Runs `sluice ARGS` to its end.
pub(crate) async fn run(args: &[&str]) -> Output {
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    tokio::task::spawn_blocking(move || {
        Command::new(env!("CARGO_BIN_EXE_sluice"))
            .args(args)
            .stdin(Stdio::null())
            .output()
            .unwrap()
    })
    .await
    .unwrap()
}

/// Standard output of a run that must succeed.
pub(crate) async fn run_ok(args: &[&str]) -> String {
    let output = run(args).await;
    assert!(
        output.status.success(),
        "sluice {args:?} ended with {}: {}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Bytes that `/proc` tells of a process: `VmHWM:` is the most that it ever had resident.
pub(crate) fn memory(pid: u32, field: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let kibibytes: u64 = line
        .unwrap()
        .trim()
        .strip_suffix(" kB")
        .unwrap()
        .parse()
        .unwrap();
    kibibytes << 10
}
