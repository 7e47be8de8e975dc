//! What must hold once a run is over.

use std::collections::{BTreeMap, BTreeSet};

use journal::{CommitRow, link, rebuild};
use ledger::AccountKey;
use schemas::{
    AccountId, Event, LinePosition, Outcome, ParsedEvent, Partition, Position, Transfer, Verdict,
};
use streams::EventRecord;

use super::model::{Model, say};
use super::scenario::{ACCOUNTS, Ask, Batch};
use crate::double::World;

pub(crate) fn check(world: &mut World, batches: &[Batch], partitions: u16) {
    assert!(batches.iter().all(|batch| batch.belongs(partitions)));
    let asked = asked(world, batches);
    every_command_has_one_outcome(world, &asked);
    outcomes_are_those_of_the_model(world, &asked, partitions);
    balances_follow_from_postings(world);
    commits_are_chained_and_published_once(world, partitions);
    dead_letters_are_kept_and_published(world);
    replies_tell_what_was_committed(world);
    for (partition, row) in &world.tables.partitions {
        assert_eq!(row.owner, None, "partition {partition} was not given back");
        assert_eq!(
            row.stopped, None,
            "partition {partition} says that it is stopped"
        );
    }
    count_what_happened(world, &asked);
}

/// What the log holds, line by line.
fn asked<'a>(world: &World, batches: &'a [Batch]) -> BTreeMap<LinePosition, &'a Ask> {
    let mut asked = BTreeMap::new();
    assert_eq!(world.commands.stored.len(), batches.len());
    for (stored, batch) in world.commands.stored.iter().zip(batches) {
        for (line, ask) in batch.asks.iter().enumerate() {
            let at = LinePosition {
                partition: batch.record.partition,
                position: Position::new(0, stored.sequence),
                line: u32::try_from(line).unwrap(),
            };
            asked.insert(at, ask);
        }
    }
    asked
}

fn every_command_has_one_outcome(world: &World, asked: &BTreeMap<LinePosition, &Ask>) {
    let decided: Vec<&LinePosition> = world.tables.outcomes.keys().collect();
    assert_eq!(decided, asked.keys().collect::<Vec<_>>());
}

/// Transactions hold their locks until they commit, so deciding in the order of the commits decides the same.
/// Only an account that another partition opened in the meantime may be unknown for a moment longer.
fn outcomes_are_those_of_the_model(
    world: &World,
    asked: &BTreeMap<LinePosition, &Ask>,
    partitions: u16,
) {
    let mut model = Model::default();
    for (partition, position) in &world.tables.history {
        let commit = world.tables.commits[&(*partition, *position)];
        for (at, event) in lines(world, *partition, commit.first_position, *position) {
            let (ask, said) = (asked[at], say(&event.outcome));
            if partitions > 1
                && let Ask::Transfer(transfer) = ask
                && said == "refused account_unknown"
                && !model.knows(transfer)
            {
                model.remember(transfer, &said);
                continue;
            }
            assert_eq!(said, model.decide(ask), "{at}: {ask:?}");
        }
    }
    for id in ACCOUNTS {
        let key = AccountKey {
            ledger: 1,
            id: AccountId::parse(id).unwrap(),
        };
        let stored = world.tables.accounts.get(&key);
        assert_eq!(
            stored.map(|row| (row.account.balance.minor, row.account.version)),
            model
                .accounts
                .get(id)
                .map(|held| (held.balance, held.version)),
            "{id}"
        );
    }
}

fn lines(
    world: &World,
    partition: Partition,
    first: Position,
    last: Position,
) -> impl Iterator<Item = (&LinePosition, &Event)> {
    let at = |position, line| LinePosition {
        partition,
        position,
        line,
    };
    world
        .tables
        .outcomes
        .range(at(first, 0)..=at(last, u32::MAX))
}

fn balances_follow_from_postings(world: &World) {
    let mut postings: BTreeMap<&AccountId, Vec<(i64, i64, i64)>> = BTreeMap::new();
    let mut keys = BTreeSet::new();
    for event in world.tables.outcomes.values() {
        if let Outcome::Decided(Transfer {
            id,
            order,
            verdict: Verdict::Posted { debit, credit },
            ..
        }) = &event.outcome
        {
            assert!(keys.insert(id), "{id} is posted twice");
            let amount = order.amount.minor();
            for (account, after, amount) in [
                (&order.debit_account, debit, -amount),
                (&order.credit_account, credit, amount),
            ] {
                let posting = (after.version, after.balance, amount);
                postings.entry(account).or_default().push(posting);
            }
        }
    }
    let mut sum = 0;
    for row in world.tables.accounts.values() {
        let mut postings = postings.remove(&row.account.id).unwrap_or_default();
        postings.sort_unstable();
        let (mut balance, mut version) = (0, 0);
        for (posted_version, after, amount) in postings {
            (balance, version) = (balance + amount, version + 1);
            assert_eq!(
                (posted_version, after),
                (version, balance),
                "{}",
                row.account.id
            );
        }
        assert_eq!(
            (row.account.version, row.account.balance.minor),
            (version, balance)
        );
        let least = row.account.min_balance.map(|least| least.minor);
        assert!(
            least.is_none_or(|least| balance >= least),
            "{}",
            row.account.id
        );
        sum += balance;
    }
    assert!(
        postings.is_empty(),
        "postings without an account: {postings:?}"
    );
    assert_eq!(sum, 0, "money was made or lost");
}

fn commits_are_chained_and_published_once(world: &World, partitions: u16) {
    for partition in (0..partitions).map(Partition) {
        // The time of the COMMIT is a header of the first publication, not of the record.
        let mut published = world
            .events
            .stored
            .iter()
            .map(|(_, record)| record)
            .filter(|record| record.partition == partition)
            .map(|record| EventRecord {
                committed_at: None,
                ..record.clone()
            });
        let (mut previous_hash, mut before) = ([0; 32], Position::default());
        for ((_, position), commit) in world
            .tables
            .commits
            .iter()
            .filter(|((of, _), _)| *of == partition)
        {
            assert!(commit.first_position > before && *position >= commit.first_position);
            assert_eq!(
                commit.previous_hash, previous_hash,
                "the chain breaks at {position}"
            );
            let events: Vec<Event> = lines(world, partition, commit.first_position, *position)
                .map(|(_, event)| event.clone())
                .collect();
            let record = rebuild(partition, commit, &events).unwrap();
            assert_eq!(link(&previous_hash, &record.body), commit.hash);
            assert_eq!(published.next(), Some(record), "EVENTS lacks {position}");
            (previous_hash, before) = (commit.hash, *position);
        }
        assert_eq!(
            published.next(),
            None,
            "EVENTS holds more than was committed"
        );
    }
}

fn dead_letters_are_kept_and_published(world: &World) {
    let dead: BTreeSet<&LinePosition> = world
        .tables
        .outcomes
        .iter()
        .filter(|(_, event)| matches!(event.outcome, Outcome::DeadLettered(_)))
        .map(|(at, _)| at)
        .collect();
    assert_eq!(dead, world.tables.dead_letters.keys().collect());
    for letter in world.tables.dead_letters.values() {
        let sequence = letter.at.position.sequence();
        let stored = &world.commands.stored[usize::try_from(sequence).unwrap() - 1];
        assert_eq!(letter.recorded_at, stored.at, "{}", letter.at);
        let body = &stored.record.body;
        let mut lines = body.split(|byte| *byte == b'\n');
        let line = lines.nth(usize::try_from(letter.at.line).unwrap());
        assert_eq!(
            Some(&letter.body[..]),
            if letter.whole { Some(&body[..]) } else { line }
        );
    }
    let mut published: Vec<&LinePosition> = world
        .events
        .dead_letters
        .iter()
        .map(|letter| &letter.at)
        .collect();
    // Once each, and in order within a partition.
    assert!(published.is_sorted_by(|one, next| one.partition != next.partition || one < next));
    published.sort_unstable();
    assert!(dead.into_iter().eq(published), "DLQ");
    for letter in &world.events.dead_letters {
        assert_eq!(Some(letter), world.tables.dead_letters.get(&letter.at));
    }
}

fn replies_tell_what_was_committed(world: &World) {
    for (_, reply) in &world.events.replies {
        let position = Position::from_number(reply.position);
        let stored = &world.commands.stored[usize::try_from(position.sequence()).unwrap() - 1];
        assert_eq!(Some(&reply.record), stored.record.id.as_ref());
        let told = reply
            .events
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty());
        let told: Vec<String> = told
            .map(|line| say(&ParsedEvent::parse(line).unwrap().outcome().unwrap()))
            .collect();
        let decided: Vec<String> = lines(world, stored.record.partition, position, position)
            .map(|(_, event)| say(&event.outcome))
            .collect();
        assert_eq!(told, decided, "the reply for {position}");
    }
}

fn count_what_happened(world: &mut World, asked: &BTreeMap<LinePosition, &Ask>) {
    let mut partitions_of_keys: BTreeMap<&str, BTreeSet<Partition>> = BTreeMap::new();
    for (at, ask) in asked {
        match ask {
            Ask::Transfer(transfer) if transfer.poison => {
                world.seen.count("poisonous commands buried");
            }
            Ask::Transfer(transfer) => {
                let partitions = partitions_of_keys.entry(&transfer.key).or_default();
                partitions.insert(at.partition);
            }
            Ask::Dead(_) => world.seen.count("undecodable commands buried"),
            _ => {}
        }
    }
    for _ in partitions_of_keys
        .values()
        .filter(|partitions| partitions.len() > 1)
    {
        world.seen.count("keys used on both partitions");
    }
    let used = limits_used_at_once(world);
    for _ in 0..used {
        world.seen.count("limits changed and used in one commit");
    }
    for commit in world.tables.commits.values() {
        if commit.first_position < commit.position {
            world.seen.count("batches of several records");
        }
    }
}

/// Commits that change what an account may hold and then take its balance below zero.
fn limits_used_at_once(world: &World) -> usize {
    let uses_its_limits = |(partition, commit): (Partition, &CommitRow)| {
        let mut changed = BTreeSet::new();
        lines(world, partition, commit.first_position, commit.position).any(|(_, event)| {
            match &event.outcome {
                Outcome::AccountChanged(account) => {
                    changed.insert(account.id.clone());
                    false
                }
                Outcome::Decided(Transfer {
                    order,
                    verdict: Verdict::Posted { debit, .. },
                    ..
                }) => debit.balance < 0 && changed.contains(&order.debit_account),
                _ => false,
            }
        })
    };
    let commits = world.tables.commits.iter();
    commits
        .filter(|((partition, _), commit)| uses_its_limits((*partition, commit)))
        .count()
}
