//! What dies in the middle of a load of 10,000 transfers a second that `sluice bench` offers, and counts one by one.
//!
//! Invariant: each fault strikes while transfers are left to be applied, and the system goes on by itself after it.

use std::path::PathBuf;

use nix::sys::signal::Signal;
use serde_json::Value;

use crate::process::{Role, eventually, signal};
use crate::system::System;

const RATE: u64 = 10_000;
const SECONDS: u64 = 2;
const ACCOUNTS: u64 = 200;
/// Applied before and after a fault.
const SOME: u64 = 500;

/// Of two processors one is killed, the other takes over.
#[tokio::test]
async fn a_processor_killed_under_load_loses_nothing_and_doubles_nothing() {
    let system = System::bare().await;
    let load = Load::start(&system, &["--processors", "2"]).await;
    system.progress(SOME).await;
    signal(load.processor(), Signal::SIGKILL);
    load.is_in_the_middle(&system).await;
    system.progress(SOME).await;
    load.check(&system).await;
}

/// It wakes up when its partitions have another owner, who is at work on what was left.
#[tokio::test]
async fn a_processor_stopped_under_load_for_longer_than_its_lease_is_fenced() {
    let system = System::bare().await;
    let load = Load::start(&system, &["--processors", "2"]).await;
    system.progress(SOME).await;
    let epochs = eventually("each has a partition", async || {
        let (owners, epochs) = owners_and_epochs(&system).await;
        (owners == 2).then_some(epochs)
    })
    .await;
    signal(load.processor(), Signal::SIGSTOP);
    eventually("the other one takes over", async || {
        let (owners, now) = owners_and_epochs(&system).await;
        (owners == 1 && now > epochs).then_some(())
    })
    .await;
    load.is_in_the_middle(&system).await;
    signal(load.processor(), Signal::SIGCONT);
    load.check(&system).await;
}

#[tokio::test]
async fn a_nats_server_killed_under_load_loses_nothing_and_doubles_nothing() {
    let system = System::bare().await;
    let load = Load::start(&system, &["--processors", "2"]).await;
    for _ in 0..2 {
        system.progress(SOME).await;
        system.nats.kill().unwrap();
        system.nats.restart().await.unwrap();
        load.is_in_the_middle(&system).await;
    }
    system.progress(SOME).await;
    load.check(&system).await;
}

#[tokio::test]
async fn a_postgres_killed_under_load_loses_nothing_and_doubles_nothing() {
    let system = System::with_own_postgres().await;
    let load = Load::start(&system, &["--processors", "2"]).await;
    for _ in 0..2 {
        system.progress(SOME).await;
        system.postgres.as_ref().unwrap().kill().unwrap();
        system.postgres.as_ref().unwrap().restart().await.unwrap();
        load.is_in_the_middle(&system).await;
    }
    system.progress(SOME).await;
    load.check(&system).await;
}

/// What it had not answered may be on the log or not; what it had answered is.
#[tokio::test]
async fn an_ingest_killed_under_load_loses_nothing_that_it_promised() {
    let mut system = System::start().await;
    system.start_processor(&[]).await;
    let (api, key) = (system.api_url.clone(), system.admin_key.clone());
    let load = Load::start(&system, &["--api", &api, "--key", &key]).await;
    system.progress(SOME).await;
    system.ingest.as_mut().unwrap().kill();
    system
        .start_ingest(api.strip_prefix("http://").unwrap())
        .await;
    load.is_in_the_middle(&system).await;
    system.progress(SOME).await;
    let figures = load.check(&system).await;
    let lost = figures["errors"]["connection_lost"].as_u64();
    assert!(lost.is_some_and(|lost| lost > 0), "{figures:#}");
}

/// A bench that sends.
struct Load {
    bench: Role,
    ready: Value,
    figures: PathBuf,
}

impl Load {
    /// Everything is open and sending has begun, or is about to.
    async fn start(system: &System, more: &[&str]) -> Self {
        let figures = system.path().join("figures.json");
        let (nats, monitor) = (system.nats.url(), system.nats.monitor_url());
        let numbers = [RATE, SECONDS, ACCOUNTS].map(|number| number.to_string());
        let mut args = vec!["bench", "--nats", &nats, "--nats-monitor", &monitor];
        args.extend(["--database", &system.database_url]);
        args.extend(["--rate", &numbers[0], "--duration", &numbers[1]]);
        args.extend(["--accounts", &numbers[2], "--connections", "256"]);
        args.extend(["--json", figures.to_str().unwrap()]);
        args.extend(more);
        let (bench, ready) = Role::start(system.path(), "bench", &args).await;
        Self {
            bench,
            ready,
            figures,
        }
    }

    fn processor(&self) -> u32 {
        let pid = self.ready["pids"]["processors"][0].as_u64().unwrap();
        u32::try_from(pid).unwrap()
    }

    async fn is_in_the_middle(&self, system: &System) {
        let applied = system.transfers().await;
        let all = RATE * SECONDS + ACCOUNTS;
        assert!(
            applied < all,
            "the fault came too late: {applied} of {all} were applied"
        );
    }

    /// What was accepted is applied, each transfer once, and `verify` finds nothing.
    async fn check(mut self, system: &System) -> Value {
        let status = eventually("the bench ends", async || self.bench.ended()).await;
        assert!(status.success(), "{}", self.bench.log());
        let figures = std::fs::read(&self.figures).unwrap();
        let figures: Value = serde_json::from_slice(&figures).unwrap();
        assert_eq!(figures["verify"]["clean"], true, "{figures:#}");
        for yes in ["drained", "durable"] {
            assert_eq!(figures[yes], true, "{yes}: {figures:#}");
        }
        for none in ["lost", "doubled"] {
            assert_eq!(figures[none], 0, "{none}: {figures:#}");
        }
        let number = |name: &str| figures[name].as_u64().unwrap();
        let failed: u64 = figures["errors"]
            .as_object()
            .unwrap()
            .values()
            .map(|count| count.as_u64().unwrap())
            .sum();
        let sent = number("transfers") + failed + number("dropped");
        assert_eq!(sent, RATE * SECONDS, "{figures:#}");
        // What was answered with "outcome unknown" may have been applied too.
        let (accepted, applied) = (number("transfers"), number("applied"));
        assert!(
            (accepted..=accepted + failed).contains(&applied),
            "{figures:#}"
        );
        // Each account got its money by a transfer.
        assert_eq!(system.transfers().await, applied + ACCOUNTS);
        figures
    }
}

/// How many processors hold partitions, and all epochs together: they only grow.
async fn owners_and_epochs(system: &System) -> (i64, i64) {
    sqlx::query_as("SELECT count(DISTINCT owner), sum(epoch)::bigint FROM partitions")
        .fetch_one(&system.database)
        .await
        .unwrap()
}
