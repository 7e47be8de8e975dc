//! The binary: one word per role, opens connections and hands them over.
//!
//! Invariant: nothing is decided here; a role reads top to bottom: configuration, parts, run, shutdown.

#![allow(clippy::print_stdout, reason = "the binary talks to people")]

mod administer;
mod cli;
mod partitions;
mod roles;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command};

fn main() -> ExitCode {
    let cli = Cli::parse();
    init_tracing(&cli);
    if cli.end_with_parent {
        std::thread::spawn(end_with_parent);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: starting the runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(run(cli.command)) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ends this process when whoever started it is gone: the pipe that it holds closes then, also after a SIGKILL.
fn end_with_parent() {
    if std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink()).is_ok() {
        std::process::exit(143);
    }
}

async fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Up(args) => system::run(args).await,
        Command::Demo(args) => bench::demo::run(args).await,
        Command::Bench(args) => bench::run(args).await,
        Command::Ingest(args) => roles::ingest(args).await,
        Command::Process(args) => roles::process(args).await,
        Command::Migrate(args) => roles::migrate(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Keys(args) => administer::keys(args).await,
        Command::Ledgers(args) => administer::ledgers(args).await,
        Command::Partitions(args) => partitions::run(args).await,
    }
}

fn init_tracing(cli: &Cli) {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(cli.log_level())
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}
