//! Flags, and the `SLUICE_*` variables behind them.
//!
//! Invariant: the environment is read here and nowhere else.

pub(crate) mod bench;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

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
    Up(UpArgs),
    /// `up`, and a day of transfers to look at; then a report of what happened.
    Demo(DemoArgs),
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

/// Servers that already run.
#[derive(Debug, Clone, Args)]
pub(crate) struct Servers {
    /// nats-server, as nats://user:password@host:port
    #[arg(long, value_name = "URL", env = "SLUICE_NATS", hide_env_values = true)]
    pub(crate) nats: Option<String>,
    /// nats-server's monitoring port, as http://host:port; it tells whether an acknowledgement means "on disk".
    #[arg(long, value_name = "URL", env = "SLUICE_NATS_MONITOR")]
    pub(crate) nats_monitor: Option<String>,
    /// Postgres, as postgres://user:password@host:port/database
    #[arg(
        long,
        value_name = "URL",
        env = "SLUICE_DATABASE",
        hide_env_values = true
    )]
    pub(crate) database: Option<String>,
}

/// How the streams are created where they are missing.
#[derive(Debug, Clone, Args)]
pub(crate) struct StreamArgs {
    /// Partitions of a new log; fixed once it exists.
    #[arg(long, default_value_t = streams::PARTITIONS_DEFAULT, value_name = "P", env = "SLUICE_PARTITIONS",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(streams::PARTITIONS_MAX)))]
    pub(crate) partitions: u16,
    /// Copies of each stream, in a cluster.
    #[arg(long, default_value_t = 1, value_name = "N", env = "SLUICE_REPLICAS")]
    pub(crate) replicas: usize,
    /// Bytes that COMMANDS may hold; when they are used up, transfers are answered with 503 `log_full`.
    #[arg(long, value_name = "BYTES", env = "SLUICE_COMMANDS_BYTES_MAX")]
    pub(crate) commands_bytes_max: Option<i64>,
    /// Bytes that EVENTS may hold; when they are used up, processors wait.
    #[arg(long, value_name = "BYTES", env = "SLUICE_EVENTS_BYTES_MAX")]
    pub(crate) events_bytes_max: Option<i64>,
}

impl StreamArgs {
    pub(crate) fn settings(&self) -> streams::Settings {
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
pub(crate) struct Programs {
    /// The nats-server to use.
    #[arg(long, value_name = "PATH", env = "SLUICE_NATS_SERVER")]
    pub(crate) nats_server: Option<PathBuf>,
    /// The folder that holds the `postgres` to use.
    #[arg(long, value_name = "DIR", env = "SLUICE_POSTGRES_BIN")]
    pub(crate) postgres_bin: Option<PathBuf>,
    /// Where missing servers are installed.
    #[arg(
        long,
        value_name = "DIR",
        default_value = ".sluice",
        env = "SLUICE_INSTALL_DIR"
    )]
    pub(crate) install_dir: PathBuf,
    /// Passes over the servers of this machine and installs both.
    #[arg(long, env = "SLUICE_INSTALL_SERVERS", value_parser = clap::builder::FalseyValueParser::new())]
    pub(crate) install_servers: bool,
}

impl Programs {
    pub(crate) fn find_options(&self) -> stack::find::Options {
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
pub(crate) struct StackArgs {
    #[command(flatten)]
    pub(crate) servers: Servers,
    #[command(flatten)]
    pub(crate) streams: StreamArgs,
    /// Keeps the data here; otherwise it is deleted at the end.
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where the HTTP API listens; port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        env = "SLUICE_LISTEN"
    )]
    pub(crate) listen: SocketAddr,
    /// Writes addresses, keys and process ids here, as JSON, once everything answers.
    #[arg(long, value_name = "PATH")]
    pub(crate) ready_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) programs: Programs,
    /// Port of nats-server; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) nats_port: u16,
    /// Port of nats-server's monitoring; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) nats_monitor_port: u16,
    /// Port of Postgres; 0 takes a free one.
    #[arg(long, value_name = "PORT", default_value_t = 0)]
    pub(crate) postgres_port: u16,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sluice up                              everything in a temporary folder\n  sluice up --data ./sluice-data         keeps its data\n  sluice up --nats nats://… --nats-monitor http://… --database postgres://…   on servers that already run"
)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) stack: StackArgs,
}

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sluice demo                                    generated traffic, stays up\n  sluice demo --exit --transfers 20000           for CI: status 1 if anything does not hold\n  sluice demo --file transfers.ndjson            transfers of your own, one JSON object a line\n  sluice demo --file - --api URL --key sk_…      from standard input to a running system"
)]
pub(crate) struct DemoArgs {
    #[command(flatten)]
    pub(crate) stack: StackArgs,
    /// Generated transfers.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub(crate) transfers: u64,
    /// Generated accounts.
    #[arg(long, default_value_t = 10_000, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=1_000_000))]
    pub(crate) accounts: u32,
    /// The same seed gives the same traffic.
    #[arg(long, default_value_t = 1, value_name = "S")]
    pub(crate) seed: u64,
    /// Requests at a time.
    #[arg(long, default_value_t = 64, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=1024))]
    pub(crate) connections: u16,
    /// Stops after the report; status 1 if `verify` finds anything.
    #[arg(long)]
    pub(crate) exit: bool,
    /// Sends these transfers instead (`-` is standard input): the body of POST /v1/transfers plus
    /// `idempotency_key`, one JSON object a line.
    #[arg(long, value_name = "PATH")]
    pub(crate) file: Option<PathBuf>,
    /// With --file: opens and funds no accounts.
    #[arg(long, requires = "file")]
    pub(crate) no_open: bool,
    /// With --file: sends to this running system instead of starting one; opens nothing.
    #[arg(long, value_name = "URL", requires_all = ["file", "key"])]
    pub(crate) api: Option<String>,
    /// API key for --api.
    #[arg(
        long,
        value_name = "KEY",
        requires = "api",
        env = "SLUICE_API_KEY",
        hide_env_values = true
    )]
    pub(crate) key: Option<String>,
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
        database: Database,
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
        database: Database,
        #[arg(long, value_name = "LEDGER")]
        ledger: String,
        #[arg(long)]
        json: bool,
    },
    /// Revokes a key within seconds, for ever.
    Revoke {
        #[command(flatten)]
        database: Database,
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
        database: Database,
        name: String,
    },
    /// Lists the ledgers and their own units.
    List {
        #[command(flatten)]
        database: Database,
    },
    /// Declares units of a ledger's own beside ISO 4217.
    #[command(
        after_help = "Example:\n  sluice ledgers set demo --unit POINTS:0 --database postgres://…"
    )]
    Set {
        #[command(flatten)]
        database: Database,
        name: String,
        /// A code and its decimals; once declared they stay.
        #[arg(long = "unit", value_name = "CODE:DECIMALS", required = true)]
        units: Vec<String>,
    },
}

#[derive(Debug, Clone, Args)]
pub(crate) struct Database {
    /// Postgres, as postgres://user:password@host:port/database
    #[arg(
        long,
        value_name = "URL",
        env = "SLUICE_DATABASE",
        hide_env_values = true
    )]
    pub(crate) database: Option<String>,
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
