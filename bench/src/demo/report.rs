//! What happened, for people.
//!
//! Invariant: a figure that was not measured is not printed.

#![expect(clippy::float_arithmetic, reason = "rates and percentiles, not money")]

use std::collections::BTreeMap;
use std::time::Duration;

use super::file::FileSent;
use super::outcomes::{Counted, Drained};
use super::send::Sent;
use super::traffic::Plan;

pub(crate) fn print_generated(plan: &Plan, sent: &Sent, drained: &Drained, counted: &Counted) {
    println!(
        "\nWhat happened (seed {}, {} accounts):",
        plan.seed, plan.accounts
    );
    number("requests", sent.requests);
    number("accepted", sent.accepted);
    number("posted", counted.posted);
    breakdown("refused", &counted.refused);
    number("replayed before the log", sent.replayed);
    breakdown("recognised on the log", &counted.repeats);
    breakdown("turned away", &sent.problems);
    number("dead letters", counted.dead_letters);
    println!();
    latency("latency to logged", &sent.logged);
    latency("latency to applied", &sent.applied);
    println!(
        "  {:<26} {:>10}/s over {:.1} s",
        "accepted",
        rate(sent.accepted, sent.took),
        sent.took.as_secs_f64()
    );
    println!(
        "  {:<26} {:>10}/s over {:.1} s",
        "applied",
        rate(sent.accepted, drained.took),
        drained.took.as_secs_f64()
    );
}

pub(crate) fn print_file(sent: &FileSent) {
    println!("\nWhat happened to the file:");
    number("lines", sent.lines);
    breakdown("decided", &sent.decided);
    number("replayed", sent.replayed);
    breakdown("turned away", &sent.problems);
    for (line, problem) in &sent.first_problems {
        println!("  line {line}: {problem}");
    }
    if sent.problems.values().sum::<u64>() > sent.first_problems.len() as u64 {
        println!("  … and more");
    }
    println!(
        "  {:<26} {:>10}/s over {:.1} s",
        "sent",
        rate(sent.lines, sent.took),
        sent.took.as_secs_f64()
    );
}

fn number(name: &str, value: u64) {
    println!("  {name:<26} {value:>10}");
}

fn breakdown(name: &str, parts: &BTreeMap<String, u64>) {
    number(name, parts.values().sum());
    for (part, count) in parts {
        println!("    {part:<24} {count:>10}");
    }
}

fn latency(name: &str, microseconds: &[u32]) {
    if microseconds.is_empty() {
        return;
    }
    let mut sorted = microseconds.to_vec();
    sorted.sort_unstable();
    let at = |percent: usize| {
        let place = (sorted.len() * percent)
            .div_ceil(100)
            .clamp(1, sorted.len())
            - 1;
        f64::from(sorted[place]) / 1000.0
    };
    println!(
        "  {name:<26} p50 {:.1} ms   p95 {:.1} ms   p99 {:.1} ms   ({} requests)",
        at(50),
        at(95),
        at(99),
        sorted.len()
    );
}

fn rate(count: u64, took: Duration) -> u64 {
    if took.is_zero() {
        return 0;
    }
    u64::try_from(u128::from(count) * 1_000_000 / took.as_micros().max(1)).unwrap_or(u64::MAX)
}
