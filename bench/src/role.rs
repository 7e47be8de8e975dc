//! A role as a process of its own: this very program, started again.
//!
//! Invariant: it ends when this process does, however that ends.

use std::fs::{self, File};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

const START_MAX: Duration = Duration::from_mins(1);
const STOP_MAX: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);
const SHOWN_BYTES_MAX: usize = 4000;

/// A running role; killed when dropped, better ended with [`Role::stop`].
pub(super) struct Role {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Role {
    /// Starts `sluice ARGS --ready-file …` and waits until it is ready; gives what it wrote there. What is secret
    /// goes through the environment, which others cannot read.
    pub(super) async fn start(
        folder: &Path,
        name: &str,
        args: &[String],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<(Self, Value)> {
        let (ready, log) = (
            folder.join(format!("{name}.ready")),
            folder.join(format!("{name}.log")),
        );
        let output = File::create(&log).with_context(|| format!("creating {}", log.display()))?;
        let program = std::env::current_exe().context("looking for this program")?;
        let child = Command::new(program)
            .args(args)
            .arg("--ready-file")
            .arg(&ready)
            .args(["--end-with-parent", "--log", "warn"])
            .envs(environment.iter().copied())
            .stdin(Stdio::piped())
            .stdout(output.try_clone().context("sharing a log file")?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        let mut role = Self {
            name: name.to_owned(),
            child,
            log,
        };
        let started = Instant::now();
        loop {
            if let Ok(content) = fs::read(&ready) {
                let content = serde_json::from_slice(&content)
                    .with_context(|| format!("reading what {name} wrote"))?;
                return Ok((role, content));
            }
            role.check()?;
            if started.elapsed() > START_MAX {
                bail!(
                    "{name} is not ready after {} s: {}",
                    START_MAX.as_secs(),
                    role.last_words()
                );
            }
            tokio::time::sleep(POLL).await;
        }
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// # Errors
    /// When it ended by itself.
    pub(super) fn check(&mut self) -> anyhow::Result<()> {
        match self.child.try_wait() {
            Ok(Some(status)) => {
                bail!("{} ended with {status}: {}", self.name, self.last_words())
            }
            Ok(None) => Ok(()),
            Err(error) => Err(error).with_context(|| format!("waiting for {}", self.name)),
        }
    }

    /// Asks it to end and waits.
    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        let pid = i32::try_from(self.pid()).context("process ids fit 31 bits")?;
        if self.child.try_wait()?.is_none() {
            kill(Pid::from_raw(pid), Signal::SIGTERM)
                .with_context(|| format!("stopping {}", self.name))?;
        }
        let started = Instant::now();
        while self.child.try_wait()?.is_none() {
            if started.elapsed() > STOP_MAX {
                tracing::warn!("{} does not end; it is killed", self.name);
                return Ok(());
            }
            tokio::time::sleep(POLL).await;
        }
        Ok(())
    }

    fn last_words(&self) -> String {
        let log = fs::read(&self.log).unwrap_or_default();
        let start = log.len().saturating_sub(SHOWN_BYTES_MAX);
        String::from_utf8_lossy(&log[start..]).trim().to_owned()
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
