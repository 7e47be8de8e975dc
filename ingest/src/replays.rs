//! Repeats that are recognised without asking the log.
//!
//! Invariant: an entry exists only after the acknowledgement, and it only ever confirms an equal fingerprint, while the
//! log is the one that acknowledged it. Equal requests at the same time join the append under way.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use schemas::{LinePosition, Timestamp, TransferId};
use tokio::sync::oneshot;

use crate::append::AppendFailed;

/// Transfers are spread over this many locks by the first bits of the id, which are as good as random.
const SHARDS: usize = 16;

pub(crate) type Fingerprint = [u8; 16];

/// A transfer that the log acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Known {
    pub(crate) fingerprint: Fingerprint,
    pub(crate) at: LinePosition,
    pub(crate) accepted_at: Timestamp,
}

type Joined = oneshot::Receiver<Result<Known, AppendFailed>>;

#[derive(Debug)]
pub(crate) struct Replays {
    shards: [Mutex<Shard>; SHARDS],
    logged_max: usize,
}

#[derive(Debug, Default)]
struct Shard {
    transfers: HashMap<TransferId, State>,
    /// In the order of their acknowledgements; the oldest make room.
    logged: VecDeque<TransferId>,
}

#[derive(Debug)]
enum State {
    UnderWay(UnderWay),
    Logged(Known),
}

#[derive(Debug)]
struct UnderWay {
    fingerprint: Fingerprint,
    joined: Vec<oneshot::Sender<Result<Known, AppendFailed>>>,
}

/// What is known about a transfer that a client asks for.
#[derive(Debug)]
pub(crate) enum Seen {
    /// By nobody lately: the caller appends it and says how that went.
    New(Claim),
    /// The same request is being appended.
    UnderWay(Joined),
    /// The same request is on the log.
    Logged(Known),
    /// Another request has this key.
    Differs,
}

impl Replays {
    /// Remembers about as many as `entries_max`.
    pub(crate) fn new(entries_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| Mutex::default()),
            logged_max: entries_max.div_ceil(SHARDS),
        }
    }

    /// `is_current` says whether what the log acknowledged at a place is still there.
    pub(crate) fn claim(
        self: &Arc<Self>,
        id: TransferId,
        fingerprint: Fingerprint,
        is_current: impl Fn(LinePosition) -> bool,
    ) -> Seen {
        let under_way = State::UnderWay(UnderWay {
            fingerprint,
            joined: Vec::new(),
        });
        match self.shard(id).transfers.entry(id) {
            Entry::Vacant(entry) => {
                entry.insert(under_way);
            }
            Entry::Occupied(mut entry) => match entry.get_mut() {
                State::UnderWay(append) if append.fingerprint == fingerprint => {
                    let (sender, receiver) = oneshot::channel();
                    append.joined.push(sender);
                    return Seen::UnderWay(receiver);
                }
                State::Logged(known) if !is_current(known.at) => {
                    entry.insert(under_way);
                }
                State::Logged(known) if known.fingerprint == fingerprint => {
                    return Seen::Logged(*known);
                }
                State::UnderWay(_) | State::Logged(_) => return Seen::Differs,
            },
        }
        Seen::New(Claim {
            replays: Arc::clone(self),
            id,
            is_open: true,
        })
    }

    /// The transfer became a dead letter: its next repeat is a new attempt.
    pub(crate) fn forget(&self, id: TransferId) {
        self.shard(id).forget(id);
    }

    fn shard(&self, id: TransferId) -> MutexGuard<'_, Shard> {
        self.shards[usize::from(id.to_bytes()[0]) % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// Gives those who joined the append that is over.
    fn settle(
        &mut self,
        id: TransferId,
        known: Option<Known>,
        logged_max: usize,
    ) -> Vec<oneshot::Sender<Result<Known, AppendFailed>>> {
        let settled = match known {
            Some(known) => {
                self.logged.push_back(id);
                self.transfers.insert(id, State::Logged(known))
            }
            None => self.transfers.remove(&id),
        };
        if self.logged.len() > logged_max
            && let Some(oldest) = self.logged.pop_front()
        {
            self.forget(oldest);
        }
        match settled {
            Some(State::UnderWay(append)) => append.joined,
            Some(State::Logged(_)) | None => Vec::new(),
        }
    }

    fn forget(&mut self, id: TransferId) {
        if let Entry::Occupied(entry) = self.transfers.entry(id)
            && let State::Logged(_) = entry.get()
        {
            entry.remove();
        }
    }
}

/// The right and duty to append one transfer. Dropped unfinished, it leaves those who joined without an answer.
#[derive(Debug)]
pub(crate) struct Claim {
    replays: Arc<Replays>,
    id: TransferId,
    is_open: bool,
}

impl Claim {
    pub(crate) fn settle(mut self, result: Result<Known, AppendFailed>) {
        for client in self.close(result.ok()) {
            // A client that left needs no answer.
            client.send(result).ok();
        }
    }

    fn close(&mut self, known: Option<Known>) -> Vec<oneshot::Sender<Result<Known, AppendFailed>>> {
        self.is_open = false;
        let mut shard = self.replays.shard(self.id);
        shard.settle(self.id, known, self.replays.logged_max)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_open {
            self.close(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = [7; 16];
    const LOGGED_MAX: usize = 10 * SHARDS;

    fn known() -> Known {
        Known {
            fingerprint: [1; 16],
            at: "3.1042.0".parse().unwrap(),
            accepted_at: Timestamp::default(),
        }
    }

    fn claimed(replays: &Arc<Replays>) -> Claim {
        match replays.claim(TransferId::from_bytes(ID), [1; 16], |_| true) {
            Seen::New(claim) => claim,
            other => panic!("expected a claim, found {other:?}"),
        }
    }

    #[test]
    fn an_equal_request_joins_and_hears_the_same() {
        let replays = Arc::new(Replays::new(LOGGED_MAX));
        let claim = claimed(&replays);
        let Seen::UnderWay(mut joined) =
            replays.claim(TransferId::from_bytes(ID), [1; 16], |_| true)
        else {
            panic!("the append is under way");
        };
        claim.settle(Ok(known()));
        assert_eq!(joined.try_recv().unwrap(), Ok(known()));
        let again = replays.claim(TransferId::from_bytes(ID), [1; 16], |_| true);
        assert!(matches!(again, Seen::Logged(found) if found == known()));
    }

    #[test]
    fn another_fingerprint_is_never_confirmed() {
        let replays = Arc::new(Replays::new(LOGGED_MAX));
        let claim = claimed(&replays);
        let other = || replays.claim(TransferId::from_bytes(ID), [2; 16], |_| true);
        assert!(matches!(other(), Seen::Differs));
        claim.settle(Ok(known()));
        assert!(matches!(other(), Seen::Differs));
    }

    #[test]
    fn a_failed_or_abandoned_append_leaves_no_entry() {
        let replays = Arc::new(Replays::new(LOGGED_MAX));
        claimed(&replays).settle(Err(AppendFailed::LogUnavailable));
        drop(claimed(&replays));
        drop(claimed(&replays));
    }

    #[test]
    fn what_an_earlier_log_acknowledged_is_appended_again() {
        let replays = Arc::new(Replays::new(LOGGED_MAX));
        claimed(&replays).settle(Ok(known()));
        for fingerprint in [[1; 16], [2; 16]] {
            let gone = |at| at != known().at;
            let again = replays.claim(TransferId::from_bytes(ID), fingerprint, gone);
            assert!(matches!(again, Seen::New(_)), "{again:?}");
        }
    }

    #[test]
    fn the_oldest_make_room_and_nothing_under_way_does() {
        let replays = Arc::new(Replays::new(2 * SHARDS));
        // All of one shard.
        let ids = [1, 2, 3].map(|number| {
            let mut id = ID;
            id[15] = number;
            TransferId::from_bytes(id)
        });
        let claim = |id| replays.claim(id, [1; 16], |_| true);
        let settle = |id| match claim(id) {
            Seen::New(claim) => claim.settle(Ok(known())),
            other => panic!("expected a claim, found {other:?}"),
        };
        ids.into_iter().for_each(settle);
        for (id, is_known) in [(ids[1], true), (ids[2], true), (ids[0], false)] {
            let seen = claim(id);
            assert_eq!(matches!(seen, Seen::Logged(_)), is_known, "{seen:?}");
        }
        // Forgotten and under way again, while its old place in the order comes up.
        replays.forget(ids[1]);
        let Seen::New(again) = claim(ids[1]) else {
            panic!("it was forgotten");
        };
        settle(ids[0]);
        assert!(matches!(claim(ids[1]), Seen::UnderWay(_)));
        again.settle(Ok(known()));
        assert!(matches!(claim(ids[1]), Seen::Logged(_)));
    }
}
