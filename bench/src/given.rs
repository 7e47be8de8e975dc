//! Flags that have no meaning for a system that runs already.
//!
//! Invariant: what only says how servers and roles are started is refused together with `--api`, not passed over. It may
//! stand in the environment, which is not for `bench` alone.

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command, FromArgMatches};
use system::ROLES;

/// Takes nothing itself, and looks at what the others were told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OnlyOwn;

impl Args for OnlyOwn {
    fn augment_args(command: Command) -> Command {
        command
    }

    fn augment_args_for_update(command: Command) -> Command {
        command
    }
}

impl FromArgMatches for OnlyOwn {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let is_said = |id: &str| matches.value_source(id) == Some(ValueSource::CommandLine);
        if !is_said("api") {
            return Ok(Self);
        }
        let servers = streams::Args::augment_args(stack::Args::augment_args(Command::new("up")));
        let roles = ROLES.iter().map(system::Role::flags);
        let flags = [servers].into_iter().chain(roles).flat_map(|command| {
            let flags = command.get_arguments().map(|arg| arg.get_id().to_string());
            flags.collect::<Vec<_>>()
        });
        let flags = flags.chain(["processors".to_owned()]);
        let wrong: Vec<String> = flags
            .filter(|id| is_said(id))
            .map(|id| format!("'--{}'", id.replace('_', "-")))
            .collect();
        if wrong.is_empty() {
            return Ok(Self);
        }
        Err(clap::Error::raw(
            ErrorKind::ArgumentConflict,
            format!(
                "the argument '--api <URL>' cannot be used with {}: it is for servers and roles that are started here",
                wrong.join(", ")
            ),
        ))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::BenchArgs;

    fn parse(words: &str) -> Result<BenchArgs, clap::Error> {
        let command = BenchArgs::augment_args(Command::new("bench"));
        let matches = command.try_get_matches_from(words.split(' '))?;
        BenchArgs::from_arg_matches(&matches)
    }

    #[test]
    fn a_running_system_takes_no_flag_of_servers_and_roles() {
        for flag in [
            "--record-interval 5",
            "--commit-interval 5",
            "--batch-commands 5",
            "--listen 127.0.0.1:0",
            "--allow-lazy-sync",
            "--processors 2",
            "--partitions 4",
            "--data here",
            "--postgres-port 5",
        ] {
            for command in ["bench", "bench sweep"] {
                assert!(parse(&format!("{command} {flag}")).is_ok(), "{flag}");
                let refused = parse(&format!("{command} --api http://a:1 --key k {flag}"));
                let refused = refused.unwrap_err();
                assert_eq!(refused.kind(), ErrorKind::ArgumentConflict);
                let name = flag.split(' ').next().unwrap();
                let expected = format!("cannot be used with '{name}':");
                assert!(refused.to_string().contains(&expected), "{refused}");
            }
        }
    }

    #[test]
    fn a_running_system_takes_what_tells_of_it() {
        let words = "bench --api http://a:1 --key k --nats nats://a:2 --nats-monitor http://a:3 --database postgres://a:4/b --rate max --accounts 7";
        assert!(parse(words).is_ok());
    }
}
