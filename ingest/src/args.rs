//! Flags of the way in, and the `SLUICE_*` variables behind them.
//!
//! Invariant: whatever composes roles takes these as they are, so that a flag means the same wherever ingest runs.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use crate::Config;

#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Where the HTTP API listens; port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:8080",
        env = "SLUICE_LISTEN"
    )]
    pub listen: SocketAddr,
    /// Accepts transfers although the log does not sync every record; each 202 then says so in a header.
    #[arg(long)]
    pub allow_lazy_sync: bool,
    /// Records on their way to the log at a time, 1 unless given: fewer are fuller.
    #[arg(long, value_name = "N", env = "SLUICE_RECORDS_IN_FLIGHT")]
    pub records_in_flight: Option<NonZeroUsize>,
    /// Longest time between the starts of two records of a partition while commands come, 10 unless given: it is less
    /// where the log is quick; 0 starts each at once.
    #[arg(long, value_name = "MILLISECONDS", env = "SLUICE_RECORD_INTERVAL",
          value_parser = clap::value_parser!(u16).range(..=1000))]
    pub record_interval: Option<u16>,
}

impl Args {
    pub fn config(&self, monitor_url: Option<String>) -> Config {
        let mut config = Config {
            listen: self.listen,
            monitor_url,
            allow_lazy_sync: self.allow_lazy_sync,
            ..Config::default()
        };
        if let Some(records) = self.records_in_flight {
            config.limits.records_in_flight_max = records.get();
        }
        if let Some(milliseconds) = self.record_interval {
            config.limits.record_interval_max = Duration::from_millis(milliseconds.into());
        }
        config
    }
}
