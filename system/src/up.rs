//! `sluice up`: the whole system in one process, on servers of its own or given ones.
//!
//! Invariant: what is printed as ready has answered, and everything that was started is stopped.

use std::process::ExitCode;

use anyhow::{Context, bail};
use ingest::{Scope, admin};
use schemas::LedgerName;
use serde_json::json;
use stack::{Report, Stack};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

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
    ingest: JoinHandle<Result<(), ingest::Error>>,
    worker: JoinHandle<Result<(), worker::Error>>,
}

impl System {
    /// Starts servers and roles, prepares the demo ledger, and writes the ready file.
    pub async fn start(args: &StackArgs, shutdown: &CancellationToken) -> anyhow::Result<Self> {
        check_free(args)?;
        let report = Report::new(|line| println!("{line}"));
        let stack = tokio::select! {
            stack = Stack::start(stack_options(args), report) => stack?,
            () = shutdown.cancelled() => bail!("interrupted while the servers were starting"),
        };
        let servers = Servers {
            nats: args.servers.nats.clone().or_else(|| stack.nats_url()),
            nats_monitor: args
                .servers
                .nats_monitor
                .clone()
                .or_else(|| stack.nats_monitor_url()),
            database: args
                .servers
                .database
                .clone()
                .or_else(|| stack.postgres_url()),
        };
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
        let metrics = connect::metrics()?;
        let stop = CancellationToken::new();
        let (worker_ready, _) = oneshot::channel();
        let worker = tokio::spawn(worker::run(
            worker::Config::default(),
            worker::Connections {
                log: connect::open_log(servers.nats()?, "process").await?,
                database: connect::open_processor_database(servers.database()?, log.partitions())
                    .await?,
                metrics: metrics.clone(),
            },
            stop.clone(),
            worker_ready,
        ));
        let (ingest_ready, listening) = oneshot::channel();
        let ingest = tokio::spawn(ingest::run(
            ingest::Config {
                listen: args.listen,
                monitor_url: servers.nats_monitor.clone(),
                ..ingest::Config::default()
            },
            ingest::Connections {
                log: log.clone(),
                database: connect::open_api_database(servers.database()?).await?,
                metrics,
            },
            stop.clone(),
            ingest_ready,
        ));
        let Ok(address) = listening.await else {
            ingest.await.context("starting ingest")??;
            bail!("ingest ended before it listened");
        };
        let pids = stack.pids();
        Ok(Started {
            address,
            servers,
            log,
            database,
            stop,
            ingest,
            worker,
            pids,
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
            self.servers.database.as_deref().unwrap_or_default(),
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
            ingest = &mut self.ingest => Err(ended("ingest", ingest)),
            worker = &mut self.worker => Err(ended("the processor", worker)),
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
        // A role that ended by itself was reported when it did.
        if !self.ingest.is_finished() {
            self.ingest.await.context("stopping ingest")??;
        }
        if !self.worker.is_finished() {
            self.worker.await.context("stopping the processor")??;
        }
        self.log.close().await?;
        self.database.close().await;
        self.stack.stop().await.context("stopping the servers")
    }
}

/// Roles that answer, before the demo ledger is there.
struct Started {
    address: std::net::SocketAddr,
    servers: Servers,
    log: streams::Log,
    database: sqlx::PgPool,
    stop: CancellationToken,
    ingest: JoinHandle<Result<(), ingest::Error>>,
    worker: JoinHandle<Result<(), worker::Error>>,
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
            api_url: format!("http://{}", self.address),
            api_key,
            admin_key,
            servers: self.servers,
            log: self.log,
            database: self.database,
            stack,
            stop: self.stop,
            ingest: self.ingest,
            worker: self.worker,
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
                    "postgres_url": system.servers.database,
                    "pids": pids,
                }),
            )?;
        }
        Ok(system)
    }
}

fn stack_options(args: &StackArgs) -> stack::Options {
    stack::Options {
        find: args.programs.find_options(),
        data: args.data.clone(),
        nats: args.servers.nats.is_none(),
        postgres: args.servers.database.is_none(),
        nats_port: args.nats_port,
        nats_monitor_port: args.nats_monitor_port,
        postgres_port: args.postgres_port,
    }
}

/// Before minutes are spent on anything else.
fn check_free(args: &StackArgs) -> anyhow::Result<()> {
    std::net::TcpListener::bind(args.listen)
        .map(drop)
        .with_context(|| format!("the API cannot listen on {}: choose another address with --listen (127.0.0.1:0 takes a free port)", args.listen))
}

fn ended<E: std::error::Error + Send + Sync + 'static>(
    role: &str,
    result: Result<Result<(), E>, tokio::task::JoinError>,
) -> anyhow::Error {
    match result {
        Ok(Ok(())) => anyhow::anyhow!("{role} ended by itself"),
        Ok(Err(error)) => anyhow::Error::new(error).context(format!("{role} ended")),
        Err(error) => anyhow::Error::new(error).context(format!("{role} ended")),
    }
}
