//! The roles: what each is called and takes, and how it is started.
//!
//! Invariant: this is the only list of them. The single commands, `up`, `demo` and `bench` take every role and all of
//! its flags from here.

use std::fmt::Debug;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

use anyhow::Context;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::Servers;

/// The command of the role of which `bench` starts several.
pub const PROCESS: &str = "process";

/// Every role, in the order in which they are shown and started.
pub static ROLES: [Role; 2] = [
    Role::new::<ingest::Args>(
        "ingest",
        "ingest",
        "Takes transfers over HTTP and appends them to the log.",
        ingest::metrics::BUCKETS,
    ),
    Role::new::<worker::Args>(
        PROCESS,
        "processor",
        "Applies the log to the balances; any number of these share the partitions.",
        worker::metrics::BUCKETS,
    ),
];

/// What a role can do, whatever its flags are.
#[derive(Debug)]
pub struct Role {
    /// The command that runs it alone.
    pub command: &'static str,
    /// What a process that runs it is called.
    pub called: &'static str,
    /// What it does, in a sentence.
    pub about: &'static str,
    pub(crate) arguments: fn(Command) -> Command,
    /// Histograms that it measures, and their upper bounds.
    pub(crate) buckets: &'static [(&'static str, &'static [f64])],
    parse: fn(&ArgMatches) -> Result<Arc<dyn Start>, clap::Error>,
}

/// A role with its flags.
#[derive(Debug, Clone)]
pub struct Chosen {
    pub role: &'static Role,
    args: Arc<dyn Start>,
    words: Vec<String>,
}

/// What the roles of a process share.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) servers: Servers,
    pub(crate) metrics: PrometheusHandle,
}

/// A role that is ready and runs.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) called: &'static str,
    /// Of its API, where it has one.
    pub(crate) api: Option<SocketAddr>,
    task: JoinHandle<anyhow::Result<()>>,
}

pub(crate) type Starting<'a> = Pin<Box<dyn Future<Output = anyhow::Result<Ready>> + Send + 'a>>;

/// What is left of a start: the role itself, and where its API answers.
pub(crate) struct Ready {
    pub(crate) api: Option<SocketAddr>,
    pub(crate) task: JoinHandle<anyhow::Result<()>>,
}

/// The flags of a role: they say all that it takes to start it.
pub(crate) trait Start: Debug + Send + Sync {
    /// Where clients will reach it.
    fn listens_on(&self) -> Option<SocketAddr> {
        None
    }

    /// Opens the role's connections, starts it and waits until it is ready.
    fn start<'a>(&'a self, host: &'a Host, stop: CancellationToken) -> Starting<'a>;
}

impl Role {
    const fn new<A: Start + clap::Args + 'static>(
        command: &'static str,
        called: &'static str,
        about: &'static str,
        buckets: &'static [(&'static str, &'static [f64])],
    ) -> Self {
        Self {
            command,
            called,
            about,
            buckets,
            arguments: A::augment_args,
            parse: |matches| Ok(Arc::new(A::from_arg_matches(matches)?)),
        }
    }

    /// All of them, as a command of no other.
    pub fn flags(&self) -> Command {
        (self.arguments)(Command::new(self.command))
    }

    pub(crate) fn choose(&'static self, matches: &ArgMatches) -> Result<Chosen, clap::Error> {
        Ok(Chosen {
            role: self,
            args: (self.parse)(matches)?,
            words: self.words(matches),
        })
    }

    /// The flags as they are said to a process of its own; it inherits the environment, where secrets stay.
    fn words(&self, matches: &ArgMatches) -> Vec<String> {
        let mut words = Vec::new();
        for arg in self.flags().get_arguments() {
            let (id, Some(long)) = (arg.get_id().as_str(), arg.get_long()) else {
                continue;
            };
            match matches.value_source(id) {
                None => {}
                Some(ValueSource::EnvVariable) if arg.is_hide_env_values_set() => {}
                Some(_) if matches!(arg.get_action(), ArgAction::SetTrue) => {
                    words.extend(matches.get_flag(id).then(|| format!("--{long}")));
                }
                Some(_) => {
                    let values = matches.get_raw(id).into_iter().flatten();
                    words.extend(
                        values.map(|value| format!("--{long}={}", value.to_string_lossy())),
                    );
                }
            }
        }
        words
    }
}

impl Chosen {
    /// What it takes to run it alone, in a process of its own.
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![self.role.command.to_owned()];
        words.extend(self.words.iter().cloned());
        words
    }

    /// Before minutes are spent on anything else.
    pub(crate) fn check_free(&self) -> anyhow::Result<()> {
        let Some(address) = self.args.listens_on() else {
            return Ok(());
        };
        std::net::TcpListener::bind(address)
            .map(drop)
            .with_context(|| format!("the API cannot listen on {address}: choose another address with --listen (127.0.0.1:0 takes a free port)"))
    }

    pub(crate) async fn start(
        &self,
        host: &Host,
        stop: CancellationToken,
    ) -> anyhow::Result<Running> {
        let called = self.role.called;
        let Ready { api, task } = self
            .args
            .start(host, stop)
            .await
            .with_context(|| format!("starting {called}"))?;
        Ok(Running { called, api, task })
    }
}

impl Running {
    pub(crate) fn has_ended(&self) -> bool {
        self.task.is_finished()
    }

    /// Waits until the role ends.
    pub(crate) async fn ended(&mut self) -> anyhow::Result<()> {
        let ended = (&mut self.task).await.context("the role panicked");
        ended
            .and_then(|ended| ended)
            .with_context(|| format!("running {}", self.called))
    }
}
