//! `sluice bench sweep`: the rate is raised until the system does not keep up.
//!
//! Invariant: the last step of a curve is the one that failed, so that a curve shows where it ends.

use std::fmt::Write as _;
use std::process::ExitCode;

use serde::Serialize;
use serde_json::{Value, json};

use super::machine::Machine;
use super::measured::System;
use super::plot;
use super::step::{FIGURES, Pick, Spread, Step, Told, applied, logged};
use super::{measure, on_system, outputs, prepare, prove, settings};
use crate::args::{Rate, SweepArgs};

/// Steps beyond any machine.
const STEPS_MAX: usize = 60;

#[derive(Serialize)]
struct Curve<'c> {
    steps: Vec<Told<'c>>,
    /// The highest rate that was kept up.
    sustained_per_second: Option<u32>,
    settings: Value,
    machine: &'c Machine,
    verify: Option<Value>,
}

pub(super) async fn run(args: &SweepArgs) -> anyhow::Result<ExitCode> {
    outputs::check([&args.json, &args.csv, &args.svg])?;
    on_system(&args.system, &args.load, async |system| {
        sweep(system, args).await
    })
    .await
}

async fn sweep(system: &mut System, args: &SweepArgs) -> anyhow::Result<bool> {
    let work = prepare(system, &args.system, &args.load).await?;
    let machine = Machine::look(system.log.as_ref(), system.database.as_ref()).await;
    println!("{}\n{}", machine.line(), header());
    let mut steps: Vec<Step> = Vec::new();
    let mut rate = args.from;
    while steps.len() < STEPS_MAX {
        let pace = measure::pace(Rate::PerSecond(rate), args.duration);
        let mut runs = Vec::new();
        for number in 1..=args.repeats {
            eprintln!("{rate}/s, run {number} of {} …", args.repeats);
            runs.push(measure::measure(system, &work, pace).await?);
        }
        let taken = Step::new(rate, runs);
        println!("{}", line(&taken));
        let is_last = taken.failure.is_some();
        steps.push(taken);
        if is_last {
            break;
        }
        rate = next_rate(rate, args.step);
    }
    let mut runs = steps.iter().flat_map(|step| &step.runs);
    if !runs.clone().all(|run| run.durable) {
        println!("NOT DURABLE: not everything was synced to disk, or nobody said so.");
    }
    // What was not drained in a run that was too fast is there at the end, as the proof tells.
    let is_kept = runs.all(|run| run.drained == Some(false) || run.is_kept());
    let clean = prove(system, &args.load).await?;
    write(args, &steps, || Curve {
        steps: steps.iter().map(Step::told).collect(),
        sustained_per_second: sustained(&steps),
        settings: settings(
            system,
            &args.system,
            &args.load,
            &work,
            Rate::PerSecond(args.from),
        ),
        machine: &machine,
        verify: clean.map(|clean| json!({ "clean": clean })),
    })?;
    Ok(clean != Some(false) && is_kept)
}

fn write<'c>(
    args: &SweepArgs,
    steps: &[Step],
    curve: impl FnOnce() -> Curve<'c>,
) -> anyhow::Result<()> {
    let csv = args.csv.as_deref().map(|path| (path, csv(steps)));
    let svg = args.svg.as_deref().map(|path| (path, plot::svg(steps)));
    let json = args.json.as_deref();
    let json = json.map(|path| (path, outputs::json(&curve())));
    outputs::write([csv, svg, json].into_iter().flatten())
}

fn next_rate(rate: u32, per_cent: u32) -> u32 {
    let next = u64::from(rate) * u64::from(per_cent) / 100;
    u32::try_from(next).unwrap_or(u32::MAX).max(rate + 1)
}

fn sustained(steps: &[Step]) -> Option<u32> {
    let kept_up = steps.iter().filter(|step| step.failure.is_none());
    kept_up.map(|step| step.rate).max()
}

fn header() -> String {
    format!(
        "{:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>19} {:>9} {:>8}",
        "rate",
        "accepted",
        "applied",
        "log p50",
        "log p99",
        "app p50",
        "app p95",
        "of all runs",
        "app p99",
        "backlog"
    )
}

/// Medians, and of what the sweep looks at the spread.
fn line(step: &Step) -> String {
    let told = |pick: Pick, decimals: usize| {
        let spread = step.spread(pick);
        spread.map_or("-".to_owned(), |spread| {
            format!("{:.decimals$}", spread.median)
        })
    };
    let p95: Pick = |run| Some(applied(run)?.p95);
    let spread = step.spread(p95).map_or("-".to_owned(), |spread| {
        format!("{:.2} to {:.2}", spread.lowest, spread.highest)
    });
    let failure = step.failure.map(|failure| failure.to_string());
    format!(
        "{:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {spread:>19} {:>9} {:>8}  {}",
        step.rate,
        told(|run| Some(run.accepted_per_second), 0),
        told(|run| run.applied_per_second, 0),
        told(|run| Some(logged(run)?.p50), 2),
        told(|run| Some(logged(run)?.p99), 2),
        told(|run| Some(applied(run)?.p50), 2),
        told(p95, 2),
        told(|run| Some(applied(run)?.p99), 2),
        told(|run| Some(run.backlog_at_stop? as f64), 0),
        failure.unwrap_or_default(),
    )
}

/// The median of each figure under its name, and beside it the lowest and the highest.
fn csv(steps: &[Step]) -> anyhow::Result<String> {
    let mut text = "rate".to_owned();
    for (name, _) in FIGURES {
        write!(text, ",{name},{name}_lowest,{name}_highest")?;
    }
    text.push('\n');
    for step in steps {
        write!(text, "{}", step.rate)?;
        for (_, pick) in FIGURES {
            match step.spread(pick) {
                Some(Spread {
                    median,
                    lowest,
                    highest,
                }) => write!(text, ",{median},{lowest},{highest}")?,
                None => text.push_str(",,,"),
            }
        }
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::super::step::tests::step;
    use super::*;

    #[test]
    fn each_step_is_a_quarter_up_and_never_stands_still() {
        assert_eq!(next_rate(1000, 125), 1250);
        assert_eq!(next_rate(1, 101), 2);
        let steps = [
            step(1000, &[5.0, 80.0, 6.0]),
            step(1250, &[9.0]),
            step(1562, &[90.0]),
        ];
        assert_eq!(sustained(&steps), Some(1250));
    }

    #[test]
    fn every_line_of_the_csv_has_the_median_and_the_spread_of_every_figure() {
        let text = csv(&[step(1000, &[4.5, 4.0, 8.0]), step(1250, &[90.0])]).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        let columns: Vec<usize> = lines.iter().map(Vec::len).collect();
        assert_eq!(columns, [1 + 3 * FIGURES.len(); 3]);
        let place = lines[0].iter().position(|name| *name == "applied_p95_ms");
        let place = place.unwrap();
        let names = [
            "applied_p95_ms",
            "applied_p95_ms_lowest",
            "applied_p95_ms_highest",
        ];
        assert_eq!(lines[0][place..place + 3], names);
        assert_eq!(lines[1][place..place + 3], ["4.5", "4", "8"]);
        assert_eq!(lines[2][place..place + 3], ["90", "90", "90"]);
        let published = lines[0].iter().position(|name| *name == "published_p50_ms");
        assert_eq!(lines[1][published.unwrap()], "");
    }
}
