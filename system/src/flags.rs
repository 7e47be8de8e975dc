//! The list of roles as flags and commands.
//!
//! Invariant: a role that stands in the list is a command of its own and is taken in by whatever runs all of them.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{ArgMatches, Args, Command, FromArgMatches, Subcommand};

use crate::Servers;
use crate::role::{Chosen, ROLES, Role};

/// Every role with its flags.
#[derive(Debug, Clone)]
pub struct AllRoles(pub Vec<Chosen>);

/// One role alone, in this process.
#[derive(Debug)]
pub struct OneRole {
    pub chosen: Chosen,
    pub alone: AloneArgs,
}

/// What a role takes besides its own flags where it runs alone.
#[derive(Debug, Clone, Args)]
pub struct AloneArgs {
    #[command(flatten)]
    pub servers: Servers,
    /// Where /metrics and /healthz of this process answer; port 0 takes a free one.
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "127.0.0.1:0",
        env = "SLUICE_METRICS_LISTEN"
    )]
    pub metrics_listen: SocketAddr,
    /// Writes `metrics_url`, `pid` and, where there is an API, `api_url` here, as JSON, once it answers.
    #[arg(long, value_name = "PATH")]
    pub ready_file: Option<PathBuf>,
}

impl AllRoles {
    /// What it takes to run each in a process of its own.
    pub fn words(&self) -> Vec<String> {
        let roles = self.0.iter();
        roles.map(|role| role.words().join(" ")).collect()
    }
}

impl Args for AllRoles {
    fn augment_args(command: Command) -> Command {
        ROLES
            .iter()
            .fold(command, |command, role| (role.arguments)(command))
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for AllRoles {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let chosen: Result<_, _> = ROLES.iter().map(|role| role.choose(matches)).collect();
        chosen.map(Self)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

impl Subcommand for OneRole {
    fn augment_subcommands(command: Command) -> Command {
        ROLES
            .iter()
            .fold(command, |command, role| command.subcommand(alone(role)))
    }

    fn augment_subcommands_for_update(command: Command) -> Command {
        Self::augment_subcommands(command)
    }

    fn has_subcommand(name: &str) -> bool {
        ROLES.iter().any(|role| role.command == name)
    }
}

impl FromArgMatches for OneRole {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let (name, matches) = matches
            .subcommand()
            .ok_or_else(|| clap::Error::new(ErrorKind::MissingSubcommand))?;
        let role = ROLES
            .iter()
            .find(|role| role.command == name)
            .ok_or_else(|| clap::Error::new(ErrorKind::InvalidSubcommand))?;
        Ok(Self {
            chosen: role.choose(matches)?,
            alone: AloneArgs::from_arg_matches(matches)?,
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

fn alone(role: &Role) -> Command {
    let mut command = (role.arguments)(AloneArgs::augment_args(Command::new(role.command)));
    if command
        .get_arguments()
        .all(|arg| arg.get_long() != Some("listen"))
    {
        // As it was called before there was one name for it.
        command = command.mut_arg("metrics_listen", |arg| arg.alias("listen"));
    }
    // Last, as the flags bring words of their own.
    command.about(role.about).after_help(format!(
        "Example:\n  sluice {} --nats nats://… --nats-monitor http://… --database postgres://…",
        role.command
    ))
}
