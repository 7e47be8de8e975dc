//! A result for people.
//!
//! Invariant: a result that was not synced to disk says so before it says anything else.

use std::time::Duration;

use super::counts::Counts;
use super::figures::Figures;
use super::machine::Machine;
use super::percentiles::Percentiles;

pub(super) fn print(figures: &Figures, machine: &Machine) {
    println!("\n{}", machine.line());
    println!("{}", figures.fsync.line());
    if !figures.durable {
        println!(
            "NOT DURABLE: what is counted here as accepted or applied was not all synced to disk, or nobody said so."
        );
    }
    println!(
        "\n{} transfers accepted in {:?}",
        figures.transfers,
        Duration::from_secs_f64(figures.duration_seconds)
    );
    println!(
        "  {:<12} {:>10.0} /s",
        "offered", figures.offered_per_second
    );
    println!(
        "  {:<12} {:>10.0} /s",
        "accepted", figures.accepted_per_second
    );
    for (name, rate) in [
        ("applied", figures.applied_per_second),
        ("published", figures.published_per_second),
    ] {
        match rate {
            Some(rate) => println!("  {name:<12} {rate:>10.0} /s"),
            None => println!("  {name:<12} {:>10}", "not known"),
        }
    }
    print_latencies(figures);
    print_processes(figures);
    print_rest(figures);
}

fn print_latencies(figures: &Figures) {
    println!(
        "\n  {:<12} {:>9} {:>9} {:>9} {:>9} {:>9}   ms from when it was due",
        "latency to", "p50", "p95", "p99", "p99.9", "max"
    );
    let latencies = &figures.latency_ms;
    for (name, percentiles) in [
        ("answered", latencies.answered),
        ("logged", latencies.logged),
        ("applied", latencies.applied),
        ("published", latencies.published),
    ] {
        if let Some(Percentiles {
            p50,
            p95,
            p99,
            p999,
            max,
        }) = percentiles
        {
            println!("  {name:<12} {p50:>9.2} {p95:>9.2} {p99:>9.2} {p999:>9.2} {max:>9.2}");
        }
    }
    if let Some((second, worst)) = figures.worst_second() {
        let Percentiles { p95, p99, max, .. } = worst;
        println!(
            "  {:<12} {:>9} {p95:>9.2} {p99:>9.2} {:>9} {max:>9.2}   of what was due in second {second}",
            "worst second", "", ""
        );
    }
    if let Some(counts) = &figures.counts {
        print_counts(counts);
    }
}

fn print_counts(counts: &Counts) {
    let known = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.1}"));
    println!(
        "\n  records      {:>10.0} /s of {} commands\n  commits      {:>10.0} /s of {} commands in {} round trips",
        counts.records_per_second,
        known(counts.commands_per_record),
        counts.commits_per_second,
        known(counts.commands_per_commit),
        known(counts.round_trips_per_commit),
    );
}

fn print_processes(figures: &Figures) {
    println!(
        "\n  {:<12} {:>10} {:>12} {:>10}",
        "process", "CPU s", "µs/transfer", "peak MiB"
    );
    let known = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.2}"));
    for name in figures.cpu_seconds.keys() {
        let of = |values: &std::collections::BTreeMap<&'static str, Option<f64>>| {
            known(values.get(name).copied().flatten())
        };
        let memory = figures.peak_memory_bytes.get(name).copied().flatten();
        println!(
            "  {name:<12} {:>10} {:>12} {:>10}",
            of(&figures.cpu_seconds),
            of(&figures.cpu_microseconds_per_transfer),
            memory.map_or("-".to_owned(), |bytes| (bytes >> 20).to_string()),
        );
    }
    let total = known(figures.cpu_microseconds_per_transfer_total);
    println!("  {:<12} {:>10} {total:>12}", "all", "");
}

fn print_rest(figures: &Figures) {
    println!();
    if let (Some(backlog), Some(drain)) = (figures.backlog_at_stop, figures.drain_seconds) {
        println!("  backlog at the stop: {backlog}, applied {drain:.3} s later");
    }
    if figures.drained == Some(false) {
        println!("  NOT DRAINED: commands were left on the log");
    }
    if let Some(not_kept) = figures.not_kept() {
        println!("  NOT KEPT: {not_kept}");
    }
    if let Some(outcomes) = &figures.outcomes {
        for (outcome, count) in outcomes {
            println!("  {outcome}: {count}");
        }
    }
    println!("  dropped: {}", figures.dropped);
    let known =
        |count: Option<u64>| count.map_or("not known".to_owned(), |count| count.to_string());
    println!(
        "  lost: {}  doubled: {}",
        known(figures.lost),
        known(figures.doubled)
    );
    for (code, count) in &figures.errors {
        println!("  error {code}: {count}");
    }
}
