//! Flags of `sluice demo`.
//!
//! Invariant: the traffic is a function of these flags alone.

use std::path::PathBuf;

use clap::Args;
use system::StackArgs;

#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  sluice demo                                    generated traffic, stays up\n  sluice demo --exit --transfers 20000           for CI: status 1 if anything does not hold\n  sluice demo --file transfers.ndjson            transfers of your own, one JSON object a line\n  sluice demo --file - --api URL --key sk_…      from standard input to a running system"
)]
pub struct DemoArgs {
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
