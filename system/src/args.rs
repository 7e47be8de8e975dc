//! Flags that several commands share, and the `SLUICE_*` variables behind them.
//!
//! Invariant: a flag means the same wherever it stands.

use std::path::PathBuf;

use anyhow::Context;
use clap::Args;
use stack::Stack;

use crate::AllRoles;

/// Servers that already run.
#[derive(Debug, Clone, Args)]
pub struct Servers {
    /// nats-server, as nats://user:password@host:port
    #[arg(long, value_name = "URL", env = "SLUICE_NATS", hide_env_values = true)]
    pub nats: Option<String>,
    /// nats-server's monitoring port, as http://host:port; it tells whether an acknowledgement means "on disk". Of every
    /// server that keeps COMMANDS, separated by commas.
    #[arg(long, value_name = "URL", env = "SLUICE_NATS_MONITOR")]
    pub nats_monitor: Option<String>,
    /// Postgres, as postgres://user:password@host:port/database
    #[arg(
        long,
        value_name = "URL",
        env = "SLUICE_DATABASE",
        hide_env_values = true
    )]
    pub database: Option<String>,
}

impl Servers {
    pub fn nats(&self) -> anyhow::Result<&str> {
        self.nats
            .as_deref()
            .context("which nats-server? Give --nats URL or set SLUICE_NATS")
    }

    pub fn database(&self) -> anyhow::Result<&str> {
        self.database
            .as_deref()
            .context("which Postgres? Give --database URL or set SLUICE_DATABASE")
    }

    /// For a process of its own: addresses hold passwords, and others can read a command line.
    pub fn environment(&self) -> Vec<(&'static str, &str)> {
        [
            ("SLUICE_NATS", &self.nats),
            ("SLUICE_NATS_MONITOR", &self.nats_monitor),
            ("SLUICE_DATABASE", &self.database),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
        .collect()
    }

    /// These, and ours where none were given. A monitoring port belongs to its nats-server.
    #[must_use]
    pub fn or_of(&self, stack: &Stack) -> Self {
        let (nats, nats_monitor) = match &self.nats {
            Some(nats) => (Some(nats.clone()), self.nats_monitor.clone()),
            None => (stack.nats_url(), stack.nats_monitor_url()),
        };
        Self {
            nats,
            nats_monitor,
            database: self.database.clone().or_else(|| stack.postgres_local_url()),
        }
    }

    /// Postgres, as anybody on this machine reaches it.
    pub fn shown_database(&self, stack: Option<&Stack>) -> Option<String> {
        let ours = stack.and_then(Stack::postgres_url);
        ours.or_else(|| self.database.clone())
    }
}

/// The whole system, on servers of its own or given ones.
#[derive(Debug, Clone, Args)]
pub struct StackArgs {
    #[command(flatten)]
    pub servers: Servers,
    #[command(flatten)]
    pub streams: streams::Args,
    #[command(flatten)]
    pub roles: AllRoles,
    /// Writes addresses, keys and process ids here, as JSON, once everything answers.
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    #[command(flatten)]
    pub programs: stack::Args,
}

impl StackArgs {
    /// What of it is started here.
    pub fn options(&self) -> stack::Options {
        let given = &self.servers;
        self.programs
            .options(given.nats.is_none(), given.database.is_none())
    }
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sluice up                              everything in a temporary folder\n  sluice up --data ./sluice-data         keeps its data\n  sluice up --nats nats://… --nats-monitor http://… --database postgres://…   on servers that already run"
)]
pub struct UpArgs {
    #[command(flatten)]
    pub stack: StackArgs,
}
