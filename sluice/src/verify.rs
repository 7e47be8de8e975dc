//! `sluice verify`: the proof, with a progress bar.
//!
//! Invariant: exit status 0 means that every check held.

use std::process::ExitCode;

use serde_json::json;
use verify::{Config, Connections, Report, Step};

use crate::cli::VerifyArgs;
use crate::connect;
use crate::demo::progress::Progress;

pub(crate) async fn run(args: VerifyArgs) -> anyhow::Result<ExitCode> {
    let database = connect::open_database(args.servers.database()?, "verify").await?;
    connect::check_migrated(&database).await?;
    let log = connect::open_log(args.servers.nats()?, "verify").await?;
    let report = prove(&log, &database).await?;
    if args.json {
        println!("{}", serde_json::to_string_pretty(&to_json(&report))?);
    } else {
        print(&report);
    }
    Ok(if report.is_clean() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Checks everything that is applied by now.
pub(crate) async fn prove(log: &streams::Log, database: &sqlx::PgPool) -> anyhow::Result<Report> {
    let connections = Connections {
        log: log.clone(),
        database: database.clone(),
    };
    let mut shown: Option<(&'static str, Progress, u64)> = None;
    let mut show = |step: Step| {
        if shown
            .as_ref()
            .is_none_or(|(stage, ..)| *stage != step.stage)
        {
            let what = if step.stage == "journal" {
                "verifying the journal"
            } else {
                "verifying the tables"
            };
            shown = Some((step.stage, Progress::new(what, step.total), 0));
        }
        if let Some((_, progress, before)) = &mut shown {
            progress.add(step.done.saturating_sub(*before));
            *before = step.done;
        }
    };
    let report = verify::verify(&connections, &Config::default(), &mut show).await?;
    if let Some((_, progress, _)) = shown {
        progress.finish();
    }
    Ok(report)
}

pub(crate) fn print(report: &Report) {
    println!("\nVerify:");
    for check in &report.checks {
        let verdict = if check.findings_total == 0 {
            "holds".to_owned()
        } else {
            format!("{} FINDINGS", check.findings_total)
        };
        println!(
            "  {:<10} {:<12} {} ({} {})",
            check.name, verdict, check.holds, check.checked, check.unit
        );
        for finding in &check.findings {
            println!("             - {finding}");
        }
    }
}

fn to_json(report: &Report) -> serde_json::Value {
    let checks: Vec<_> = report
        .checks
        .iter()
        .map(|check| {
            json!({
                "name": check.name,
                "holds": check.holds,
                "checked": check.checked,
                "findings_total": check.findings_total,
                "findings": check.findings,
            })
        })
        .collect();
    json!({ "clean": report.is_clean(), "checks": checks })
}
