//! `sluice up`: the whole system in one process, on servers of its own or given ones.
//!
//! Invariant: what is printed as ready has answered, and everything that was started is stopped.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::{Context, bail};
use futures::future::select_all;
use ingest::{Scope, admin};
use schemas::LedgerName;
use serde_json::json;
use stack::{Report, Stack};
use tokio_util::sync::CancellationToken;

use crate::role::{Host, Running};
use crate::{LEDGER, Servers, StackArgs, UpArgs, connect, demo_ledger, migrate, ready, shutdown};

pub async fn run(args: UpArgs) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown::on_signal()?;
    let system = System::start(&args.stack, &shutdown).await?;
    system.print_addresses();
    system.until_stopped(&shutdown).await?;
    Ok(ExitCode::SUCCESS)
}

/// A running system.
pub struct System {
    pub api_url: String,
    pub api_key: String,
    pub admin_key: String,
    /// Addresses of the servers, given or our own.
    pub servers: Servers,
    pub log: streams::Log,
    pub database: sqlx::PgPool,
    stack: Stack,
    stop: CancellationToken,
    roles: Vec<Running>,
}

impl System {
    /// Starts servers and roles, prepares the demo ledger, and writes the ready file.
    pub async fn start(args: &StackArgs, shutdown: &CancellationToken) -> anyhow::Result<Self> {
        if args.servers.nats.is_some() != args.servers.database.is_some() {
            bail!(
                "give both --nats and --database, or neither: a log and a database that do not belong together stop every partition"
            );
        }
        for role in &args.roles.0 {
            role.check_free()?;
        }
        let report = Report::new(|line| println!("{line}"));
        let stack = tokio::select! {
            stack = Stack::start(args.options(), report) => stack?,
            () = shutdown.cancelled() => bail!("interrupted while the servers were starting"),
        };
        let servers = args.servers.or_of(&stack);
        match Self::start_roles(args, servers, &stack).await {
            Ok(started) => started.into_system(stack, args).await,
            Err(error) => {
                stack.stop().await.context("stopping the servers")?;
                Err(error)
            }
        }
    }

    async fn start_roles(
        args: &StackArgs,
        servers: Servers,
        stack: &Stack,
    ) -> anyhow::Result<Started> {
        let (database, log) = migrate(&servers, &args.streams, "up").await?;
        let host = Host {
            servers,
            metrics: connect::metrics()?,
        };
        let stop = CancellationToken::new();
        let stopped_otherwise = stop.clone().drop_guard();
        let mut roles = Vec::new();
        for role in &args.roles.0 {
            roles.push(role.start(&host, stop.clone()).await?);
        }
        let api = roles.iter().find_map(|role| role.api);
        let api = api.context("no role has an API")?;
        stopped_otherwise.disarm();
        Ok(Started {
            api,
            servers: host.servers,
            log,
            database,
            stop,
            roles,
            pids: stack.pids(),
        })
    }

    pub fn print_addresses(&self) {
        let line = |name: &str, value: &str| println!("  {name:<14} {value}");
        println!("\nSluice is up:");
        line("API", &self.api_url);
        line("docs", &format!("{}/docs", self.api_url));
        line("metrics", &format!("{}/metrics", self.api_url));
        line("NATS", self.servers.nats.as_deref().unwrap_or_default());
        line(
            "NATS monitor",
            self.servers.nats_monitor.as_deref().unwrap_or_default(),
        );
        line(
            "Postgres",
            &self
                .servers
                .shown_database(Some(&self.stack))
                .unwrap_or_default(),
        );
        line(
            "API key",
            &format!("{}  (ledger {LEDGER}, write)", self.api_key),
        );
        line(
            "admin key",
            &format!("{}  (ledger {LEDGER}, admin)", self.admin_key),
        );
        println!("\nMove money:");
        println!(
            "  curl -sS {}/v1/transfers -H 'Authorization: Bearer {}' -H 'Idempotency-Key: first' -H 'Prefer: wait=5' \\\n       -H 'Content-Type: application/json' -d '{{\"debit_account\":\"alice\",\"credit_account\":\"bob\",\"amount\":\"12.34\",\"currency\":\"USD\"}}'",
            self.api_url, self.api_key
        );
        println!("\nSee it on the log, or put it there yourself:");
        let nats = self.servers.nats.as_deref().unwrap_or_default();
        println!("  nats --server '{nats}' stream view EVENTS");
        println!(
            "  nats --server '{nats}' req sluice.submit.alice '{{\"ledger\":\"{LEDGER}\",\"idempotency_key\":\"by-hand\",\"debit_account\":\"alice\",\"credit_account\":\"bob\",\"amount\":\"1.00\",\"currency\":\"USD\"}}'"
        );
        println!("\nCtrl-C stops it.");
    }

    /// Waits for a signal or for a part that ends by itself, then stops everything.
    pub async fn until_stopped(mut self, shutdown: &CancellationToken) -> anyhow::Result<()> {
        let ended = tokio::select! {
            () = shutdown.cancelled() => Ok(()),
            error = one_ended(&mut self.roles) => Err(error),
            given_up = self.stack.given_up() => Err(anyhow::anyhow!("{} is given up: {}", given_up.server, given_up.reason)),
        };
        if ended.is_ok() {
            println!("\nstopping: what was accepted is finished first");
        }
        self.stop().await?;
        ended
    }

    pub async fn stop(self) -> anyhow::Result<()> {
        self.stop.cancel();
        for mut role in self.roles {
            // One that ended by itself was reported when it did.
            if !role.has_ended() {
                role.ended().await?;
            }
        }
        self.log.close().await?;
        self.database.close().await;
        self.stack.stop().await.context("stopping the servers")
    }
}

/// None of them ends before it is told to.
async fn one_ended(roles: &mut [Running]) -> anyhow::Error {
    let ends = roles.iter_mut().map(|role| {
        Box::pin(async {
            let called = role.called;
            match role.ended().await {
                Ok(()) => anyhow::anyhow!("{called} ended by itself"),
                Err(error) => error,
            }
        })
    });
    select_all(ends).await.0
}

/// Roles that answer, before the demo ledger is there.
struct Started {
    api: SocketAddr,
    servers: Servers,
    log: streams::Log,
    database: sqlx::PgPool,
    stop: CancellationToken,
    roles: Vec<Running>,
    pids: std::collections::BTreeMap<&'static str, u32>,
}

impl Started {
    async fn into_system(self, stack: Stack, args: &StackArgs) -> anyhow::Result<System> {
        let renew = async |scope| {
            let ledger = LedgerName::parse(LEDGER)?;
            let created = admin::renew_key(&self.database, &ledger, scope, "sluice up").await?;
            anyhow::Ok(created.key)
        };
        let (api_key, admin_key) = (renew(Scope::Write).await?, renew(Scope::Admin).await?);
        let system = System {
            api_url: format!("http://{}", self.api),
            api_key,
            admin_key,
            servers: self.servers,
            log: self.log,
            database: self.database,
            stack,
            stop: self.stop,
            roles: self.roles,
        };
        demo_ledger::prepare(&system.log, &system.database)
            .await
            .context("preparing the demo ledger")?;
        if let Some(path) = &args.ready_file {
            let mut pids = self.pids;
            pids.insert("sluice", std::process::id());
            ready::write(
                path,
                &json!({
                    "api_url": system.api_url,
                    "api_key": system.api_key,
                    "admin_key": system.admin_key,
                    "nats_url": system.servers.nats,
                    "nats_monitor_url": system.servers.nats_monitor,
                    "postgres_url": system.servers.shown_database(Some(&system.stack)),
                    "pids": pids,
                }),
            )?;
        }
        Ok(system)
    }
}
