//! What is measured: a system of our own, each role a process, or one that runs already.
//!
//! Invariant: everything that was started is stopped, also after an error.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context;
use ingest::{Scope, admin};
use schemas::LedgerName;
use serde_json::{Value, json};
use sqlx::PgPool;
use stack::{Report, Stack};
use tempfile::TempDir;

use super::request::Target;
use super::role::Role;
use super::usage::{Pids, Tree};
use crate::args::{LoadArgs, SystemArgs};
use crate::client::authority;
use system::{Servers, connect, migrate};

pub(super) const LEDGER: &str = "bench";

pub(super) struct System {
    pub(super) target: Target,
    pub(super) servers: Servers,
    /// `None` where the address is not known.
    pub(super) log: Option<streams::Log>,
    pub(super) database: Option<PgPool>,
    pub(super) seed: u64,
    /// Number of the next transfer of this seed.
    pub(super) next: u64,
    /// Whether we started it, and may put on its log what we like.
    pub(super) is_ours: bool,
    stack: Option<Stack>,
    ingest: Option<Role>,
    processors: Vec<Role>,
    folder: TempDir,
}

impl System {
    pub(super) async fn start(args: &SystemArgs, load: &LoadArgs) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("making a temporary folder")?;
        match (&args.api, &args.key) {
            (Some(api), Some(key)) => Self::given(args, load, api, key, folder).await,
            _ => Self::our_own(args, load, folder).await,
        }
    }

    async fn given(
        args: &SystemArgs,
        load: &LoadArgs,
        api: &str,
        key: &str,
        folder: TempDir,
    ) -> anyhow::Result<Self> {
        let authority = authority(api)?;
        let log = match &args.servers.nats {
            Some(url) => Some(connect::open_log(url, "bench").await?),
            None => None,
        };
        let database = match &args.servers.database {
            Some(url) => Some(connect::open_database(url, "bench").await?),
            None => None,
        };
        Ok(Self {
            target: Target {
                authority,
                key: key.to_owned(),
            },
            servers: args.servers.clone(),
            log,
            database,
            seed: load.seed.unwrap_or_else(another_seed),
            next: 0,
            is_ours: false,
            stack: None,
            ingest: None,
            processors: Vec::new(),
            folder,
        })
    }

    async fn our_own(args: &SystemArgs, load: &LoadArgs, folder: TempDir) -> anyhow::Result<Self> {
        let report = Report::new(|line| eprintln!("{line}"));
        let stack = Stack::start(stack_options(args), report).await?;
        let given = &args.servers;
        // Where earlier runs may have left their transfers, their keys are taken.
        let is_fresh = args.data.is_none() && given.database.is_none() && given.nats.is_none();
        let seed = load
            .seed
            .unwrap_or_else(|| if is_fresh { 1 } else { another_seed() });
        let servers = Servers {
            nats: given.nats.clone().or_else(|| stack.nats_url()),
            nats_monitor: given
                .nats_monitor
                .clone()
                .or_else(|| stack.nats_monitor_url()),
            database: given.database.clone().or_else(|| stack.postgres_url()),
        };
        let (database, log) = migrate(&servers, &args.streams, "bench").await?;
        let ledger = LedgerName::parse(LEDGER)?;
        let key = admin::renew_key(&database, &ledger, Scope::Admin, "sluice bench").await?;
        let (ingest, processors, authority) = start_roles(args, &servers, folder.path()).await?;
        Ok(Self {
            target: Target {
                authority,
                key: key.key,
            },
            servers,
            log: Some(log),
            database: Some(database),
            seed,
            next: 0,
            is_ours: true,
            stack: Some(stack),
            ingest: Some(ingest),
            processors,
            folder,
        })
    }

    /// The processes that are known, by the name under which they are reported.
    pub(super) fn pids(&self) -> Pids {
        let mut pids = Pids::default();
        let mut add = |name, pid, tree| pids.processes.push((name, pid, tree));
        add("generator", std::process::id(), Tree::Alone);
        if let Some(ingest) = &self.ingest {
            add("ingest", ingest.pid(), Tree::Alone);
        }
        for processor in &self.processors {
            add("processor", processor.pid(), Tree::Alone);
        }
        let servers = self.stack.as_ref().map(Stack::pids).unwrap_or_default();
        for (name, pid) in servers {
            let tree = if name == "postgres" {
                Tree::WithDescendants
            } else {
                Tree::Alone
            };
            add(name, pid, tree);
        }
        pids
    }

    /// Ends the roles and leaves the servers.
    pub(super) async fn stop_roles(&mut self) -> anyhow::Result<()> {
        for role in self
            .ingest
            .take()
            .into_iter()
            .chain(self.processors.drain(..))
        {
            role.stop().await?;
        }
        Ok(())
    }

    pub(super) async fn stop(mut self) -> anyhow::Result<()> {
        self.stop_roles().await?;
        if let Some(log) = &self.log {
            log.close().await?;
        }
        if let Some(database) = &self.database {
            database.close().await;
        }
        if let Some(stack) = self.stack {
            stack.stop().await.context("stopping the servers")?;
        }
        Ok(())
    }

    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where everything answers, and its processes.
    pub(super) fn addresses(&self) -> Value {
        let servers = self.stack.as_ref().map(Stack::pids).unwrap_or_default();
        let processors: Vec<u32> = self.processors.iter().map(Role::pid).collect();
        json!({
            "api_url": format!("http://{}", self.target.authority),
            "api_key": self.target.key,
            "nats_url": self.servers.nats,
            "nats_monitor_url": self.servers.nats_monitor,
            "postgres_url": self.servers.database,
            "pids": {
                "sluice": std::process::id(),
                "ingest": self.ingest.as_ref().map(Role::pid),
                "processors": processors,
                "nats": servers.get("nats"),
                "postgres": servers.get("postgres"),
            },
        })
    }
}

async fn start_roles(
    args: &SystemArgs,
    servers: &Servers,
    folder: &Path,
) -> anyhow::Result<(Role, Vec<Role>, String)> {
    let environment: Vec<(&str, &str)> = [
        ("SLUICE_NATS", &servers.nats),
        ("SLUICE_NATS_MONITOR", &servers.nats_monitor),
        ("SLUICE_DATABASE", &servers.database),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    .collect();
    let with = |role: &str, flag: &str, value: Option<usize>| {
        let mut words = vec![
            role.to_owned(),
            "--listen".to_owned(),
            "127.0.0.1:0".to_owned(),
        ];
        if let Some(value) = value {
            words.extend([flag.to_owned(), value.to_string()]);
        }
        words
    };
    let ingest = with("ingest", "--records-in-flight", args.records_in_flight);
    let process = with("process", "--batch-commands", args.batch_commands);
    let mut processors = Vec::new();
    for number in 0..args.processors {
        let name = format!("processor-{number}");
        let (processor, _) = Role::start(folder, &name, &process, &environment).await?;
        processors.push(processor);
    }
    let (ingest, addresses) = Role::start(folder, "ingest", &ingest, &environment).await?;
    let api = addresses["api_url"]
        .as_str()
        .context("ingest does not say where it listens")?;
    Ok((ingest, processors, authority(api)?))
}

fn another_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(1, |since| since.as_secs())
}

fn stack_options(args: &SystemArgs) -> stack::Options {
    stack::Options {
        find: args.programs.find_options(),
        data: args.data.clone(),
        nats: args.servers.nats.is_none(),
        postgres: args.servers.database.is_none(),
        ..stack::Options::default()
    }
}
