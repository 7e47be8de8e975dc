//! Which life of the log a position is of: a stream may be created again, or restored from an older copy, and a sequence
//! then means another record.
//!
//! Invariant: a position that is given out is of the life that its record stands in, before and after the operator
//! adopted it; what is remembered of an earlier life is not believed. What Postgres said last is enough: nobody waits
//! for it here.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use schemas::{LinePosition, Partition, Position, Timestamp};
use streams::Log;

use crate::store::Store;

/// How often the log is asked whether it is still the same.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// The life that a partition's positions in Postgres are of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Life {
    pub(crate) generation: u16,
    pub(crate) stream_created: Option<Timestamp>,
    pub(crate) applied: Position,
    /// When the log stored the record at `applied`.
    pub(crate) applied_at: Timestamp,
}

#[derive(Debug)]
pub(crate) struct Lives {
    store: Arc<Store>,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    known: BTreeMap<Partition, Life>,
    /// The stream, as it was last looked at.
    created: Option<Timestamp>,
    last_sequence: u64,
    /// How often we had been connected then.
    connects: u64,
    /// Generations that an older copy of their stream has ended, though Postgres does not say so yet.
    ended: BTreeMap<Partition, u16>,
}

impl Lives {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self {
            store,
            state: RwLock::default(),
        }
    }

    /// What Postgres says.
    pub(crate) fn set_known(&self, known: BTreeMap<Partition, Life>) {
        self.write().known = known;
    }

    /// The generation that a record has which stands on the log now.
    pub(crate) fn generation(&self, partition: Partition) -> u16 {
        self.read().generation(partition)
    }

    /// Whether what was acknowledged at this place is still there.
    pub(crate) fn is_current(&self, log: &Log, at: LinePosition) -> bool {
        let state = self.read();
        state.connects == log.connects()
            && state.generation(at.partition) == at.position.generation()
    }

    /// Before a record is sent: whoever answers on a new connection is asked first which log it holds.
    pub(crate) async fn meet(&self, log: &Log) {
        if self.read().connects != log.connects() {
            self.look(log).await;
        }
    }

    /// A record was acknowledged. Where its place is a surprise, the log is asked first what it is now; one that does
    /// not answer is taken for what it was.
    pub(crate) async fn acknowledged(&self, log: &Log, sequence: u64) {
        if !self.write().expects(sequence, log.connects()) {
            self.look(log).await;
        }
    }

    /// Looks every so often, for ever.
    pub(crate) async fn watch(&self, log: &Log) {
        loop {
            tokio::time::sleep(LOOK_PAUSE).await;
            self.look(log).await;
        }
    }

    pub(crate) async fn look(&self, log: &Log) {
        if let Err(error) = self.try_look(log).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "the log does not say whether it is the same"
            );
        }
    }

    async fn try_look(&self, log: &Log) -> Result<(), streams::Error> {
        let connects = log.connects();
        let is_new_connection = self.read().connects != connects;
        if is_new_connection && let Some(known) = self.store.lives_soon().await {
            self.set_known(known);
        }
        let known = self.read().known.clone();
        let found = log.identity().await?;
        let mut ended = BTreeMap::new();
        // A copy is restored while its server is stopped.
        if is_new_connection {
            for (partition, life) in known {
                if life.stream_created == Some(found.created)
                    && !is_there(log, partition, &life).await?
                {
                    tracing::warn!(%partition, "the log is an older copy; positions begin anew");
                    ended.insert(partition, life.generation);
                }
            }
        }
        let mut state = self.write();
        if state.created.is_some_and(|known| known != found.created) {
            tracing::warn!(created = %found.created, "the stream of commands was created again; positions begin anew");
        }
        state.ended.extend(ended);
        state.created = Some(found.created);
        state.last_sequence = found.last_sequence;
        state.connects = connects;
        Ok(())
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the log holds the record that was applied last, as a takeover asks.
async fn is_there(log: &Log, partition: Partition, life: &Life) -> Result<bool, streams::Error> {
    let sequence = life.applied.sequence();
    if sequence == 0 {
        return Ok(true);
    }
    let stored_at = log.stored_at(partition, sequence).await?;
    Ok(stored_at == Some(life.applied_at))
}

impl State {
    /// Adopting a stream raises the generation by one, so that is what its records have before, too.
    fn generation(&self, partition: Partition) -> u16 {
        let life = self.known.get(&partition).copied().unwrap_or_default();
        let is_another = matches!(
            (life.stream_created, self.created),
            (Some(known), Some(found)) if known != found
        );
        let has_ended = self.ended.get(&partition) == Some(&life.generation);
        life.generation + u16::from(is_another || has_ended)
    }

    /// Sequences only grow while the stream is the same.
    fn expects(&mut self, sequence: u64, connects: u64) -> bool {
        let expected = self.connects == connects && sequence > self.last_sequence;
        if expected {
            self.last_sequence = sequence;
        }
        expected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Partition = Partition(0);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_nanoseconds(seconds * 1_000_000_000)
    }

    fn state(generation: u16, created: i64) -> State {
        let life = Life {
            generation,
            stream_created: Some(at(created)),
            ..Life::default()
        };
        State {
            known: BTreeMap::from([(HERE, life)]),
            created: Some(at(1)),
            last_sequence: 1200,
            connects: 1,
            ended: BTreeMap::new(),
        }
    }

    #[test]
    fn another_stream_has_the_generation_that_its_adoption_gives_it() {
        assert_eq!(State::default().generation(HERE), 0);
        let mut state = state(3, 1);
        assert_eq!(state.generation(HERE), 3);
        state.created = Some(at(2));
        assert_eq!(state.generation(HERE), 4);
        state.known = self::state(4, 2).known;
        assert_eq!(state.generation(HERE), 4);
    }

    #[test]
    fn an_older_copy_ends_a_generation_once() {
        let mut state = state(3, 1);
        state.ended.insert(HERE, 3);
        assert_eq!(state.generation(HERE), 4);
        state.known = self::state(4, 1).known;
        assert_eq!(state.generation(HERE), 4);
    }

    #[test]
    fn a_sequence_that_does_not_grow_is_a_surprise_and_so_is_a_new_connection() {
        let mut state = state(0, 1);
        assert!(state.expects(1201, 1));
        for (sequence, connects) in [(1201, 1), (5, 1), (1300, 2)] {
            assert!(!state.expects(sequence, connects));
        }
        assert!(state.expects(1202, 1));
    }
}
