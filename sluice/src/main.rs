//! The binary: one word per role, opens connections and hands them over.
//!
//! Invariant: nothing is decided here; a role reads top to bottom: configuration, parts, run, shutdown.

#![allow(clippy::print_stdout, reason = "the binary talks to people")]

mod administer;
mod cli;
mod partitions;
mod verify;

use std::process::ExitCode;

use clap::Parser;

use crate::cli::{Cli, Command, MigrateArgs};

fn main() -> ExitCode {
    let cli = Cli::parse();
    init_tracing(&cli);
    if cli.end_with_parent {
        std::thread::spawn(end_with_parent);
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cli.threads())
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
        Command::Role(role) => system::run_alone(role).await,
        Command::Migrate(args) => migrate(args).await,
        Command::Verify(args) => verify::run(args).await,
        Command::Keys(args) => administer::keys(args).await,
        Command::Ledgers(args) => administer::ledgers(args).await,
        Command::Partitions(args) => partitions::run(args).await,
    }
}

async fn migrate(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    let (_, log) = system::migrate(&args.servers, &args.streams, "migrate").await?;
    println!(
        "the database is up to date; the log has {} partitions",
        log.partitions()
    );
    Ok(ExitCode::SUCCESS)
}

fn init_tracing(cli: &Cli) {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_max_level(cli.log_level())
        .with_target(false)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
}
