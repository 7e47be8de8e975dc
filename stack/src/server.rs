//! What nats-server and Postgres have in common: start, wait until ready, kill, restart, stop.
//!
//! **Invariant:** `process` holds the one process that uses the data folder, or nothing; whoever changes that holds its
//! lock, and a start first stops what an earlier run left.

use std::fmt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use crate::data::DataDir;
use crate::error::{Error, Result, blocking, io};
use crate::leftover::{self, Identity};
use crate::logs;
use crate::process::{Gated, Launch, Process};
use crate::report::Report;

const POLL: Duration = Duration::from_millis(10);
const SLOW_START: Duration = Duration::from_secs(5);
const RETRY_PAUSE: Duration = Duration::from_millis(200);
const RETRY_PATIENCE: Duration = Duration::from_mins(1);

/// How one kind of server is run.
pub(crate) struct Plan {
    pub(crate) identity: Identity,
    pub(crate) launch: Launch,
    pub(crate) log: PathBuf,
    pub(crate) ready_within: Duration,
    /// Whether the process with this id answers.
    pub(crate) ready: Box<dyn Fn(u32) -> bool + Send + Sync>,
    /// Whether what it logged before it exited says that another try will do.
    pub(crate) worth_another_try: fn(&str) -> bool,
}

pub(crate) struct Server {
    process: Mutex<Option<Process>>,
    /// 0 when it does not run; apart from `process` so that asking never waits for a start.
    pid: AtomicU32,
    plan: Plan,
    report: Report,
    /// Dropped last: a temporary folder goes after its server.
    _data: DataDir,
}

impl Server {
    /// Starts the server and waits until it answers.
    pub(crate) fn start(plan: Plan, data: DataDir, report: Report) -> Result<Arc<Self>> {
        let server = Arc::new(Self {
            process: Mutex::new(None),
            pid: AtomicU32::new(0),
            plan,
            report,
            _data: data,
        });
        server.start_locked(&mut server.lock())?;
        Ok(server)
    }

    pub(crate) fn pid(&self) -> Option<u32> {
        match self.pid.load(Ordering::Relaxed) {
            0 => None,
            pid => Some(pid),
        }
    }

    pub(crate) fn kill(&self) -> Result<()> {
        self.end("killing", Process::kill)
    }

    pub(crate) async fn stop(self: &Arc<Self>) -> Result<()> {
        let server = Arc::clone(self);
        blocking("stopping a server", move || server.stop_and_wait()).await
    }

    pub(crate) async fn restart(self: &Arc<Self>) -> Result<()> {
        let server = Arc::clone(self);
        blocking("restarting a server", move || server.restart_and_wait()).await
    }

    pub(crate) fn restart_and_wait(&self) -> Result<()> {
        self.stop_and_wait()?;
        self.start_locked(&mut self.lock())
    }

    fn stop_and_wait(&self) -> Result<()> {
        self.end("stopping", Process::stop)
    }

    /// The status of a server that ended without being asked, once. Never waits: a start or stop under way is no death.
    pub(crate) fn died(&self) -> Option<ExitStatus> {
        let mut process = self.process.try_lock().ok()?;
        let status = process.as_mut()?.exited().ok()??;
        *process = None;
        self.pid.store(0, Ordering::Relaxed);
        Some(status)
    }

    pub(crate) fn log_tail(&self) -> String {
        logs::tail(&self.plan.log, 0)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn end(&self, doing: &str, end: fn(&mut Process) -> std::io::Result<()>) -> Result<()> {
        let mut process = self.lock();
        if let Some(running) = process.as_mut() {
            end(running).map_err(io(format!("{doing} {}", self.plan.identity.name)))?;
        }
        *process = None;
        self.pid.store(0, Ordering::Relaxed);
        Ok(())
    }

    fn start_locked(&self, process: &mut Option<Process>) -> Result<()> {
        let plan = &self.plan;
        leftover::stop(&plan.identity, &self.report)?;
        let deadline = Instant::now() + RETRY_PATIENCE;
        loop {
            match self.start_once() {
                Ok(started) => {
                    self.pid.store(started.id(), Ordering::Relaxed);
                    *process = Some(started);
                    return Ok(());
                }
                Err(Error::NotStarted { log, .. })
                    if (plan.worth_another_try)(&log) && Instant::now() < deadline =>
                {
                    thread::sleep(RETRY_PAUSE);
                }
                Err(error) => return Err(error),
            }
        }
    }

    fn start_once(&self) -> Result<Process> {
        let plan = &self.plan;
        let doing = || format!("starting {}", plan.identity.name);
        let (log, log_start) = logs::open(&plan.log)?;
        let gated = Gated::spawn(&plan.launch, log).map_err(io(doing()))?;
        std::fs::write(&plan.identity.pid_file, format!("{}\n", gated.id()))
            .map_err(io(doing()))?;
        let mut process = gated.release().map_err(io(doing()))?;
        let not_started = |why: String| Error::NotStarted {
            server: plan.identity.name,
            why,
            log: logs::tail(&plan.log, log_start),
        };
        let begun = Instant::now();
        let mut said = false;
        loop {
            if let Some(status) = process.exited().map_err(io(doing()))? {
                return Err(not_started(format!("it ended with {status}")));
            }
            if (plan.ready)(process.id()) {
                return Ok(process);
            }
            if begun.elapsed() > plan.ready_within {
                return Err(not_started(format!(
                    "no answer within {:?}",
                    plan.ready_within
                )));
            }
            if begun.elapsed() > SLOW_START && !said {
                said = true;
                self.report.say(format!(
                    "{} is still starting, perhaps recovering",
                    plan.identity.name
                ));
            }
            thread::sleep(POLL);
        }
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Server")
            .field("name", &self.plan.identity.name)
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}
