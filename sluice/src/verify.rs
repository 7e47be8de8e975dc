//! `sluice verify`: the proof, for people or as JSON.
//!
//! Invariant: exit status 0 means that every check held.

use std::process::ExitCode;

use system::{connect, prove};
use verify::Config;

use crate::cli::VerifyArgs;

pub(crate) async fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let database = connect::open_database(args.servers.database()?, "verify").await?;
    connect::check_migrated(&database).await?;
    let log = connect::open_log(args.servers.nats()?, "verify").await?;
    let config = Config {
        memory_bytes: args.memory << 20,
        decide: !args.skip_decisions,
        ..Config::default()
    };
    let report = prove::prove(&log, &database, &config).await?;
    if args.json {
        println!(
            "{}",
            serde_json::to_string_pretty(&prove::to_json(&report))?
        );
    } else {
        prove::print(&report);
    }
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
