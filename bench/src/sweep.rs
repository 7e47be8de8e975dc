//! `sluice bench sweep`: the rate is raised until the system does not keep up.
//!
//! Invariant: the last step of a curve is the one that failed, so that a curve shows where it ends.

use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use super::machine::Machine;
use super::measure::Work;
use super::measured::System;
use super::plot;
use super::step::{FIGURES, Pick, Spread, Step, Told, applied, logged};
use super::{measure, on_system, outputs, prepare, prove, settings};
use crate::args::{Rate, SweepArgs};

/// Steps beyond any machine.
const STEPS_MAX: usize = 60;

#[derive(Serialize)]
struct Curve<'c> {
    #[serde(skip)]
    measured: &'c [Step],
    steps: Vec<Told<'c>>,
    /// The highest rate that was kept up.
    sustained_per_second: Option<u32>,
    /// Whether a rate failed and the proof was made, unless it was left out; otherwise this is what there was so far.
    finished: bool,
    settings: &'c Value,
    machine: &'c Machine,
    verify: Option<Value>,
}

pub(super) async fn run(args: &SweepArgs) -> anyhow::Result<ExitCode> {
    outputs::check([&args.json, &args.csv, &args.svg])?;
    eprintln!("{}", longest(args));
    on_system(&args.system, &args.load, async |system| {
        sweep(system, args).await
    })
    .await
}

async fn sweep(system: &mut System, args: &SweepArgs) -> anyhow::Result<bool> {
    let work = prepare(system, &args.system, &args.load).await?;
    let machine = Machine::look(system.log.as_ref(), system.database.as_ref()).await;
    let settings = settings(system, &args.system, &args.load, &work, told(args));
    println!("{}\n{}", machine.line(), header());
    let mut steps: Vec<Step> = Vec::new();
    let mut rate = args.from;
    while steps.len() < STEPS_MAX {
        let taken = measure_step(system, args, &work, rate).await?;
        println!("{}", line(&taken));
        for not_kept in not_kept(&taken) {
            println!("{not_kept}");
        }
        let is_last = taken.failure.is_some();
        steps.push(taken);
        // What comes next may fail or be interrupted, and takes nothing away.
        write(args, &Curve::of(&steps, &settings, &machine))?;
        if is_last {
            break;
        }
        rate = next_rate(rate, args.step);
    }
    println!("{}", conclusion(&steps));
    if !steps
        .iter()
        .flat_map(|step| &step.runs)
        .all(|run| run.durable)
    {
        println!("NOT DURABLE: not everything was synced to disk, or nobody said so.");
    }
    let clean = prove(system, &args.load).await?;
    let curve = Curve {
        finished: steps.last().is_some_and(|step| step.failure.is_some()),
        verify: clean.map(|clean| json!({ "clean": clean })),
        ..Curve::of(&steps, &settings, &machine)
    };
    write(args, &curve)?;
    Ok(clean != Some(false) && steps.iter().all(|step| not_kept(step).is_empty()))
}

async fn measure_step(
    system: &mut System,
    args: &SweepArgs,
    work: &Work,
    rate: u32,
) -> anyhow::Result<Step> {
    let pace = measure::pace(Rate::PerSecond(rate), args.duration);
    let mut runs = Vec::new();
    for number in 1..=args.repeats {
        eprintln!("{rate}/s, run {number} of {} …", args.repeats);
        runs.push(measure::measure(system, work, pace).await?);
    }
    Ok(Step::new(rate, runs))
}

/// Of each run that broke what was promised. What was not drained in a run that was too fast is there at the end, as
/// the proof tells; nothing makes up for what was applied twice.
fn not_kept(step: &Step) -> Vec<String> {
    let runs = (1..).zip(&step.runs);
    let broken = runs.filter_map(|(number, run): (usize, _)| {
        let not_kept = run.not_kept_of_drained()?;
        Some(format!(
            "NOT KEPT: {}/s, run {number}: {not_kept}",
            step.rate
        ))
    });
    broken.collect()
}

/// How long the sweep may take, said before it begins.
fn longest(args: &SweepArgs) -> String {
    let runs = u64::from(args.repeats) * STEPS_MAX as u64;
    let load = Duration::from_secs(runs * u64::from(args.duration));
    format!(
        "at most {STEPS_MAX} rates with {} runs of {} s: {} min of load, and what it takes to begin, to drain and to prove; each rate is written down when it is measured",
        args.repeats,
        args.duration,
        load.as_secs().div_ceil(60),
    )
}

/// Of its own, among the settings.
fn told(args: &SweepArgs) -> Value {
    json!({
        "from": args.from,
        "step": args.step,
        "duration": args.duration,
        "repeats": args.repeats,
    })
}

impl<'c> Curve<'c> {
    /// Of the steps until now.
    fn of(steps: &'c [Step], settings: &'c Value, machine: &'c Machine) -> Self {
        Self {
            measured: steps,
            steps: steps.iter().map(Step::told).collect(),
            sustained_per_second: sustained(steps),
            finished: false,
            settings,
            machine,
            verify: None,
        }
    }
}

fn write(args: &SweepArgs, curve: &Curve<'_>) -> anyhow::Result<()> {
    let steps = curve.measured;
    let csv = args.csv.as_deref().map(|path| (path, csv(steps)));
    let svg = args.svg.as_deref().map(|path| (path, plot::svg(steps)));
    let json = args.json.as_deref();
    let json = json.map(|path| (path, outputs::json(curve)));
    outputs::write([csv, svg, json].into_iter().flatten())
}

fn next_rate(rate: u32, per_cent: u32) -> u32 {
    let next = u64::from(rate) * u64::from(per_cent) / 100;
    u32::try_from(next)
        .unwrap_or(u32::MAX)
        .max(rate.saturating_add(1))
}

fn sustained(steps: &[Step]) -> Option<u32> {
    let kept_up = steps.iter().filter(|step| step.failure.is_none());
    kept_up.map(|step| step.rate).max()
}

/// What was kept up, and what was not.
fn conclusion(steps: &[Step]) -> String {
    let kept_up = sustained(steps).map_or("no rate was kept up".to_owned(), |rate| {
        format!("kept up: {rate}/s")
    });
    let failed = steps
        .iter()
        .find_map(|step| Some((step.rate, step.failure.as_ref()?)));
    let failed = failed.map_or("no rate failed".to_owned(), |(rate, failure)| {
        format!("failed: {rate}/s, {failure}")
    });
    format!("{kept_up}; {failed}")
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
        verdict(step),
    )
}

/// Why the rate failed, or some of its runs did.
fn verdict(step: &Step) -> String {
    match (&step.failure, step.failures.first()) {
        (Some(failure), _) => failure.to_string(),
        (None, Some(failure)) => {
            let (failed, runs) = (step.failures.len(), step.runs.len());
            format!("{failed} of {runs} failed: {failure}")
        }
        (None, None) => String::new(),
    }
}

/// The median of each figure under its name, and beside it the lowest and the highest; then how many runs failed.
fn csv(steps: &[Step]) -> anyhow::Result<String> {
    let mut text = "rate".to_owned();
    for (name, _) in FIGURES {
        write!(text, ",{name},{name}_lowest,{name}_highest")?;
    }
    text.push_str(",failures\n");
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
        writeln!(text, ",{}", step.failures.len())?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use clap::{Args as _, FromArgMatches as _};

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
        let text = csv(&[step(1000, &[4.5, 4.0, 80.0]), step(1250, &[90.0])]).unwrap();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split(',').collect()).collect();
        let columns: Vec<usize> = lines.iter().map(Vec::len).collect();
        assert_eq!(columns, [2 + 3 * FIGURES.len(); 3]);
        let place = lines[0].iter().position(|name| *name == "applied_p95_ms");
        let place = place.unwrap();
        let names = [
            "applied_p95_ms",
            "applied_p95_ms_lowest",
            "applied_p95_ms_highest",
        ];
        assert_eq!(lines[0][place..place + 3], names);
        assert_eq!(lines[1][place..place + 3], ["4.5", "4", "80"]);
        assert_eq!(lines[2][place..place + 3], ["90", "90", "90"]);
        let published = lines[0].iter().position(|name| *name == "published_p50_ms");
        assert_eq!(lines[1][published.unwrap()], "");
        let failures: Vec<_> = lines.iter().filter_map(|line| line.last()).collect();
        assert_eq!(failures, [&"failures", &"1", &"1"]);
    }

    #[test]
    fn a_row_says_why_its_rate_or_some_of_its_runs_failed() {
        let why = "p95 to applied is above 60 ms";
        for (runs, expected) in [
            (&[5.0, 6.0][..], String::new()),
            (&[5.0, 90.0, 6.0], format!("1 of 3 failed: {why}")),
            (&[5.0, 90.0], why.to_owned()),
        ] {
            let step = step(1000, runs);
            assert_eq!(verdict(&step), expected, "{runs:?}");
            assert!(line(&step).ends_with(&expected), "{}", line(&step));
        }
    }

    #[test]
    fn what_is_not_kept_is_told_by_its_run_whatever_else_went_wrong() {
        for (drained, lost, doubled, expected) in [
            (true, 0, 0, None),
            (
                true,
                2,
                0,
                Some("2 accepted and without an outcome, 0 with more than one"),
            ),
            (
                true,
                0,
                1,
                Some("0 accepted and without an outcome, 1 with more than one"),
            ),
            (false, 2, 0, None),
            (
                false,
                2,
                1,
                Some("0 accepted and without an outcome, 1 with more than one"),
            ),
        ] {
            let mut step = step(1000, &[5.0, 5.0]);
            let run = &mut step.runs[1];
            (run.drained, run.lost, run.doubled) = (Some(drained), Some(lost), Some(doubled));
            let expected = expected.map(|what| format!("NOT KEPT: 1000/s, run 2: {what}"));
            assert_eq!(not_kept(&step), Vec::from_iter(expected), "{drained}");
        }
    }

    #[test]
    fn how_long_it_may_take_is_known_before() {
        let command = SweepArgs::augment_args(clap::Command::new("sweep"));
        let words = ["sweep", "--duration", "7", "--repeats", "2"];
        let matches = command.get_matches_from(words);
        let args = SweepArgs::from_arg_matches(&matches).unwrap();
        let said = longest(&args);
        assert!(
            said.starts_with("at most 60 rates with 2 runs of 7 s: 14 min of load"),
            "{said}"
        );
    }
}
