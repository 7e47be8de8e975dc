//! Flags, and the `SLUICE_*` variables behind them.
//!
//! Invariant: the environment is read here and nowhere else.

use std::num::NonZero;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ingest::Scope;
use schemas::LedgerName;
use system::Servers;
use tracing::Level;

const THREADS_MAX: i64 = 1024;

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
    #[arg(
        long,
        global = true,
        env = "SLUICE_LOG",
        default_value = "default",
        value_name = "LEVEL"
    )]
    log: LogLevel,
    /// Threads of this process; unless given, half of the cores for a role alone, and all of them for the rest.
    #[arg(
        long,
        global = true,
        env = "SLUICE_THREADS",
        value_name = "N",
        value_parser = clap::value_parser!(u16).range(1..=THREADS_MAX)
    )]
    threads: Option<u16>,
    /// For processes that `bench` starts: standard input is a pipe, and its end is theirs.
    #[arg(long, global = true, hide = true)]
    pub(crate) end_with_parent: bool,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum LogLevel {
    Default,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl Cli {
    /// A role shares the cores with the log, Postgres and its clients; a thread more than it needs is woken for work
    /// that the others would have done.
    pub(crate) fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        match (self.threads, &self.command) {
            (Some(threads), _) => usize::from(threads),
            (None, Command::Role(_)) => (cores / 2).max(1),
            (None, _) => cores,
        }
    }

    /// By default roles tell what they do, and commands that print an answer only warn.
    pub(crate) fn log_level(&self) -> Level {
        match (self.log, &self.command) {
            (LogLevel::Default, Command::Role(_)) | (LogLevel::Info, _) => Level::INFO,
            (LogLevel::Default | LogLevel::Warn, _) => Level::WARN,
            (LogLevel::Error, _) => Level::ERROR,
            (LogLevel::Debug, _) => Level::DEBUG,
            (LogLevel::Trace, _) => Level::TRACE,
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
    #[command(flatten)]
    Role(system::OneRole),
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
#[command(after_help = "Example:\n  sluice migrate --nats nats://… --database postgres://…")]
pub(crate) struct MigrateArgs {
    #[command(flatten)]
    pub(crate) servers: Servers,
    #[command(flatten)]
    pub(crate) streams: streams::Args,
}

#[derive(Debug, Args)]
#[command(after_help = "Example:\n  sluice verify --nats nats://… --database postgres://…")]
pub(crate) struct VerifyArgs {
    #[command(flatten)]
    pub(crate) servers: Servers,
    /// Prints the report as JSON.
    #[arg(long)]
    pub(crate) json: bool,
    /// MiB of accounts that are kept in memory; more go to a temporary file.
    #[arg(long, value_name = "MIB", default_value_t = 256, value_parser = memory)]
    pub(crate) memory: usize,
    /// Leaves out the check that decides every command again.
    #[arg(long)]
    pub(crate) skip_decisions: bool,
}

fn memory(text: &str) -> Result<usize, String> {
    let mib: usize = text.parse().map_err(|_| "a whole number of MiB")?;
    if (1..=1 << 20).contains(&mib) {
        Ok(mib)
    } else {
        Err("at least 1 MiB and at most 1 TiB".to_owned())
    }
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
        #[arg(long, value_name = "LEDGER", value_parser = LedgerName::parse)]
        ledger: LedgerName,
        /// What the key may do: admin includes write, write includes read.
        #[arg(long)]
        scope: Scope,
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
        #[arg(long, value_name = "LEDGER", value_parser = LedgerName::parse)]
        ledger: LedgerName,
        #[arg(long)]
        json: bool,
    },
    /// Revokes a key within seconds, for ever.
    Revoke {
        #[command(flatten)]
        servers: Servers,
        #[arg(long, value_name = "LEDGER", value_parser = LedgerName::parse)]
        ledger: LedgerName,
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
        #[arg(value_parser = LedgerName::parse)]
        name: LedgerName,
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
        #[arg(value_parser = LedgerName::parse)]
        name: LedgerName,
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

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// Every command that does something, by its words.
    fn commands() -> Vec<(String, clap::Command)> {
        fn visit(words: &str, command: &clap::Command, found: &mut Vec<(String, clap::Command)>) {
            if !command.is_subcommand_required_set() && !words.is_empty() {
                found.push((words.to_owned(), command.clone()));
            }
            for below in command.get_subcommands() {
                visit(&format!("{words} {}", below.get_name()), below, found);
            }
        }
        let mut found = Vec::new();
        visit("", &Cli::command(), &mut found);
        found
    }

    fn variable<'c>(command: &'c clap::Command, long: &str) -> Option<&'c str> {
        let mut args = command.get_arguments();
        let arg = args.find(|arg| arg.get_long() == Some(long))?;
        arg.get_env().and_then(std::ffi::OsStr::to_str)
    }

    #[test]
    fn no_two_flags_of_a_command_have_one_name() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_takes_the_addresses_of_the_servers_needed_or_not() {
        let commands = commands();
        assert!(commands.len() >= 16, "{}", commands.len());
        for (words, command) in commands {
            for (long, name) in [
                ("nats", "SLUICE_NATS"),
                ("nats-monitor", "SLUICE_NATS_MONITOR"),
                ("database", "SLUICE_DATABASE"),
            ] {
                assert_eq!(
                    variable(&command, long),
                    Some(name),
                    "sluice{words} --{long}"
                );
            }
        }
    }

    #[test]
    fn every_flag_of_a_role_stands_wherever_the_role_runs() {
        let commands = commands();
        let of = |words: &str| -> &clap::Command {
            let found = commands.iter().find(|(name, _)| name == words);
            &found.unwrap_or_else(|| panic!("sluice{words}")).1
        };
        let mut flags = 0;
        for role in &system::ROLES {
            let own = role.flags();
            for arg in own.get_arguments() {
                let long = arg.get_long().expect("a role's flags have names");
                let name = arg.get_env().and_then(std::ffi::OsStr::to_str);
                flags += 1;
                let alone = format!(" {}", role.command);
                let about = of(&alone).get_about().map(ToString::to_string);
                assert_eq!(about.as_deref(), Some(role.about));
                for words in [
                    &alone,
                    " up",
                    " demo",
                    " bench",
                    " bench sweep",
                    " bench baseline",
                ] {
                    let command = of(words);
                    let stands = command
                        .get_arguments()
                        .any(|arg| arg.get_long() == Some(long));
                    assert!(stands, "sluice{words} --{long}");
                    assert_eq!(variable(command, long), name, "sluice{words} --{long}");
                }
            }
        }
        assert!(flags >= 6, "{flags}");
    }

    #[test]
    fn a_role_alone_says_where_its_metrics_are_by_either_name() {
        for flag in ["--metrics-listen", "--listen"] {
            let cli = Cli::parse_from(["sluice", "process", flag, "127.0.0.1:9100"]);
            let Command::Role(role) = cli.command else {
                panic!("it is another command");
            };
            assert_eq!(role.alone.metrics_listen.port(), 9100);
        }
        let cli = Cli::parse_from(["sluice", "ingest", "--listen", "127.0.0.1:9100"]);
        let Command::Role(role) = cli.command else {
            panic!("it is another command");
        };
        assert_eq!(role.alone.metrics_listen.port(), 0);
    }

    #[test]
    fn what_bench_is_told_of_a_role_is_said_to_the_process_that_runs_it() {
        let words = "sluice bench --records-in-flight 7 --allow-lazy-sync --batch-commands 9";
        let cli = Cli::parse_from(words.split(' '));
        let Command::Bench(bench) = cli.command else {
            panic!("it is another command");
        };
        assert_eq!(
            bench.roles().words(),
            [
                "ingest --listen=127.0.0.1:0 --allow-lazy-sync --records-in-flight=7",
                "process --batch-commands=9",
            ]
        );
    }

    #[test]
    fn a_role_alone_takes_half_of_the_cores_unless_told_otherwise() {
        let threads = |words: &str| Cli::parse_from(words.split(' ')).threads();
        let cores = std::thread::available_parallelism().unwrap().get();
        for (words, expected) in [
            ("sluice ingest", (cores / 2).max(1)),
            ("sluice process", (cores / 2).max(1)),
            ("sluice up", cores),
            ("sluice ingest --threads 7", 7),
            ("sluice --threads 7 up", 7),
        ] {
            assert_eq!(threads(words), expected, "{words}");
        }
        for wrong in ["0", "1025", "many"] {
            assert!(Cli::try_parse_from(["sluice", "ingest", "--threads", wrong]).is_err());
        }
    }
}
