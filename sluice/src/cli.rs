//! Flags, and the `SLUICE_*` variables behind them.
//!
//! Invariant: the environment is read here and nowhere else.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use system::{Servers, StreamArgs};

/// Moves money over a log: HTTP in, NATS `JetStream` in the middle, Postgres balances exactly once.
#[derive(Debug, Parser)]
#[command(
    name = "sluice",
    version,
    max_term_width = 100,
    after_help = "Begin with:\n  sluice demo                      the whole system with traffic, on this machine\n  sluice up --data ./sluice-data   the same without traffic, keeping its data"
)]
pub(crate) struct Cli {
    /// How much is logged to standard error.
    #[arg(long, global = true, env = "SLUICE_LOG", default_value = "default", value_name = "LEVEL",
          value_parser = ["default", "error", "warn", "info", "debug", "trace"])]
    log: String,
    /// For processes that `bench` starts: standard input is a pipe, and its end is theirs.
    #[arg(long, global = true, hide = true)]
    pub(crate) end_with_parent: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Cli {
    /// Roles tell what they do; commands that print an answer only warn.
    pub(crate) fn log_level(&self) -> tracing::Level {
        match self.log.as_str() {
            "error" => tracing::Level::ERROR,
            "warn" => tracing::Level::WARN,
            "info" => tracing::Level::INFO,
            "debug" => tracing::Level::DEBUG,
            "trace" => tracing::Level::TRACE,
            _ => match self.command {
                Command::Ingest(_) | Command::Process(_) => tracing::Level::INFO,
                _ => tracing::Level::WARN,
            },
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Runs every role and, unless told otherwise, a nats-server and a Postgres of its own.
    Up(system::UpArgs),
    /// `up`, and a day of transfers to look at; then a report of what happened.
    Demo(bench::demo::DemoArgs),
    /// Measures the whole system under load: rates, latencies, CPU and memory, and proves the result.
    Bench(Box<bench::BenchArgs>),
    /// Takes transfers over HTTP and appends them to the log.
    Ingest(IngestArgs),
    /// Applies the log to the balances; any number of these share the partitions.
    Process(ProcessArgs),
    /// Brings the database up to date and creates the streams that are missing.
    Migrate(MigrateArgs),
    /// Proves what must always hold, from Postgres and the log; exit status 1 if something does not.
    Verify(VerifyArgs),
    /// API keys.
    Keys(KeysArgs),
    /// Ledgers and their own units.
    Ledgers(LedgersArgs),
    /// Who holds which partition and how far it is.
    Partitions(PartitionsArgs),
}

#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  sluice ingest --nats nats://… --nats-monitor http://… --database postgres://… --listen 0.0.0.0:8080"
)]
pub(crate) struct IngestArgs {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Where the HTTP API listens; port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        env = "SLUICE_LISTEN"
    )]
    pub(crate) listen: SocketAddr,
    /// Writes `api_url` and `pid` here, as JSON, once it answers.
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Accepts transfers although the log does not sync every record; each 202 then says so in a header.
    #[arg(long)]
    pub(crate) allow_lazy_sync: bool,
    /// Records on their way to the log at a time.
    #[arg(long, value_name = "N", env = "SLUICE_RECORDS_IN_FLIGHT")]
    pub(crate) records_in_flight: Option<usize>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sluice process --nats nats://… --database postgres://…")]
pub(crate) struct ProcessArgs {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Where /metrics and /healthz answer; port 0 takes a free one.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Writes `metrics_url` and `pid` here, as JSON, once it answers.
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
    /// Most commands in one transaction.
    #[arg(long, value_name = "N", env = "SLUICE_BATCH_COMMANDS")]
    pub(crate) batch_commands: Option<usize>,
    /// Transactions of this process at a time, beside full ones: fewer are fuller.
    #[arg(long, value_name = "N", env = "SLUICE_COMMITS_IN_FLIGHT")]
    pub(crate) commits_in_flight: Option<usize>,
    /// For fault tests: while this file exists, one batch stands still inside its open transaction.
    #[arg(long, value_name = "PATH", hide = true)]
    pub(crate) failpoint: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sluice migrate --nats nats://… --database postgres://…")]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) servers: Servers,
    #[command(flatten)]
    pub(crate) streams: StreamArgs,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sluice verify --nats nats://… --database postgres://…")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Prints the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct KeysArgs {
    #[command(subcommand)]
    pub(crate) command: KeysCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysCommand {
    /// Creates a key and prints it, once; a ledger's first key creates the ledger.
    #[command(
        after_help = "Example:\n  sluice keys create --ledger demo --scope write --database postgres://…"
    )]
    Create {
        #[command(flatten)]
        servers: Servers,
        #[arg(long, value_name = "LEDGER")]
        ledger: String,
        /// What the key may do: admin includes write, write includes read.
        #[arg(long, value_parser = ["read", "write", "admin"])]
        scope: String,
        /// For people.
        #[arg(long, value_name = "TEXT")]
        name: Option<String>,
        #[arg(long)]
        json: bool,
    },
    /// Lists a ledger's keys.
    List {
        #[command(flatten)]
        servers: Servers,
        #[arg(long, value_name = "LEDGER")]
        ledger: String,
        #[arg(long)]
        json: bool,
    },
    /// Revokes a key within seconds, for ever.
    Revoke {
        #[command(flatten)]
        servers: Servers,
        #[arg(long, value_name = "LEDGER")]
        ledger: String,
        /// The id that `keys list` shows.
        id: String,
    },
}

#[derive(Debug, Args)]
pub(crate) struct LedgersArgs {
    #[command(subcommand)]
    pub(crate) command: LedgersCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum LedgersCommand {
    /// Creates a ledger.
    Create {
        #[command(flatten)]
        servers: Servers,
        name: String,
    },
    /// Lists the ledgers and their own units.
    List {
        #[command(flatten)]
        servers: Servers,
    },
    /// Declares units of a ledger's own beside ISO 4217.
    #[command(
        after_help = "Example:\n  sluice ledgers set demo --unit POINTS:0 --database postgres://…"
    )]
    Set {
        #[command(flatten)]
        servers: Servers,
        name: String,
        /// A code and its decimals; once declared they stay.
        #[arg(long = "unit", value_name = "CODE:DECIMALS", required = true)]
        units: Vec<String>,
    },
}

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  sluice partitions --database postgres://…\n  sluice partitions adopt-stream --partition 3 --why 'moved to the new cluster' --nats nats://… --database postgres://…"
)]
pub(crate) struct PartitionsArgs {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Prints JSON.
    #[arg(long)]
    pub(crate) json: bool,
    #[command(subcommand)]
    pub(crate) command: Option<PartitionsCommand>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum PartitionsCommand {
    /// Goes on with the stream as it is now, after it was deliberately re-created or restored; recorded.
    AdoptStream {
        #[command(flatten)]
        servers: Servers,
        #[arg(long, value_name = "P")]
        partition: u16,
        /// Kept for whoever asks later.
        #[arg(long, value_name = "TEXT")]
        why: String,
    },
}
