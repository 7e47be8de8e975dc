//! Flags of the streams, and the `SLUICE_*` variables behind them.
//!
//! Invariant: whatever creates streams takes these as they are.

use crate::{PARTITIONS_DEFAULT, PARTITIONS_MAX, Settings};

/// How the streams are created where they are missing.
#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Partitions of a new log; fixed once it exists.
    #[arg(long, default_value_t = PARTITIONS_DEFAULT, value_name = "P", env = "SLUICE_PARTITIONS",
          value_parser = clap::value_parser!(u16).range(1..=i64::from(PARTITIONS_MAX)))]
    pub partitions: u16,
    /// Copies of each stream, in a cluster.
    #[arg(long, default_value_t = 1, value_name = "N", env = "SLUICE_REPLICAS")]
    pub replicas: usize,
    /// Bytes that COMMANDS may hold, counted before compression, 10 GiB unless given: about 40 million transfers. When they
    /// are used up, transfers are answered with 503 `log_full`.
    #[arg(long, value_name = "BYTES", env = "SLUICE_COMMANDS_BYTES_MAX")]
    pub commands_bytes_max: Option<i64>,
    /// Bytes that EVENTS may hold, counted before compression, 20 GiB unless given: about 30 million transfers. When they
    /// are used up, processors wait and nothing is applied.
    #[arg(long, value_name = "BYTES", env = "SLUICE_EVENTS_BYTES_MAX")]
    pub events_bytes_max: Option<i64>,
}

impl Args {
    pub fn settings(&self) -> Settings {
        Settings {
            partitions: self.partitions,
            replicas: self.replicas,
            commands_bytes_max: self.commands_bytes_max,
            events_bytes_max: self.events_bytes_max,
            ..Settings::default()
        }
    }
}
