//! Processes that compete for the partitions, crash and come back under another name.

use std::time::Duration;

use futures::future::join_all;
use rand::RngExt as _;
use schemas::Partition;
use tokio_util::sync::CancellationToken;
use worker::Config;
use worker::simulation::{Ended, Processor, Turns, hold};

use crate::double::{Log, Process, Shared, Store};

/// What every process of a run is started with.
#[derive(Clone)]
pub(crate) struct Setup {
    pub(crate) world: Shared,
    pub(crate) config: Config,
    pub(crate) partitions: u16,
    pub(crate) payload_bytes_max: usize,
    /// Nobody hands a partition over any more.
    pub(crate) calm: CancellationToken,
    /// The run ends.
    pub(crate) closing: CancellationToken,
}

impl Setup {
    /// One process after another, until the run ends.
    pub(crate) async fn processes(self, place: usize) {
        let mut generation = 0;
        while !self.closing.is_cancelled() {
            generation += 1;
            let process = Process::new(self.world.clone());
            let owner = format!("process {place}, start {generation}");
            let processor = Processor {
                store: Store(process.clone()),
                log: Log {
                    process: process.clone(),
                    partitions: self.partitions,
                    payload_bytes_max: self.payload_bytes_max,
                },
                config: self.config.clone(),
                owner,
                turns: Turns::new(
                    self.config.commits_in_flight,
                    self.config.commit_interval_max,
                ),
            };
            let partitions =
                (0..self.partitions).map(|number| self.work(&processor, Partition(number)));
            if process.run(join_all(partitions)).await.is_none() {
                self.world.lock().seen.count("crashes");
                self.pause(100..4000).await;
            }
        }
    }

    /// Takes one partition whenever it is free, as the assignment does, and gives it back now and then.
    async fn work(&self, processor: &Processor<Store, Log>, partition: Partition) {
        while !self.closing.is_cancelled() {
            let released = self.closing.child_token();
            let held = hold(processor, partition, &released);
            let turn = async {
                self.pause(1000..15_000).await;
                if !self.calm.is_cancelled() {
                    released.cancel();
                }
                std::future::pending::<Ended>().await
            };
            let ended = tokio::select! {
                biased;
                ended = held => ended,
                ended = turn => ended,
            };
            match ended {
                Ended::Released => {
                    if !self.closing.is_cancelled() {
                        self.world.lock().seen.count("hand-overs");
                    }
                    self.pause(1000..4000).await;
                }
                Ended::Lost => {
                    self.world
                        .lock()
                        .seen
                        .count("partitions lost to another process");
                    self.pause(300..1500).await;
                }
            }
        }
    }

    async fn pause(&self, milliseconds: std::ops::Range<u64>) {
        let milliseconds = self.world.lock().chance.random_range(milliseconds);
        tokio::select! {
            biased;
            () = self.closing.cancelled() => {}
            () = tokio::time::sleep(Duration::from_millis(milliseconds)) => {}
        }
    }
}
