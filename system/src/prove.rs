//! The proof, with a progress bar and for people to read.
//!
//! Invariant: what is printed is what `verify` found.

use verify::{Config, Connections, Report, Step};

use crate::Progress;

/// Checks everything that is applied by now.
pub async fn prove(log: &streams::Log, database: &sqlx::PgPool) -> anyhow::Result<Report> {
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

pub fn print(report: &Report) {
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
