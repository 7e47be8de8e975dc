//! `sluice bench sweep`: the rate is raised until the system does not keep up.
//!
//! Invariant: the last step of a curve is the one that passed the limit, so that a curve shows where it ends.

use std::fmt::Write as _;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Context;
use serde::Serialize;
use serde_json::{Value, json};

use super::figures::Figures;
use super::machine::Machine;
use super::measured::System;
use super::percentiles::Percentiles;
use super::plot;
use super::{measure, prepare, prove, settings, stop_on_signal, stop_system, write_json};
use crate::args::{Rate, SweepArgs};

/// Most milliseconds that 95 % of the transfers may take until they are applied.
const APPLIED_P95_MAX: f64 = 60.0;
/// Most seconds' worth of transfers that may be left when the last one arrives.
const BACKLOG_SECONDS_MAX: u64 = 1;
/// Steps beyond any machine.
const STEPS_MAX: usize = 60;

/// One step of the curve.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) rate: u32,
    #[serde(flatten)]
    pub(super) figures: Figures,
    /// Why the sweep ends here.
    pub(super) passed: Option<&'static str>,
}

#[derive(Serialize)]
struct Curve<'c> {
    steps: &'c [Step],
    /// The highest rate that was kept up.
    sustained_per_second: Option<u32>,
    settings: Value,
    machine: &'c Machine,
    verify: Option<Value>,
}

pub(super) async fn run(args: &SweepArgs) -> anyhow::Result<ExitCode> {
    let stop = stop_on_signal()?;
    let mut system = System::start(&args.system, &args.load).await?;
    let swept = sweep(&mut system, args, &stop).await;
    stop_system(system, swept).await
}

async fn sweep(
    system: &mut System,
    args: &SweepArgs,
    stop: &Arc<AtomicBool>,
) -> anyhow::Result<bool> {
    let work = prepare(system, &args.system, &args.load, stop).await?;
    let machine = Machine::look(system.log.as_ref(), system.database.as_ref()).await;
    println!("{}\n{}", machine.line(), header());
    let mut steps: Vec<Step> = Vec::new();
    let mut rate = args.from;
    while steps.len() < STEPS_MAX && !stop.load(Ordering::Relaxed) {
        let pace = measure::pace(Rate::PerSecond(rate), args.duration);
        let figures = measure::measure(system, &work, pace, stop).await?;
        let taken = Step {
            rate,
            passed: passed(rate, &figures),
            figures,
        };
        println!("{}", line(&taken));
        let is_last = taken.passed.is_some();
        steps.push(taken);
        if is_last {
            break;
        }
        rate = next_rate(rate, args.step);
    }
    let durable = steps.iter().all(|step| step.figures.durable);
    if !durable {
        println!("NOT DURABLE: not everything was synced to disk, or nobody said so.");
    }
    let clean = prove(system, &args.load).await?;
    write(args, &steps, |steps| Curve {
        steps,
        sustained_per_second: sustained(steps),
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
    Ok(clean != Some(false))
}

fn write<'c>(
    args: &SweepArgs,
    steps: &'c [Step],
    curve: impl FnOnce(&'c [Step]) -> Curve<'c>,
) -> anyhow::Result<()> {
    if let Some(path) = &args.csv {
        let csv = csv(steps)?;
        std::fs::write(path, csv).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &args.svg {
        write_svg(path, steps)?;
    }
    match &args.json {
        Some(path) => write_json(path, &curve(steps)),
        None => Ok(()),
    }
}

fn write_svg(path: &Path, steps: &[Step]) -> anyhow::Result<()> {
    let svg = plot::svg(steps)?;
    std::fs::write(path, svg).with_context(|| format!("writing {}", path.display()))
}

fn next_rate(rate: u32, per_cent: u32) -> u32 {
    let next = u64::from(rate) * u64::from(per_cent) / 100;
    u32::try_from(next).unwrap_or(u32::MAX).max(rate + 1)
}

fn sustained(steps: &[Step]) -> Option<u32> {
    let kept_up = steps.iter().filter(|step| step.passed.is_none());
    kept_up.map(|step| step.rate).max()
}

/// Why the sweep ends after a step, if it does.
fn passed(rate: u32, figures: &Figures) -> Option<&'static str> {
    // Where EVENTS cannot be read, the answers are all there is.
    let slowest = figures.latency_ms.last_known();
    let backlog_max = u64::from(rate) * BACKLOG_SECONDS_MAX;
    if figures.dropped > 0 || figures.drained == Some(false) {
        Some("the rate was not taken")
    } else if figures
        .backlog_at_stop
        .is_some_and(|backlog| backlog > backlog_max)
    {
        Some("the backlog grows")
    } else if slowest.is_none_or(|slowest| slowest.p95 > APPLIED_P95_MAX) {
        Some("p95 to applied is above 60 ms")
    } else {
        None
    }
}

fn header() -> String {
    format!(
        "{:>8} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}",
        "rate",
        "accepted",
        "applied",
        "log p50",
        "log p99",
        "app p50",
        "app p95",
        "app p99",
        "backlog"
    )
}

fn line(step: &Step) -> String {
    let figures = &step.figures;
    let latencies = &figures.latency_ms;
    let of = |found: Option<Percentiles>, pick: fn(&Percentiles) -> f64| {
        found.map_or("-".to_owned(), |found| format!("{:.2}", pick(&found)))
    };
    format!(
        "{:>8} {:>9.0} {:>9.0} {:>9} {:>9} {:>9} {:>9} {:>9} {:>8}  {}",
        step.rate,
        figures.accepted_per_second,
        figures.applied_per_second.unwrap_or(0.0),
        of(latencies.logged, |found| found.p50),
        of(latencies.logged, |found| found.p99),
        of(latencies.applied, |found| found.p50),
        of(latencies.applied, |found| found.p95),
        of(latencies.applied, |found| found.p99),
        figures.backlog_at_stop.unwrap_or(0),
        step.passed.unwrap_or_default(),
    )
}

fn csv(steps: &[Step]) -> anyhow::Result<String> {
    let mut text =
        "rate,offered_per_second,accepted_per_second,applied_per_second,published_per_second"
            .to_owned();
    for stage in ["logged", "applied", "published"] {
        for point in ["p50", "p95", "p99", "p999", "max"] {
            write!(text, ",{stage}_{point}_ms")?;
        }
    }
    text.push_str(",backlog_at_stop,drain_seconds,dropped,errors\n");
    for step in steps {
        let figures = &step.figures;
        let known = |value: Option<f64>| value.map_or_else(String::new, |value| value.to_string());
        write!(
            text,
            "{},{},{},{},{}",
            step.rate,
            figures.offered_per_second,
            figures.accepted_per_second,
            known(figures.applied_per_second),
            known(figures.published_per_second)
        )?;
        let latencies = &figures.latency_ms;
        for found in [latencies.logged, latencies.applied, latencies.published] {
            let points =
                found.map(|found| [found.p50, found.p95, found.p99, found.p999, found.max]);
            for place in 0..5 {
                write!(text, ",{}", known(points.map(|points| points[place])))?;
            }
        }
        let backlog = figures.backlog_at_stop.map(|backlog| backlog.to_string());
        writeln!(
            text,
            ",{},{},{},{}",
            backlog.unwrap_or_default(),
            known(figures.drain_seconds),
            figures.dropped,
            figures.errors.values().sum::<u64>()
        )?;
    }
    Ok(text)
}

#[cfg(test)]
pub(super) mod tests {
    use std::collections::BTreeMap;

    use super::super::figures::Latencies;
    use super::super::machine::Fsync;
    use super::*;

    pub(in super::super) fn step(rate: u32, applied_p95: f64) -> Step {
        let percentiles = |p95: f64| Percentiles {
            p50: p95 / 2.0,
            p95,
            p99: p95 * 2.0,
            p999: p95 * 3.0,
            max: p95 * 9.0,
        };
        let figures = Figures {
            transfers: 10,
            duration_seconds: 1.0,
            offered_per_second: f64::from(rate),
            accepted_per_second: f64::from(rate),
            applied_per_second: Some(f64::from(rate)),
            published_per_second: None,
            latency_ms: Latencies {
                logged: Some(percentiles(2.0)),
                applied: Some(percentiles(applied_p95)),
                published: None,
                answered: None,
            },
            counts: None,
            errors: BTreeMap::new(),
            dropped: 0,
            replayed: 0,
            applied: None,
            outcomes: None,
            lost: Some(0),
            doubled: Some(0),
            backlog_at_stop: Some(0),
            drain_seconds: Some(0.01),
            drained: Some(true),
            cpu_microseconds_per_transfer: BTreeMap::new(),
            cpu_microseconds_per_transfer_total: None,
            cpu_seconds: BTreeMap::new(),
            peak_memory_bytes: BTreeMap::new(),
            durable: false,
            fsync: Fsync::default(),
            seconds: Vec::new(),
        };
        Step {
            rate,
            passed: passed(rate, &figures),
            figures,
        }
    }

    #[test]
    fn a_sweep_ends_where_the_system_does_not_keep_up() {
        assert_eq!(step(1000, 60.0).passed, None);
        assert_eq!(
            step(1000, 60.1).passed,
            Some("p95 to applied is above 60 ms")
        );
        let with = |change: fn(&mut Figures)| {
            let mut figures = step(1000, 5.0).figures;
            change(&mut figures);
            passed(1000, &figures)
        };
        assert_eq!(with(|figures| figures.backlog_at_stop = Some(1000)), None);
        assert_eq!(
            with(|figures| figures.backlog_at_stop = Some(1001)),
            Some("the backlog grows")
        );
        assert_eq!(
            with(|figures| figures.dropped = 1),
            Some("the rate was not taken")
        );
        assert_eq!(
            with(|figures| figures.drained = Some(false)),
            Some("the rate was not taken")
        );
        assert!(
            with(|figures| (figures.latency_ms.applied, figures.latency_ms.logged) = (None, None))
                .is_some()
        );
    }

    #[test]
    fn each_step_is_a_quarter_up_and_never_stands_still() {
        assert_eq!(next_rate(1000, 125), 1250);
        assert_eq!(next_rate(1, 101), 2);
        assert_eq!(
            sustained(&[step(1000, 5.0), step(1250, 9.0), step(1562, 90.0)]),
            Some(1250)
        );
    }

    #[test]
    fn every_line_of_the_csv_has_every_column() {
        let text = csv(&[step(1000, 5.0), step(1250, 90.0)]).unwrap();
        let columns: Vec<usize> = text.lines().map(|line| line.split(',').count()).collect();
        assert_eq!(columns, [24, 24, 24]);
        assert!(
            text.lines()
                .nth(1)
                .unwrap()
                .starts_with("1000,1000,1000,1000,,1,2,4,")
        );
    }
}
