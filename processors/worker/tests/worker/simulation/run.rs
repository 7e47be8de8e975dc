//! One run: publish while everything fails, drain while nothing does, then check.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use schemas::{LedgerName, Partition, Units};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use worker::{Config, times};

use super::check::check;
use super::processes::Setup;
use super::scenario::{Batch, CALM_ROUNDS, scenario};
use crate::double::{Fault, Faults, Point, Seen, Shared};

const PROCESSES: usize = 2;
/// The longest standstill and the lease of a process that crashed last are over by then.
const FAULTS_FADE: Duration = Duration::from_secs(40);
/// Drained, unless something is stuck.
const DRAIN_MAX: Duration = Duration::from_mins(5);

pub(crate) struct Outcome {
    pub(crate) seen: Seen,
    pub(crate) trace: blake3::Hash,
}

/// Runs a seed. Even seeds have two partitions, odd ones have one; each is about one fault at one place, and the others
/// happen too.
pub(crate) fn run(seed: u64) -> Outcome {
    let case = usize::try_from(seed / 2).unwrap();
    let point = Point::ALL[case % Point::ALL.len()];
    let fault = Fault::ALL[case / Point::ALL.len() % Fault::ALL.len()];
    let one_in = [50, 150, 400][StdRng::seed_from_u64(!seed).random_range(0..3)];
    run_with(seed, Faults::about(point, fault, one_in))
}

pub(crate) fn run_with(seed: u64, faults: Faults) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    let done = catch_unwind(AssertUnwindSafe(|| {
        runtime.block_on(simulate(seed, faults))
    }));
    done.unwrap_or_else(|panic| {
        eprintln!("seed {seed} fails");
        resume_unwind(panic)
    })
}

async fn simulate(seed: u64, faults: Faults) -> Outcome {
    let mut chance = StdRng::seed_from_u64(seed);
    let partitions = if seed.is_multiple_of(2) { 2 } else { 1 };
    let batches = scenario(&mut chance, partitions);
    let world = Shared::new(chance.random(), partitions, times::LEASE);
    prepare(&world, faults, &mut chance);
    let setup = Setup {
        world: world.clone(),
        config: config(&mut chance),
        partitions,
        payload_bytes_max: 1 << 20,
        calm: CancellationToken::new(),
        closing: CancellationToken::new(),
    };
    let processes: Vec<_> = (0..PROCESSES)
        .map(|place| tokio::spawn(setup.clone().processes(place)))
        .collect();
    let intruder = tokio::spawn(intrude(
        world.clone(),
        StdRng::seed_from_u64(chance.random()),
    ));
    let (while_failing, while_calm) =
        batches.split_at(batches.len() - CALM_ROUNDS * usize::from(partitions));
    publish(&world, while_failing, &mut chance).await;
    tokio::time::sleep(Duration::from_secs(chance.random_range(1..20))).await;

    intruder.abort();
    world.lock().faults = Faults::NONE;
    setup.calm.cancel();
    tokio::time::sleep(FAULTS_FADE).await;
    heal(&world, while_calm, partitions).await;
    setup.closing.cancel();
    for process in processes {
        process.await.expect("no process panics");
    }
    let mut world = world.lock();
    check(&mut world, &batches, partitions);
    Outcome {
        seen: world.seen.clone(),
        trace: world.trace.finalize(),
    }
}

fn prepare(world: &Shared, faults: Faults, chance: &mut StdRng) {
    let mut world = world.lock();
    let ledger = journal::Ledger {
        number: 1,
        units: Units::default(),
    };
    world
        .tables
        .ledgers
        .insert(LedgerName::parse("sim").unwrap(), ledger);
    world.faults = faults;
    if chance.random_bool(0.3) {
        world.idle_max = None;
    }
}

fn config(chance: &mut StdRng) -> Config {
    Config {
        batch_commands_max: [1, 8, 2000][chance.random_range(0..3)],
        unpublished_commits_max: [1, 8][chance.random_range(0..2)],
        commits_in_flight: [1, 2][chance.random_range(0..2)],
        conflicts_max: [2, 20][chance.random_range(0..2)],
        lease: times::LEASE,
        ..Config::default()
    }
}

async fn publish(world: &Shared, batches: &[Batch], chance: &mut StdRng) {
    for batch in batches {
        if chance.random_bool(0.4) {
            tokio::time::sleep(Duration::from_millis(chance.random_range(1..2000))).await;
        }
        world.lock().append(batch.record.clone());
    }
}

/// What an owner has to put right by itself: nobody takes its partition over any more.
async fn heal(world: &Shared, batches: &[Batch], partitions: u16) {
    let (after_purge, stolen) = batches.split_at(usize::from(partitions));
    world.lock().events.empty();
    for batch in after_purge {
        world.lock().append(batch.record.clone());
    }
    drain(world, partitions).await;
    for batch in stolen {
        let mut world = world.lock();
        world.append(batch.record.clone());
        for consumer in world.commands.consumer_names() {
            drop(world.commands.pull(&consumer));
        }
    }
    drain(world, partitions).await;
}

/// Somebody with the `nats` command: takes records from our consumers, deletes them, purges EVENTS or
/// publishes there.
async fn intrude(world: Shared, mut chance: StdRng) {
    loop {
        tokio::time::sleep(Duration::from_millis(chance.random_range(100..4000))).await;
        let mut world = world.lock();
        let names = world.commands.consumer_names();
        let Some(name) = names.last() else { continue };
        let name = names[chance.random_range(0..names.len())..]
            .first()
            .unwrap_or(name)
            .clone();
        match chance.random_range(0..21) {
            0..12 => drop(world.commands.pull(&name)),
            12..16 => drop(world.commands.redeliver(&name)),
            16..19 => world.commands.delete_consumer(&name),
            19 => {
                world.events.empty();
                world.seen.count("purges of EVENTS");
            }
            _ => {
                let partitions: Vec<Partition> = world.tables.partitions.keys().copied().collect();
                let partition = partitions[chance.random_range(0..partitions.len())];
                world.events.publish_foreign(partition);
                world.seen.count("records of somebody else's on EVENTS");
            }
        }
    }
}

/// Waits until everything is applied and published.
async fn drain(world: &Shared, partitions: u16) {
    let started = Instant::now();
    while !(0..partitions).all(|number| is_drained(world, Partition(number))) {
        assert!(
            started.elapsed() < DRAIN_MAX,
            "the partitions do not go on: {:?}",
            world.lock().tables.partitions
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

fn is_drained(world: &Shared, partition: Partition) -> bool {
    let world = world.lock();
    let applied = world.tables.partitions[&partition].applied;
    let all_applied = world
        .commands
        .after(partition, applied.sequence())
        .next()
        .is_none();
    let published = world.events.last(partition).position();
    let all_copied = world.events.copied(partition).at
        == (world.tables.dead_letters.keys())
            .filter(|at| at.partition == partition)
            .max()
            .copied();
    all_applied && published == Some(applied) && all_copied
}
