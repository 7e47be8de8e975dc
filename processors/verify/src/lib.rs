//! The proof: what must always hold, checked against Postgres and the log.
//!
//! Invariant: nothing is changed and nothing is collected: memory stays bounded whatever the tables hold. The system
//! may work meanwhile, because only what lay up to the applied positions at the start is looked at.

mod chain;
mod commands;
mod copies;
mod dead_letters;
mod decisions;
mod error;
mod events;
mod journal;
mod outcomes;
mod partition;
mod records;
mod report;
mod snapshot;
mod tables;

use std::time::Duration;

pub use error::Error;
pub use report::{CheckResult, Report};

use crate::decisions::Decisions;
use crate::partition::Pass;
use crate::report::Checks;
use crate::snapshot::Snapshot;

/// What is checked. `database` is a plain pool: whole tables are read, and the sessions of a processor are made for keys.
#[derive(Debug, Clone)]
pub struct Connections {
    pub log: streams::Log,
    pub database: sqlx::PgPool,
}

#[derive(Debug, Clone)]
pub struct Config {
    /// How many findings of each check are kept as text; all are counted.
    pub findings_max: usize,
    /// How long the log may be silent in the middle of a scan.
    pub log_wait: Duration,
    /// How many bytes of accounts are kept in memory; the rest goes to a temporary file.
    pub memory_bytes: usize,
    /// Whether every command is decided again.
    pub decide: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            findings_max: 10,
            log_wait: Duration::from_secs(30),
            memory_bytes: 256 << 20,
            decide: true,
        }
    }
}

/// How far it has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// `tables`, counted in queries, then `journal` and `decisions`, counted in commands.
    pub stage: &'static str,
    pub done: u64,
    pub total: u64,
}

pub type Progress<'a> = dyn FnMut(Step) + Send + 'a;

/// Checks everything up to the positions that are applied when it starts.
///
/// # Errors
/// When Postgres or the log cannot be read. What is wrong in them is no error: it stands in the report.
pub async fn verify(
    connections: &Connections,
    config: &Config,
    progress: &mut Progress<'_>,
) -> Result<Report, Error> {
    let mut checks = Checks::new(config.findings_max);
    let mut snapshot = Snapshot::open(&connections.database).await?;
    let bounds = snapshot.bounds().await?;
    let ledgers = snapshot.ledgers().await?;
    let ages = snapshot.ages().await?;
    let total = snapshot.commands().await?;
    check_tables(&mut snapshot, &mut checks, progress).await?;
    let last_serial = snapshot.last_serial().await?;
    let book = if config.decide {
        Some(
            snapshot
                .book(config.memory_bytes, &bounds, &mut checks.decisions)
                .await?,
        )
    } else {
        checks.decisions.skipped = true;
        None
    };
    // The journal is insert-only: up to the bounds it is the same with and without the snapshot.
    snapshot.close().await?;
    let stream = connections.log.identity().await?;
    let mut done = 0;
    for bounds in &bounds {
        let pass = Pass {
            connections,
            config,
            stream,
            bounds,
            ledgers: &ledgers,
        };
        pass.check(&mut checks, &mut |lines| {
            done += lines;
            progress(Step {
                stage: "journal",
                done,
                total,
            });
        })
        .await?;
        dead_letters::check(pass, &ages, &mut checks.dead_letters).await?;
    }
    if let Some(book) = &book {
        let decisions = Decisions {
            connections,
            config,
            stream,
            bounds: &bounds,
            ledgers: &ledgers,
            last_serial,
            book,
        };
        let mut done = 0;
        decisions
            .check(&mut checks, &mut |commands| {
                done += commands;
                progress(Step {
                    stage: "decisions",
                    done,
                    total,
                });
            })
            .await?;
    }
    Ok(checks.into_report())
}

async fn check_tables(
    snapshot: &mut Snapshot,
    checks: &mut Checks,
    progress: &mut Progress<'_>,
) -> Result<(), Error> {
    checks.money.checked = snapshot.accounts().await?;
    checks.accounts.checked = snapshot.postings().await?;
    let queries = [
        (&mut checks.money, tables::MONEY),
        (&mut checks.accounts, tables::ACCOUNTS),
        (&mut checks.outcomes, tables::BEYOND),
        (&mut checks.decisions, tables::ORDER),
    ];
    let total = queries
        .iter()
        .map(|(_, queries)| queries.len() as u64)
        .sum();
    let mut done = 0;
    for (check, queries) in queries {
        for sql in queries {
            snapshot.offenders(sql, check).await?;
            done += 1;
            progress(Step {
                stage: "tables",
                done,
                total,
            });
        }
    }
    Ok(())
}
