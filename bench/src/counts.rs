//! How much was done at a time: records on the log, commits, round trips of a commit.
//!
//! Invariant: each is counted by who keeps it, before the load and after it: records by the stream, commits and what
//! is in them by EVENTS, round trips by the processors.

use anyhow::Context;
use ingest::metrics::RECORD_INTERVAL_MAX;
use serde::Serialize;
use worker::metrics::{BATCH_COMMANDS, COMMIT_INTERVAL_MAX, ROUND_TRIPS};

use super::client::Client;
use super::figures::{per_second, round, seconds};
use super::landed::Landed;
use super::load::Sent;
use super::measured::System;

/// Where the counters of others stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counters {
    /// On COMMANDS.
    records: u64,
    /// `None` where not every processor could be asked.
    processors: Option<Processors>,
}

/// As the processors counted, all of them together.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Processors {
    round_trips: f64,
    commits: f64,
}

/// Between two looks.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Counts {
    /// Of commands, whoever sent them.
    pub(super) records: u64,
    pub(super) records_per_second: f64,
    pub(super) commits: u64,
    pub(super) commits_per_second: f64,
    pub(super) commands_per_record: Option<f64>,
    pub(super) commands_per_commit: Option<f64>,
    /// Each with an answer to wait for: COMMIT is one, and what goes together with another is none of its own. Those of
    /// tries that were given up count too. `null`: a processor could not be asked both times.
    pub(super) round_trips_per_commit: Option<f64>,
}

/// Longest times between two starts with which the roles run; `None` where no role says so.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Intervals {
    pub(super) record_max_ms: Option<f64>,
    pub(super) commit_max_ms: Option<f64>,
}

impl Counters {
    /// `None` where the log is not known.
    pub(super) async fn read(system: &System) -> anyhow::Result<Option<Self>> {
        let Some(log) = &system.log else {
            return Ok(None);
        };
        Ok(Some(Self {
            records: log.last_appended().await?,
            processors: processors(&system.metrics).await.ok(),
        }))
    }

    /// What happened since then.
    pub(super) fn until(self, after: Self, sent: &Sent, landed: &Landed) -> Counts {
        let records = after.records.saturating_sub(self.records);
        let taken = |until| seconds(sent.started, until);
        let of =
            |count: u64| (count > 0).then(|| round(landed.commands as f64 / count as f64, 100.0));
        let processors = self.processors.zip(after.processors);
        Counts {
            records,
            records_per_second: per_second(records, taken(sent.last_accepted)),
            commits: landed.commits,
            commits_per_second: per_second(landed.commits, taken(landed.last_commit)),
            commands_per_record: of(records),
            commands_per_commit: of(landed.commits),
            round_trips_per_commit: processors
                .and_then(|(before, after)| round_trips_per_commit(before, after)),
        }
    }
}

/// `None` also where a processor was started anew in between: it counts from zero again.
fn round_trips_per_commit(before: Processors, after: Processors) -> Option<f64> {
    let round_trips = after.round_trips - before.round_trips;
    let commits = after.commits - before.commits;
    (round_trips > 0.0 && commits > 0.0).then(|| round(round_trips / commits, 100.0))
}

async fn processors(addresses: &[String]) -> anyhow::Result<Processors> {
    anyhow::ensure!(!addresses.is_empty(), "no processor says where it counts");
    let mut all = Processors::default();
    for address in addresses {
        let page = page(address).await?;
        all.round_trips += total(&page, ROUND_TRIPS);
        all.commits += total(&page, &format!("{BATCH_COMMANDS}_count"));
    }
    Ok(all)
}

async fn page(address: &str) -> anyhow::Result<String> {
    let host = address.strip_suffix("/metrics").unwrap_or(address);
    let page = Client::new(host, "")?.get("/metrics").await?;
    String::from_utf8(page.body.to_vec()).context("reading metrics")
}

impl Intervals {
    /// As the roles say.
    pub(super) async fn read(addresses: &[String]) -> anyhow::Result<Self> {
        let mut all = Self::default();
        for address in addresses {
            let page = page(address).await?;
            let longest = |known: Option<f64>, name| {
                let seconds = values(&page, name).map(|seconds| round(seconds * 1000.0, 1000.0));
                seconds.chain(known).max_by(f64::total_cmp)
            };
            all.record_max_ms = longest(all.record_max_ms, RECORD_INTERVAL_MAX);
            all.commit_max_ms = longest(all.commit_max_ms, COMMIT_INTERVAL_MAX);
        }
        Ok(all)
    }
}

fn total(page: &str, name: &str) -> f64 {
    values(page, name).sum()
}

/// All values of a metric in Prometheus' text format, whatever their labels.
fn values(page: &str, name: &str) -> impl Iterator<Item = f64> {
    page.lines().filter_map(move |line| {
        let rest = line.strip_prefix(name)?;
        let is_whole_name = rest.starts_with([' ', '{']);
        let value = is_whole_name.then(|| rest.rsplit(' ').next())??;
        value.parse::<f64>().ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP a_total things\n# TYPE a_total counter\na_total 3\na_total_more 100\na_seconds_bucket{le=\"1\"} 7\na_seconds_count{of=\"x y\"} 7\na_seconds_count 2\n";

    #[test]
    fn a_metric_is_the_sum_over_its_labels_and_no_other() {
        for (name, expected) in [("a_total", "3"), ("a_seconds_count", "9"), ("b_total", "0")] {
            assert_eq!(total(PAGE, name).abs().to_string(), expected, "{name}");
        }
    }

    #[test]
    fn round_trips_are_told_only_of_processors_that_counted_on() {
        let at = |round_trips, commits| Processors {
            round_trips,
            commits,
        };
        assert_eq!(
            round_trips_per_commit(at(80.0, 10.0), at(165.0, 20.0)),
            Some(8.5)
        );
        for (before, after) in [
            (at(80.0, 10.0), at(40.0, 5.0)),
            (at(0.0, 10.0), at(0.0, 20.0)),
            (at(80.0, 10.0), at(80.0, 10.0)),
        ] {
            assert_eq!(round_trips_per_commit(before, after), None);
        }
    }

    #[test]
    fn records_and_commits_are_told_with_what_is_in_them() {
        let mut sent = Sent::new(0, 1);
        sent.start(1_000_000_000);
        sent.last_accepted = 3_000_000_000;
        let mut landed = Landed::new(&sent);
        (landed.commits, landed.commands) = (50, 1000);
        landed.last_commit = 6_000_000_000;
        let at = |records| Counters {
            records,
            processors: None,
        };
        let counts = at(1000).until(at(1400), &sent, &landed);
        let expected = Counts {
            records: 400,
            records_per_second: 200.0,
            commits: 50,
            commits_per_second: 10.0,
            commands_per_record: Some(2.5),
            commands_per_commit: Some(20.0),
            round_trips_per_commit: None,
        };
        assert_eq!(counts, expected);
    }
}
