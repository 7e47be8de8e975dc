//! Flags of a processor, and the `SLUICE_*` variables behind them.
//!
//! Invariant: whatever composes roles takes these as they are, so that a flag means the same wherever a processor runs.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Config, Failpoint};

#[derive(Debug, Clone, clap::Args)]
#[group(skip)]
pub struct Args {
    /// Most commands in one transaction, 4,000 unless given.
    #[arg(long, value_name = "N", env = "SLUICE_BATCH_COMMANDS")]
    pub batch_commands: Option<NonZeroUsize>,
    /// Batches of this process that are decided and written at a time, while as many commit, 1 unless given: fewer are
    /// fuller. With more, batches that share accounts decide in vain, and what is remembered is soon not believed any more.
    #[arg(long, value_name = "N", env = "SLUICE_COMMITS_IN_FLIGHT")]
    pub commits_in_flight: Option<NonZeroUsize>,
    /// Longest time between the starts of two transactions that are not full and that nobody waits for, 3 unless given:
    /// it is less where Postgres is quick; 0 starts each at once.
    #[arg(long, value_name = "MILLISECONDS", env = "SLUICE_COMMIT_INTERVAL",
          value_parser = clap::value_parser!(u16).range(..=1000))]
    pub commit_interval: Option<u16>,
    /// About how much memory accounts may take, in MiB, 256 unless given; with 0 batches lock and read all of their accounts.
    /// Half of it is certain: count one for 1,000 accounts in use, and twice what their metadata takes. An account that is
    /// not in memory is read.
    #[arg(long, value_name = "MIB", env = "SLUICE_ACCOUNTS_MEMORY")]
    pub accounts_memory: Option<u16>,
    /// For fault tests: while this file exists, one batch stands still inside its open transaction.
    #[arg(long, value_name = "PATH", hide = true)]
    pub failpoint: Option<PathBuf>,
}

impl Args {
    pub fn config(&self) -> Config {
        let mut config = Config {
            failpoint: self.failpoint.clone().map(Failpoint),
            ..Config::default()
        };
        if let Some(commands) = self.batch_commands {
            config.batch_commands_max = commands.get();
        }
        if let Some(commits) = self.commits_in_flight {
            config.commits_in_flight = commits.get();
        }
        if let Some(milliseconds) = self.commit_interval {
            config.commit_interval_max = Duration::from_millis(milliseconds.into());
        }
        if let Some(mebibytes) = self.accounts_memory {
            config.accounts_remembered_bytes_max = usize::from(mebibytes) << 20;
        }
        config
    }
}
