//! The proof, with a progress bar and for people and programs to read.
//!
//! Invariant: what is printed is what `verify` found.

use serde_json::{Value, json};
pub use verify::Config;
use verify::{Connections, Report, Step};

use crate::Progress;

/// Checks everything that is applied by now.
pub async fn prove(
    log: &streams::Log,
    database: &sqlx::PgPool,
    config: &Config,
) -> anyhow::Result<Report> {
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
            let what = format!("verifying the {}", step.stage);
            shown = Some((step.stage, Progress::new(what, step.total), 0));
        }
        if let Some((_, progress, before)) = &mut shown {
            progress.add(step.done.saturating_sub(*before));
            *before = step.done;
        }
    };
    let report = verify::verify(&connections, config, &mut show).await?;
    if let Some((_, progress, _)) = shown {
        progress.finish();
    }
    Ok(report)
}

pub fn print(report: &Report) {
    println!("\nVerify:");
    for check in &report.checks {
        let verdict = if check.skipped {
            "skipped".to_owned()
        } else if check.findings_total == 0 {
            "holds".to_owned()
        } else {
            format!("{} FINDINGS", check.findings_total)
        };
        println!(
            "  {:<12} {:<12} {} ({} {})",
            check.name, verdict, check.holds, check.checked, check.unit
        );
        for (what, count) in &check.not_decidable {
            println!("               not decidable again: {count} {what}");
        }
        for finding in &check.findings {
            println!("               - {finding}");
        }
    }
}

pub fn to_json(report: &Report) -> Value {
    let checks: Vec<_> = report
        .checks
        .iter()
        .map(|check| {
            json!({
                "name": check.name,
                "holds": check.holds,
                "checked": check.checked,
                "skipped": check.skipped,
                "not_decidable_again": check.not_decidable,
                "findings_total": check.findings_total,
                "findings": check.findings,
            })
        })
        .collect();
    json!({ "clean": report.is_clean(), "checks": checks })
}
