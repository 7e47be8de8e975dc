//! What is measured: a system of our own, each role a process or all of them one, or one that runs already.
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

use super::counts::Intervals;
use super::request::Target;
use super::role::Role;
use super::usage::{Pids, Tree};
use crate::args::{LoadArgs, SystemArgs};
use crate::client::authority;
use system::{PROCESS, ROLES, Servers, connect, migrate};

pub(super) const LEDGER: &str = "bench";
/// The process that runs every role, and its command.
const UP: &str = "up";

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
    /// Where each role counts what it does; none of a system that runs already.
    pub(super) metrics: Vec<String>,
    pub(super) intervals: Intervals,
    /// All roles are one process, called [`UP`].
    one_process: bool,
    /// By what they are called.
    roles: Vec<(&'static str, Role)>,
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
        let log = match &args.stack.servers.nats {
            Some(url) => Some(connect::open_log(url, "bench").await?),
            None => None,
        };
        let database = match &args.stack.servers.database {
            Some(url) => Some(connect::open_database(url, "bench").await?),
            None => None,
        };
        Ok(Self {
            target: Target {
                authority,
                key: key.to_owned(),
            },
            servers: args.stack.servers.clone(),
            log,
            database,
            seed: load.seed.unwrap_or_else(another_seed),
            next: 0,
            is_ours: false,
            stack: None,
            metrics: Vec::new(),
            intervals: Intervals::default(),
            one_process: false,
            roles: Vec::new(),
            folder,
        })
    }

    async fn our_own(args: &SystemArgs, load: &LoadArgs, folder: TempDir) -> anyhow::Result<Self> {
        let report = Report::new(|line| eprintln!("{line}"));
        let stack = Stack::start(args.stack.options(), report).await?;
        let given = &args.stack.servers;
        // Where earlier runs may have left their transfers, their keys are taken.
        let is_fresh =
            args.stack.programs.data.is_none() && given.database.is_none() && given.nats.is_none();
        let seed = load
            .seed
            .unwrap_or_else(|| if is_fresh { 1 } else { another_seed() });
        let servers = given.or_of(&stack);
        let (database, log) = migrate(&servers, &args.stack.streams, "bench").await?;
        let ledger = LedgerName::parse(LEDGER)?;
        let key = admin::renew_key(&database, &ledger, Scope::Admin, "sluice bench").await?;
        let started = if args.one_process {
            start_up(args, &servers, folder.path()).await?
        } else {
            start_roles(args, &servers, folder.path()).await?
        };
        Ok(Self {
            target: Target {
                authority: authority(&started.api)?,
                key: key.key,
            },
            servers,
            log: Some(log),
            database: Some(database),
            seed,
            next: 0,
            is_ours: true,
            stack: Some(stack),
            intervals: Intervals::read(&started.metrics).await?,
            metrics: started.metrics,
            one_process: args.one_process,
            roles: started.roles,
            folder,
        })
    }

    /// What is reported, though it be unknown: the roles, their servers, and we.
    pub(super) fn processes(&self) -> Vec<&'static str> {
        let mut names = if self.one_process {
            vec![UP]
        } else {
            ROLES.iter().map(|role| role.called).collect()
        };
        names.extend(["nats", "postgres", "generator"]);
        names
    }

    /// The processes that are known, by the name under which they are reported.
    pub(super) fn pids(&self) -> Pids {
        let mut pids = Pids::default();
        let mut add = |name, pid, tree| pids.processes.push((name, pid, tree));
        add("generator", std::process::id(), Tree::Alone);
        for (called, role) in &self.roles {
            add(called, role.pid(), Tree::Alone);
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
        for (_, role) in self.roles.drain(..) {
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
        let pids = |called: &str| -> Vec<u32> {
            let roles = self.roles.iter().filter(|(name, _)| *name == called);
            roles.map(|(_, role)| role.pid()).collect()
        };
        json!({
            "api_url": format!("http://{}", self.target.authority),
            "api_key": self.target.key,
            "nats_url": self.servers.nats,
            "nats_monitor_url": self.servers.nats_monitor,
            "postgres_url": self.servers.shown_database(self.stack.as_ref()),
            "pids": {
                "sluice": std::process::id(),
                "up": pids(UP).first(),
                "ingest": pids("ingest").first(),
                "processors": pids("processor"),
                "nats": servers.get("nats"),
                "postgres": servers.get("postgres"),
            },
        })
    }
}

/// Roles that answer.
struct Started {
    roles: Vec<(&'static str, Role)>,
    api: String,
    metrics: Vec<String>,
}

async fn start_roles(
    args: &SystemArgs,
    servers: &Servers,
    folder: &Path,
) -> anyhow::Result<Started> {
    let environment = servers.environment();
    let (mut roles, mut metrics, mut api) = (Vec::new(), Vec::new(), None);
    for chosen in &args.stack.roles.0 {
        let role = chosen.role;
        let count = if role.command == PROCESS {
            args.processors
        } else {
            1
        };
        let mut words = chosen.words();
        words.push("--metrics-listen=127.0.0.1:0".to_owned());
        for number in 0..count {
            let name = format!("{}-{number}", role.called);
            let (started, ready) = Role::start(folder, &name, &words, &environment).await?;
            roles.push((role.called, started));
            metrics.extend(ready["metrics_url"].as_str().map(str::to_owned));
            api = api.or_else(|| ready["api_url"].as_str().map(str::to_owned));
        }
    }
    let api = api.context("no role says where its API is")?;
    Ok(Started {
        roles,
        api,
        metrics,
    })
}

/// All roles in one process.
async fn start_up(args: &SystemArgs, servers: &Servers, folder: &Path) -> anyhow::Result<Started> {
    let mut words = vec![UP.to_owned()];
    for chosen in &args.stack.roles.0 {
        // Without the command that runs it alone.
        words.extend(chosen.words().into_iter().skip(1));
    }
    let (up, ready) = Role::start(folder, UP, &words, &servers.environment()).await?;
    let api = ready["api_url"]
        .as_str()
        .context("`up` does not say where its API is")?;
    Ok(Started {
        roles: vec![(UP, up)],
        api: api.to_owned(),
        metrics: vec![format!("{api}/metrics")],
    })
}

fn another_seed() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(1, |since| since.as_secs())
}
