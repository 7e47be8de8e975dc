//! Processors that join, leave and die.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::load::{Load, check_promises};
use crate::process::eventually;
use crate::system::System;

const ACCOUNTS: &[&str] = &["a", "b", "c", "d", "e", "f", "g", "h"];
/// Enough for three processes to share.
const PARTITIONS: usize = 8;

/// Partitions by owner, of those that are owned.
async fn owners(system: &System) -> BTreeMap<String, usize> {
    let mut owners = BTreeMap::new();
    for partition in system.partitions().await.as_array().unwrap() {
        if let Some(owner) = partition["owner"].as_str() {
            *owners.entry(owner.to_owned()).or_default() += 1;
        }
    }
    owners
}

async fn spread(system: &System, processes: usize) {
    eventually(
        &format!("{processes} processes share all partitions evenly"),
        async || {
            let shares: Vec<usize> = owners(system).await.into_values().collect();
            let even = shares.iter().max()? - shares.iter().min()? <= 1;
            (shares.len() == processes && shares.iter().sum::<usize>() == PARTITIONS && even)
                .then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn partitions_are_spread_evenly_while_processors_join_leave_and_die() {
    let mut system = System::with_partitions(PARTITIONS).await;
    system.open(ACCOUNTS).await;
    let load = Load::start(&system, 4, ACCOUNTS);
    spread(&system, 1).await;
    system.start_processor(&[]).await;
    spread(&system, 2).await;
    system.start_processor(&[]).await;
    spread(&system, 3).await;

    let left = system.processors.pop().unwrap();
    assert!(left.stop().await.success());
    spread(&system, 2).await;

    system.processors[0].kill();
    let died = Instant::now();
    spread(&system, 1).await;
    assert!(
        died.elapsed() < Duration::from_secs(10),
        "{:?}",
        died.elapsed()
    );
    load.progress(100).await;
    check_promises(&system, &load.stop().await).await;
}

#[tokio::test]
async fn a_processor_that_is_asked_to_stop_gives_its_partitions_back() {
    let mut system = System::with_partitions(PARTITIONS).await;
    system.open(&["a", "b"]).await;
    spread(&system, 1).await;
    let processor = system.processors.pop().unwrap();
    assert!(processor.stop().await.success());
    assert!(owners(&system).await.is_empty());
    let ingest = system.ingest.take().unwrap();
    assert!(ingest.stop().await.success());
    system.verify().await;
}
