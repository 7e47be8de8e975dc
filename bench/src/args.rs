//! Flags of `sluice bench`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use serde::{Serialize, Serializer};

use crate::given::OnlyOwn;
use crate::step::APPLIED_P95_MAX;
use system::{AllRoles, Servers, StackArgs};

#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  sluice bench --rate 5000 --duration 60          open loop, on servers of its own\n  sluice bench --rate max --json result.json      as fast as the answers come\n  sluice bench --rate max --batch 1000            NDJSON batches of 1,000\n  sluice bench --rate 100 --connections 8 --wait  round trips with Prefer: wait\n  sluice bench --rate 5000 --one-process          all roles in one process, as `up` runs them\n  sluice bench sweep --csv sweep.csv --svg sweep.svg\n  sluice bench baseline                           against one SQL transaction per transfer\n  sluice bench baseline --wait                    the same where every request waits for its outcome\n  sluice bench --rate 1000 --api URL --key sk_…   a running system; the key has scope admin\n\n--threads is for this process, which sends; SLUICE_THREADS in the environment is for the roles that it starts, too."
)]
pub struct BenchArgs {
    #[command(flatten)]
    pub(crate) run: RunArgs,
    #[command(subcommand)]
    pub(crate) command: Option<BenchCommand>,
}

impl BenchArgs {
    /// As they are started, unless a subcommand has its own.
    pub fn roles(&self) -> &AllRoles {
        &self.run.system.stack.roles
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum BenchCommand {
    #[command(about = format!("Raises the rate until p95 to applied passes {APPLIED_P95_MAX} ms or the backlog grows"))]
    Sweep(SweepArgs),
    /// Sluice, then the same work as one synchronous SQL transaction per transfer, on the same servers.
    Baseline(BaselineArgs),
    /// The API of the baseline.
    #[command(hide = true)]
    BaselineServer(BaselineServerArgs),
}

#[derive(Debug, Clone, Args)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) system: SystemArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// Transfers a second on a fixed schedule, or `max`: every connection sends as soon as it is answered.
    #[arg(long, default_value = "1000", value_name = "R|max")]
    pub(crate) rate: Rate,
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) duration: u32,
    /// Writes the result here.
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct SweepArgs {
    #[command(flatten)]
    pub(crate) system: SystemArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// Transfers a second of the first step.
    #[arg(long, default_value_t = 1000, value_name = "R", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) from: u32,
    /// Each step offers so many per cent of the one before.
    #[arg(long, default_value_t = 125, value_name = "PERCENT", value_parser = clap::value_parser!(u32).range(101..=1000))]
    pub(crate) step: u32,
    /// Length of a run.
    #[arg(long, default_value_t = 10, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) duration: u32,
    /// How often each rate is measured; the median counts.
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=99))]
    pub(crate) repeats: u8,
    /// Writes every step here, with all figures of each of its runs.
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
    /// Writes the curve here: of each figure the median, the lowest and the highest.
    #[arg(long, value_name = "PATH")]
    pub(crate) csv: Option<PathBuf>,
    /// Plots latencies over the rate here.
    #[arg(long, value_name = "PATH")]
    pub(crate) svg: Option<PathBuf>,
}

#[derive(Debug, Clone, Args)]
pub(crate) struct BaselineArgs {
    #[command(flatten)]
    pub(crate) system: SystemArgs,
    #[command(flatten)]
    pub(crate) load: LoadArgs,
    /// For both: transfers a second on a fixed schedule, or `max`.
    #[arg(long, default_value = "max", value_name = "R|max")]
    pub(crate) rate: Rate,
    /// Of each of the two.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) duration: u32,
    /// Connections of the baseline to Postgres.
    #[arg(long, default_value_t = 24, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub(crate) pool: u32,
    /// Writes the result here.
    #[arg(long, value_name = "PATH")]
    pub(crate) json: Option<PathBuf>,
}

/// What is measured.
#[derive(Debug, Clone, Args)]
#[command(mut_arg("listen", |listen| listen.default_value("127.0.0.1:0")))]
pub(crate) struct SystemArgs {
    // First: what is read is taken away.
    #[command(flatten)]
    pub(crate) only_own: OnlyOwn,
    #[command(flatten)]
    pub(crate) stack: StackArgs,
    /// Measures this running system instead of starting one; what --nats, --nats-monitor and --database do not
    /// tell of it is left out.
    #[arg(long, value_name = "URL", requires = "key")]
    pub(crate) api: Option<String>,
    /// API key for --api, with scope admin.
    #[arg(
        long,
        value_name = "KEY",
        env = "SLUICE_API_KEY",
        hide_env_values = true
    )]
    pub(crate) key: Option<String>,
    /// Processor processes.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=16))]
    pub(crate) processors: u16,
    /// All roles in one process, as `up` runs them, instead of one process each.
    #[arg(long, conflicts_with_all = ["api", "processors"])]
    pub(crate) one_process: bool,
}

/// What is sent.
#[derive(Debug, Clone, Args)]
pub(crate) struct LoadArgs {
    /// Connections, each with one request at a time; 64 unless given, 8 for batches.
    #[arg(long, value_name = "C", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) connections: Option<u16>,
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u32).range(2..=10_000_000))]
    pub(crate) accounts: u32,
    /// Both sides of a transfer follow Zipf's law with this exponent; 0 is uniform.
    #[arg(long, default_value_t = 0.0, value_name = "Z", value_parser = exponent)]
    pub(crate) zipf: f64,
    /// Sends NDJSON batches of so many transfers instead of one per request.
    #[arg(long, value_name = "B", value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) batch: Option<u32>,
    /// Asks for the outcome with every request (`Prefer: wait`).
    #[arg(long, conflicts_with = "batch")]
    pub(crate) wait: bool,
    /// Transfers that go in before, to measure a grown database; it takes about a minute for each million, and a gigabyte
    /// of disk for each 1.3 million. From 28 million on --events-bytes-max has to be raised.
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub(crate) preload: u64,
    /// The same seed gives the same traffic; 1 unless given. With --api, --data or servers that were given another one is
    /// taken each time, as keys that were used are repeats.
    #[arg(long, value_name = "S")]
    pub(crate) seed: Option<u64>,
    /// Leaves out the proof at the end.
    #[arg(long)]
    pub(crate) skip_verify: bool,
}

#[derive(Debug, Args)]
pub(crate) struct BaselineServerArgs {
    #[command(flatten)]
    pub(crate) servers: Servers,
    #[arg(
        long,
        value_name = "KEY",
        env = "SLUICE_API_KEY",
        hide_env_values = true
    )]
    pub(crate) key: String,
    #[arg(long)]
    pub(crate) accounts: u32,
    #[arg(long)]
    pub(crate) pool: u32,
    #[arg(long, default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    #[arg(long)]
    pub(crate) ready_file: PathBuf,
}

/// How fast it is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rate {
    PerSecond(u32),
    Max,
}

impl Serialize for Rate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::PerSecond(rate) => serializer.serialize_u32(*rate),
            Self::Max => serializer.serialize_str("max"),
        }
    }
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse() {
            _ if text == "max" => Ok(Self::Max),
            Ok(rate) if rate > 0 => Ok(Self::PerSecond(rate)),
            _ => Err("a rate is a number of transfers a second, or max"),
        }
    }
}

fn exponent(text: &str) -> Result<f64, &'static str> {
    text.parse()
        .ok()
        .filter(|exponent| (0.0..=10.0).contains(exponent))
        .ok_or("an exponent is a number from 0 to 10")
}
