//! `sluice demo`: the whole system with traffic, and a report of what happened.
//!
//! Invariant: everything that is reported was counted or measured in this run.

mod args;
mod file;
mod outcomes;
mod report;
mod send;
mod traffic;

use std::process::ExitCode;

use anyhow::Context;

pub use args::DemoArgs;

use system::System;
use system::{prove, shutdown};

/// # Errors
/// When something that is needed does not start, answer or take what is sent.
pub async fn run(args: DemoArgs) -> anyhow::Result<ExitCode> {
    if let (Some(path), Some(api), Some(key)) = (&args.file, &args.api, &args.key) {
        let lines = file::Lines::open(path)?;
        let sent = file::send(&lines, api, key).await?;
        report::print_file(&sent);
        return Ok(ExitCode::SUCCESS);
    }
    let shutdown = shutdown::on_signal()?;
    let system = System::start(&args.stack, &shutdown).await?;
    let clean = tokio::select! {
        clean = traffic_and_report(&args, &system) => clean,
        () = shutdown.cancelled() => Ok(true),
    };
    let clean = match clean {
        Ok(clean) => clean,
        Err(error) => {
            system.stop().await?;
            return Err(error);
        }
    };
    if args.exit || shutdown.is_cancelled() {
        system.stop().await?;
    } else {
        system.print_addresses();
        system.until_stopped(&shutdown).await?;
    }
    Ok(if clean || !args.exit {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether `verify` found nothing.
async fn traffic_and_report(args: &DemoArgs, system: &System) -> anyhow::Result<bool> {
    if let Some(path) = &args.file {
        let lines = file::Lines::open(path)?;
        if !args.no_open {
            file::open_accounts(&lines, system)
                .await
                .context("opening the accounts of the file")?;
        }
        let sent = file::send(&lines, &system.api_url, &system.admin_key).await?;
        report::print_file(&sent);
    } else {
        let plan = traffic::Plan {
            seed: args.seed,
            accounts: args.accounts,
            transfers: args.transfers,
        };
        send::open_accounts(system, &plan, args.connections)
            .await
            .context("opening the demo accounts")?;
        let sent = send::send(system, &plan, args.connections).await?;
        let applied = outcomes::drain(system, sent.started).await?;
        let counted = outcomes::count(system, &plan).await?;
        report::print_generated(&plan, &sent, &applied, &counted);
    }
    let proof = prove::prove(&system.log, &system.database, &prove::Config::default()).await?;
    prove::print(&proof);
    Ok(proof.is_clean())
}
