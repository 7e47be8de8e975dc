//! Both servers for `sluice up` and `sluice demo`: found or installed, started, watched over, stopped.
//!
//! **Invariant:** a data folder has one stack at a time, and a server that dies by itself comes back on the same ports.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use nix::fcntl::Flock;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::data::DataDir;
use crate::error::{Result, blocking};
use crate::nats::{Nats, NatsOptions};
use crate::postgres::{Postgres, PostgresOptions};
use crate::report::Report;
use crate::supervise::{self, GivenUp};
use crate::{find, leftover, nats, ports, postgres};

const DATABASE: &str = "sluice";

#[derive(Debug, Clone)]
pub struct Options {
    pub find: find::Options,
    /// `None`: a temporary folder, removed at the end.
    pub data: Option<PathBuf>,
    /// Whether to start a nats-server; not when the caller has one.
    pub nats: bool,
    /// Whether to start a Postgres; not when the caller has one.
    pub postgres: bool,
    /// These three: 0 picks a free one.
    pub nats_port: u16,
    pub nats_monitor_port: u16,
    pub postgres_port: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            find: find::Options::default(),
            data: None,
            nats: true,
            postgres: true,
            nats_port: 0,
            nats_monitor_port: 0,
            postgres_port: 0,
        }
    }
}

/// The running servers; stopped when dropped, better with [`Stack::stop`].
#[derive(Debug)]
pub struct Stack {
    nats: Option<Arc<Nats>>,
    postgres: Option<Arc<Postgres>>,
    supervisor: JoinHandle<()>,
    given_up: watch::Receiver<Option<GivenUp>>,
    data: DataDir,
    report: Report,
    _lock: Option<Flock<File>>,
}

impl Stack {
    /// Finds or installs the servers, starts them, and creates the database `sluice`.
    ///
    /// # Errors
    /// When a server is missing and cannot be installed, a port is taken, the data folder is in use, or a server does
    /// not start.
    pub async fn start(options: Options, report: Report) -> Result<Self> {
        let saying = report.clone();
        let started = blocking("starting the stack", move || {
            start_servers(&options, &saying)
        })
        .await?;
        let Servers {
            data,
            lock,
            nats,
            postgres,
        } = started;
        if let Some(postgres) = &postgres {
            postgres.create_database(DATABASE).await?;
        }
        let watched = [
            nats.as_ref()
                .map(|nats| ("nats-server", Arc::clone(&nats.server))),
            postgres
                .as_ref()
                .map(|postgres| ("Postgres", Arc::clone(&postgres.server))),
        ];
        let (failing, given_up) = watch::channel(None);
        let watched = watched.into_iter().flatten().collect();
        let supervisor = tokio::spawn(supervise::run(watched, report.clone(), failing));
        Ok(Self {
            nats,
            postgres,
            supervisor,
            given_up,
            data,
            report,
            _lock: lock,
        })
    }

    /// With user and password. `None` when the stack runs no nats-server.
    pub fn nats_url(&self) -> Option<String> {
        self.nats.as_ref().map(|nats| nats.url())
    }

    pub fn nats_monitor_url(&self) -> Option<String> {
        self.nats.as_ref().map(|nats| nats.monitor_url())
    }

    /// Of the database `sluice`, with user and password. `None` when the stack runs no Postgres.
    pub fn postgres_url(&self) -> Option<String> {
        self.postgres
            .as_ref()
            .map(|postgres| postgres.url(DATABASE))
    }

    /// The same for what runs beside it, over a Unix socket where there is one.
    pub fn postgres_local_url(&self) -> Option<String> {
        self.postgres
            .as_ref()
            .map(|postgres| postgres.local_url(DATABASE))
    }

    /// Process ids by name, `nats` and `postgres`, of those that run now.
    pub fn pids(&self) -> BTreeMap<&'static str, u32> {
        let nats = self.nats.as_ref().and_then(|nats| nats.pid());
        let postgres = self.postgres.as_ref().and_then(|postgres| postgres.pid());
        [("nats", nats), ("postgres", postgres)]
            .into_iter()
            .filter_map(|(name, pid)| Some((name, pid?)))
            .collect()
    }

    /// Waits until a server died so often that it is no longer restarted, and says which and why.
    pub async fn given_up(&self) -> GivenUp {
        let mut given_up = self.given_up.clone();
        loop {
            if let Some(reason) = given_up.borrow_and_update().clone() {
                return reason;
            }
            if given_up.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Stops both servers in order, and removes a temporary data folder.
    ///
    /// # Errors
    /// When a server cannot be stopped.
    pub async fn stop(self) -> Result<()> {
        self.supervisor.abort();
        if let Some(nats) = &self.nats {
            nats.stop().await?;
        }
        if let Some(postgres) = &self.postgres {
            postgres.stop().await?;
        }
        if self.data.is_temporary() {
            self.report.say("servers stopped, temporary data deleted");
        } else {
            let path = self.data.path().display();
            self.report
                .say(format!("servers stopped, data kept in {path}"));
        }
        Ok(())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.supervisor.abort();
    }
}

struct Servers {
    data: DataDir,
    lock: Option<Flock<File>>,
    nats: Option<Arc<Nats>>,
    postgres: Option<Arc<Postgres>>,
}

fn start_servers(options: &Options, report: &Report) -> Result<Servers> {
    let data = match &options.data {
        Some(path) => DataDir::kept(path)?,
        None => DataDir::temporary()?,
    };
    let lock = data.lock()?;
    // The servers of a killed run may still be stopping, on the ports that we are asked to use.
    leftover::stop(&nats::identity(&data)?, report)?;
    leftover::stop(&postgres::identity(&data)?, report)?;
    check_ports(options)?;
    let nats_server = options
        .nats
        .then(|| find::nats_server(&options.find, report))
        .transpose()?;
    let postgres_binaries = options
        .postgres
        .then(|| find::postgres(&options.find, report))
        .transpose()?;
    let path = data.path().display();
    if data.is_temporary() {
        report.say(format!(
            "data goes to {path} and will be deleted at the end (--data keeps it)"
        ));
    } else {
        report.say(format!("data is kept in {path}"));
    }
    let nats = nats_server
        .map(|found| {
            let nats_options = NatsOptions {
                port: options.nats_port,
                monitor_port: options.nats_monitor_port,
                ..NatsOptions::new(found.program, data.clone())
            };
            Nats::start_and_wait(&nats_options, report).map(Arc::new)
        })
        .transpose()?;
    let postgres = postgres_binaries
        .map(|binaries| {
            let postgres_options = PostgresOptions {
                port: options.postgres_port,
                ..PostgresOptions::new(binaries, data.clone())
            };
            Postgres::start_and_wait(&postgres_options, report).map(Arc::new)
        })
        .transpose()?;
    Ok(Servers {
        data,
        lock,
        nats,
        postgres,
    })
}

fn check_ports(options: &Options) -> Result<()> {
    if options.nats {
        ports::check_free(options.nats_port, "--nats-port")?;
        ports::check_free(options.nats_monitor_port, "--nats-monitor-port")?;
    }
    if options.postgres {
        ports::check_free(options.postgres_port, "--postgres-port")?;
    }
    Ok(())
}
