//! Repeats that are recognised without asking the log.
//!
//! Invariant: an entry exists only after the acknowledgement, and it only ever confirms an equal fingerprint, while the
//! log is the one that acknowledged it. Equal requests at the same time join the append under way.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use moka::sync::Cache;
use schemas::{LinePosition, Timestamp, TransferId};
use tokio::sync::oneshot;

use crate::append::AppendFailed;

/// Claims are spread over this many locks by the first bits of the id, which are as good as random.
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
    logged: Cache<TransferId, Known>,
    under_way: [Mutex<HashMap<TransferId, UnderWay>>; SHARDS],
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
    pub(crate) fn new(entries_max: u64) -> Self {
        Self {
            logged: Cache::new(entries_max),
            under_way: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// `is_current` says whether what the log acknowledged at a place is still there.
    pub(crate) fn claim(
        self: &Arc<Self>,
        id: TransferId,
        fingerprint: Fingerprint,
        is_current: impl Fn(LinePosition) -> bool,
    ) -> Seen {
        let mut under_way = self.shard(id);
        match under_way.entry(id) {
            Entry::Occupied(mut entry) => {
                if entry.get().fingerprint != fingerprint {
                    return Seen::Differs;
                }
                let (sender, receiver) = oneshot::channel();
                entry.get_mut().joined.push(sender);
                Seen::UnderWay(receiver)
            }
            // Looked at under the lock: a claim is given up only after its entry was made.
            Entry::Vacant(entry) => match self.logged.get(&id).filter(|known| is_current(known.at))
            {
                Some(known) if known.fingerprint == fingerprint => Seen::Logged(known),
                Some(_) => Seen::Differs,
                None => {
                    entry.insert(UnderWay {
                        fingerprint,
                        joined: Vec::new(),
                    });
                    Seen::New(Claim {
                        replays: Arc::clone(self),
                        id,
                        is_open: true,
                    })
                }
            },
        }
    }

    /// The transfer became a dead letter: its next repeat is a new attempt.
    pub(crate) fn forget(&self, id: TransferId) {
        self.logged.invalidate(&id);
    }

    fn shard(&self, id: TransferId) -> MutexGuard<'_, HashMap<TransferId, UnderWay>> {
        self.under_way[usize::from(id.to_bytes()[0]) % SHARDS]
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
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
        if let Ok(known) = result {
            self.replays.logged.insert(self.id, known);
        }
        for client in self.close() {
            // A client that left needs no answer.
            client.send(result).ok();
        }
    }

    fn close(&mut self) -> Vec<oneshot::Sender<Result<Known, AppendFailed>>> {
        self.is_open = false;
        let under_way = self.replays.shard(self.id).remove(&self.id);
        under_way.map_or_else(Vec::new, |under_way| under_way.joined)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        if self.is_open {
            self.close();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: [u8; 16] = [7; 16];

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
        let replays = Arc::new(Replays::new(10));
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
        let replays = Arc::new(Replays::new(10));
        let claim = claimed(&replays);
        let other = || replays.claim(TransferId::from_bytes(ID), [2; 16], |_| true);
        assert!(matches!(other(), Seen::Differs));
        claim.settle(Ok(known()));
        assert!(matches!(other(), Seen::Differs));
    }

    #[test]
    fn a_failed_or_abandoned_append_leaves_no_entry() {
        let replays = Arc::new(Replays::new(10));
        claimed(&replays).settle(Err(AppendFailed::LogUnavailable));
        drop(claimed(&replays));
        drop(claimed(&replays));
    }

    #[test]
    fn what_an_earlier_log_acknowledged_is_appended_again() {
        let replays = Arc::new(Replays::new(10));
        claimed(&replays).settle(Ok(known()));
        for fingerprint in [[1; 16], [2; 16]] {
            let gone = |at| at != known().at;
            let again = replays.claim(TransferId::from_bytes(ID), fingerprint, gone);
            assert!(matches!(again, Seen::New(_)), "{again:?}");
        }
    }
}
