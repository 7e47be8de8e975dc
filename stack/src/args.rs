//! Flags of the local stack, and the `SLUICE_*` variables behind them.
//!
//! **Invariant:** whatever starts servers takes these as they are.

use std::path::PathBuf;

use crate::{Options, find};

/// Which servers are started and where, and where missing ones are installed.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Keeps the data here; otherwise it is deleted at the end.
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
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

impl Args {
    /// `nats` and `postgres`: whether they are started at all.
    pub fn options(&self, nats: bool, postgres: bool) -> Options {
        Options {
            find: find::Options {
                nats_server: self.nats_server.clone(),
                postgres_bin: self.postgres_bin.clone(),
                install_dir: self.install_dir.clone(),
                install_servers: self.install_servers,
                ..find::Options::default()
            },
            data: self.data.clone(),
            nats,
            postgres,
            nats_port: self.nats_port,
            nats_monitor_port: self.nats_monitor_port,
            postgres_port: self.postgres_port,
        }
    }
}
