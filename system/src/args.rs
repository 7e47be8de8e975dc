//! Flags that several commands share, and the `SLUICE_*` variables behind them.
//!
//! Invariant: a flag means the same wherever it stands.

use std::net::SocketAddr;
use std::path::PathBuf;

use anyhow::Context;
use clap::Args;

/// Servers that already run.
#[derive(Debug, Clone, Args)]
pub struct Servers {
    /// nats-server, as nats://user:password@host:port
    #[arg(long, value_name = "URL", env = "SLUICE_NATS", hide_env_values = true)]
    pub nats: Option<String>,
    /// nats-server's monitoring port, as http://host:port; it tells whether an acknowledgement means "on disk".
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
}

/// How the streams are created where they are missing.
#[derive(Debug, Clone, Args)]
pub struct StreamArgs {
    /// Partitions of a new log; fixed once it exists.
    #[arg(long, default_value_t = streams::PARTITIONS_DEFAULT, value_name = "P", env = "SLUICE_PARTITIONS",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(streams::PARTITIONS_MAX)))]
    pub partitions: u16,
    /// Copies of each stream, in a cluster.
    #[arg(long, default_value_t = 1, value_name = "N", env = "SLUICE_REPLICAS")]
    pub replicas: usize,
    /// Bytes that COMMANDS may hold; when they are used up, transfers are answered with 503 `log_full`.
    #[arg(long, value_name = "BYTES", env = "SLUICE_COMMANDS_BYTES_MAX")]
    pub commands_bytes_max: Option<i64>,
    /// Bytes that EVENTS may hold; when they are used up, processors wait.
    #[arg(long, value_name = "BYTES", env = "SLUICE_EVENTS_BYTES_MAX")]
    pub events_bytes_max: Option<i64>,
}

impl StreamArgs {
    pub fn settings(&self) -> streams::Settings {
        streams::Settings {
            partitions: self.partitions,
            replicas: self.replicas,
            commands_bytes_max: self.commands_bytes_max,
            events_bytes_max: self.events_bytes_max,
            ..streams::Settings::default()
        }
    }
}

/// Which servers are started, and where missing ones are installed.
#[derive(Debug, Clone, Args)]
pub struct Programs {
    /// The nats-server to use.
    #[arg(long, value_name = "PATH", env = "SLUICE_NATS_SERVER")]
    pub nats_server: Option<PathBuf>,
    /// The folder that holds the `postgres` to use.
    #[arg(long, value_name = "DIR", env = "SLUICE_POSTGRES_BIN")]
    pub postgres_bin: Option<PathBuf>,
    /// Where missing servers are installed.
    #[arg(
        long,
        value_name = "DIR",
        default_value = ".sluice",
        env = "SLUICE_INSTALL_DIR"
    )]
    pub install_dir: PathBuf,
    /// Passes over the servers of this machine and installs both.
    #[arg(long, env = "SLUICE_INSTALL_SERVERS", value_parser = clap::builder::FalseyValueParser::new())]
    pub install_servers: bool,
}

impl Programs {
    pub fn find_options(&self) -> stack::find::Options {
        stack::find::Options {
            nats_server: self.nats_server.clone(),
            postgres_bin: self.postgres_bin.clone(),
            install_dir: self.install_dir.clone(),
            install_servers: self.install_servers,
            ..stack::find::Options::default()
        }
    }
}

/// The servers that `up` and `demo` start themselves.
#[derive(Debug, Clone, Args)]
pub struct StackArgs {
    #[command(flatten)]
    pub servers: Servers,
    #[command(flatten)]
    pub streams: StreamArgs,
    /// Keeps the data here; otherwise it is deleted at the end.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Where the HTTP API listens; port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        env = "SLUICE_LISTEN"
    )]
    pub listen: SocketAddr,
    /// Writes addresses, keys and process ids here, as JSON, once everything answers.
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
    #[command(flatten)]
    pub programs: Programs,
    /// Port of nats-server; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub nats_port: u16,
    /// Port of nats-server's monitoring; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub nats_monitor_port: u16,
    /// Port of Postgres; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub postgres_port: u16,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sluice up                              everything in a temporary folder\n  sluice up --data ./sluice-data         keeps its data\n  sluice up --nats nats://… --nats-monitor http://… --database postgres://…   on servers that already run"
)]
pub struct UpArgs {
    #[command(flatten)]
    pub stack: StackArgs,
}
