//! What batches hold in memory, together.
//!
//! Invariant: batches that arrive hold at most `batches_bytes_max`, each byte from its arrival until the answer is
//! written. Nobody is refused for those who send slowly: where the room is needed, the slowest of them gives way, and
//! if none is slow the one that holds the most, so that one sender of long batches keeps out no short one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// A sender of fewer bytes than this in this time gives way to one that needs the room.
const STEP_BYTES: usize = 64 << 10;
const STEP_TIME: Duration = Duration::from_millis(250);

/// How long a batch waits for room, looking this often: longer than it takes to see who is slow.
const ROOM_TIME_MAX: Duration = Duration::from_millis(500);
const ROOM_PAUSE: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(crate) struct BatchMemory {
    bytes_max: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    used: usize,
    next: u64,
    batches: HashMap<u64, Batch>,
}

#[derive(Debug, Default)]
struct Batch {
    bytes: usize,
    /// `None` once the body is there.
    arriving: Option<Arriving>,
}

#[derive(Debug)]
struct Arriving {
    /// When the last whole step was there, and what came since.
    step_at: Instant,
    bytes: usize,
    gives_way: oneshot::Sender<()>,
}

/// There is no room, and nobody is slow enough to give way.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NoRoom;

/// The memory of one batch, given back when dropped.
#[derive(Debug)]
pub(crate) struct Share {
    memory: Arc<BatchMemory>,
    number: u64,
}

impl BatchMemory {
    pub(crate) fn new(bytes_max: usize) -> Arc<Self> {
        Arc::new(Self {
            bytes_max,
            state: Mutex::default(),
        })
    }

    /// For a batch whose body is about to arrive. The receiver hears when it has to give way.
    pub(crate) fn begin(self: &Arc<Self>) -> (Share, oneshot::Receiver<()>) {
        let (gives_way, evicted) = oneshot::channel();
        let mut state = self.lock();
        let number = state.next;
        state.next += 1;
        let arriving = Arriving {
            step_at: Instant::now(),
            bytes: 0,
            gives_way,
        };
        let batch = Batch {
            bytes: 0,
            arriving: Some(arriving),
        };
        state.batches.insert(number, batch);
        let share = Share {
            memory: Arc::clone(self),
            number,
        };
        (share, evicted)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Who gives way.
#[derive(Debug, Clone, Copy)]
enum Victim {
    Slowest,
    /// The one that holds the most, if that is more than this.
    Longest(usize),
}

impl State {
    /// Takes the room of one that is still arriving; its task drops the bytes as soon as it runs.
    fn evict(&mut self, but: u64, victim: Victim) -> Result<(), NoRoom> {
        let others = self
            .batches
            .iter_mut()
            .filter(|(number, batch)| **number != but && batch.bytes > 0)
            .filter_map(|(_, batch)| Some((batch.arriving.as_ref()?.step_at, batch)));
        let found = match victim {
            Victim::Slowest => others
                .filter(|(step_at, _)| step_at.elapsed() > STEP_TIME)
                .min_by_key(|(step_at, _)| *step_at),
            Victim::Longest(than) => others
                .filter(|(_, batch)| batch.bytes > than)
                .max_by_key(|(_, batch)| batch.bytes),
        };
        let (_, batch) = found.ok_or(NoRoom)?;
        self.used -= std::mem::take(&mut batch.bytes);
        if let Some(arriving) = batch.arriving.take() {
            // Its task may have ended meanwhile.
            arriving.gives_way.send(()).ok();
        }
        Ok(())
    }
}

impl Share {
    /// Room for bytes that arrived.
    ///
    /// # Errors
    /// When there is none, or this batch gave way; it is to be dropped.
    pub(crate) async fn grow(&self, bytes: usize) -> Result<(), NoRoom> {
        let until = Instant::now() + ROOM_TIME_MAX;
        while Instant::now() < until {
            if self.try_grow(bytes, |_| Victim::Slowest).is_ok() {
                return Ok(());
            }
            tokio::time::sleep(ROOM_PAUSE).await;
            self.excuse();
        }
        self.try_grow(bytes, Victim::Longest)
    }

    /// Who waits for room is not slow.
    fn excuse(&self) {
        let mut state = self.memory.lock();
        let batch = state.batches.get_mut(&self.number);
        if let Some(arriving) = batch.and_then(|batch| batch.arriving.as_mut()) {
            arriving.step_at = Instant::now();
        }
    }

    /// `victim` is who gives way, where there is no room, to a batch that will hold so many bytes.
    fn try_grow(&self, bytes: usize, victim: impl Fn(usize) -> Victim) -> Result<(), NoRoom> {
        let mut state = self.memory.lock();
        while state.used + bytes > self.memory.bytes_max {
            let held = state
                .batches
                .get(&self.number)
                .map_or(0, |batch| batch.bytes);
            state.evict(self.number, victim(held + bytes))?;
        }
        let batch = state.batches.get_mut(&self.number).ok_or(NoRoom)?;
        let arriving = batch.arriving.as_mut().ok_or(NoRoom)?;
        batch.bytes += bytes;
        arriving.bytes += bytes;
        if arriving.bytes >= STEP_BYTES {
            (arriving.step_at, arriving.bytes) = (Instant::now(), 0);
        }
        state.used += bytes;
        Ok(())
    }

    /// The body is there: from now on nothing gives way.
    ///
    /// # Errors
    /// When it gave way just before.
    pub(crate) fn arrived(&self) -> Result<(), NoRoom> {
        let mut state = self.memory.lock();
        let batch = state.batches.get_mut(&self.number).ok_or(NoRoom)?;
        batch.arriving.take().map(drop).ok_or(NoRoom)
    }

    /// The answer in place of the body. It counts until the last of its bytes is written, and always has room: what it
    /// tells is done already.
    pub(crate) fn answer(self, answer: Vec<u8>) -> Bytes {
        let mut state = self.memory.lock();
        let state_now = &mut *state;
        if let Some(batch) = state_now.batches.get_mut(&self.number) {
            state_now.used = state_now.used - batch.bytes + answer.len();
            batch.bytes = answer.len();
        }
        drop(state);
        Bytes::from_owner(Answer {
            bytes: answer,
            _share: self,
        })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut state = self.memory.lock();
        if let Some(batch) = state.batches.remove(&self.number) {
            state.used -= batch.bytes;
        }
    }
}

struct Answer {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Answer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 1 << 20;
    const SLOW: fn(usize) -> Victim = |_| Victim::Slowest;

    #[tokio::test(start_paused = true)]
    async fn whoever_sends_slowly_gives_way_and_nobody_else() {
        let memory = BatchMemory::new(MAX);
        let (slow, mut slow_hears) = memory.begin();
        let (slower, mut slower_hears) = memory.begin();
        let (quick, _quick_hears) = memory.begin();
        slower.try_grow(MAX / 4, SLOW).unwrap();
        tokio::time::advance(Duration::from_millis(1)).await;
        slow.try_grow(MAX / 4, SLOW).unwrap();
        quick.try_grow(MAX / 2, SLOW).unwrap();
        assert_eq!(quick.try_grow(1, SLOW), Err(NoRoom), "nobody is slow yet");
        tokio::time::advance(STEP_TIME * 2).await;
        // A byte now and then is slow too.
        slow.try_grow(0, SLOW).unwrap();
        quick.try_grow(1, SLOW).unwrap();
        slower_hears.try_recv().unwrap();
        slow_hears.try_recv().unwrap_err();
        assert_eq!(slower.try_grow(1, SLOW), Err(NoRoom));
        assert_eq!(slower.arrived(), Err(NoRoom));
        slow.arrived().unwrap();
        tokio::time::advance(STEP_TIME * 2).await;
        assert_eq!(
            quick.try_grow(MAX / 4, SLOW),
            Err(NoRoom),
            "what has arrived stays"
        );
        slow_hears.try_recv().unwrap_err();
    }

    #[tokio::test]
    async fn an_answer_counts_until_it_is_written() {
        let memory = BatchMemory::new(MAX);
        let (share, _hears) = memory.begin();
        share.try_grow(MAX, SLOW).unwrap();
        share.arrived().unwrap();
        let answer = share.answer(vec![0; 2 * MAX]);
        let part = answer.slice(MAX..);
        drop(answer);
        assert_eq!(memory.lock().used, 2 * MAX);
        let (other, _hears) = memory.begin();
        assert_eq!(other.try_grow(1, SLOW), Err(NoRoom));
        drop(part);
        other.try_grow(MAX, SLOW).unwrap();
        drop(other);
        assert_eq!(memory.lock().used, 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_needs_room_waits_until_it_shows_who_is_slow() {
        let memory = BatchMemory::new(MAX);
        let (slow, mut slow_hears) = memory.begin();
        slow.grow(MAX / 4).await.unwrap();
        let (long, mut long_hears) = memory.begin();
        long.grow(MAX - 1).await.unwrap();
        slow_hears.try_recv().unwrap();
        // Of two that wait nobody is slow: the longer one gives way.
        let (short, _hears) = memory.begin();
        let both = tokio::join!(long.grow(MAX / 4), short.grow(MAX / 4));
        assert_eq!(both, (Err(NoRoom), Ok(())));
        long_hears.try_recv().unwrap();
    }
}
