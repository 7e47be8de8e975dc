//! When a record starts.
//!
//! Invariant: a record starts at once when its partition was idle, and when everybody waits already who could add to it;
//! otherwise at the pace of its partition, as a record costs about the same however few commands it holds. No command
//! waits longer for its record than one interval and the records in flight.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use streams::Pace;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use crate::config::Limits;

/// A partition's records start at most once in so many times the time that one takes to be acknowledged.
const PACE_MULTIPLE: u32 = 12;
/// How long it is remembered how many commands were served at a time; at most twice that.
const WINDOW: Duration = Duration::from_millis(100);

/// The starts of all partitions.
#[derive(Debug)]
pub(super) struct Starts {
    in_flight: Semaphore,
    serving: Mutex<Serving>,
    complete: Notify,
}

/// The right to have a record in flight.
#[derive(Debug)]
pub(super) struct Start<'a> {
    _permit: SemaphorePermit<'a>,
    pub(super) at: Instant,
}

/// Counts a command from its arrival until its client has the answer, or left.
#[derive(Debug)]
pub(super) struct BeingServed(Arc<Starts>);

/// How many commands are served at a time. A client that waits for an answer sends nothing, so when as many wait as
/// lately at most, there is nobody to wait for.
#[derive(Debug)]
struct Serving {
    served: usize,
    most: usize,
    most_before: usize,
    window_ends: Instant,
}

/// The pace of one partition's records.
pub(super) fn pace(limits: &Limits) -> Pace {
    Pace::new(PACE_MULTIPLE, limits.record_interval_max)
}

impl Starts {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            in_flight: Semaphore::new(limits.records_in_flight_max),
            serving: Mutex::new(Serving::new(Instant::now())),
            complete: Notify::new(),
        }
    }

    /// Waits until a record may start that is due at this time.
    pub(super) async fn next(&self, due: Instant) -> Start<'_> {
        self.due_or_complete(due).await;
        let permit = self.in_flight.acquire().await;
        Start {
            _permit: permit.expect("nobody closes the semaphore"),
            at: Instant::now(),
        }
    }

    async fn due_or_complete(&self, due: Instant) {
        let mut complete = std::pin::pin!(self.complete.notified());
        loop {
            complete.as_mut().enable();
            let now = Instant::now();
            if now >= due || lock(&self.serving).all_wait(now) {
                return;
            }
            tokio::select! {
                () = tokio::time::sleep_until(due) => return,
                () = complete.as_mut() => complete.set(self.complete.notified()),
            }
        }
    }

    /// A command has arrived.
    pub(super) fn serve(self: &Arc<Self>) -> BeingServed {
        if lock(&self.serving).enter(Instant::now()) {
            self.complete.notify_waiters();
        }
        BeingServed(Arc::clone(self))
    }
}

impl Drop for BeingServed {
    fn drop(&mut self) {
        lock(&self.0.serving).leave();
    }
}

impl Serving {
    fn new(now: Instant) -> Self {
        Self {
            served: 0,
            most: 0,
            most_before: 0,
            window_ends: now + WINDOW,
        }
    }

    /// Says whether everybody waits now.
    fn enter(&mut self, now: Instant) -> bool {
        self.roll(now);
        self.served += 1;
        self.most = self.most.max(self.served);
        self.all_wait(now)
    }

    fn leave(&mut self) {
        self.served -= 1;
    }

    fn all_wait(&mut self, now: Instant) -> bool {
        self.roll(now);
        self.served >= self.most_before.max(self.most)
    }

    fn roll(&mut self, now: Instant) {
        if now >= self.window_ends {
            let is_recent = now < self.window_ends + WINDOW;
            self.most_before = if is_recent { self.most } else { self.served };
            self.most = self.served;
            self.window_ends = now + WINDOW;
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(5);

    fn starts() -> Arc<Starts> {
        Arc::new(Starts::new(&Limits::default()))
    }

    /// How long a record waits that is due after the interval.
    async fn waits(starts: &Arc<Starts>) -> Duration {
        let asked = Instant::now();
        starts.next(asked + INTERVAL).await;
        asked.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_lone_request_starts_its_record_at_once() {
        let starts = starts();
        let _lone = starts.serve();
        assert_eq!(waits(&starts).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn while_others_may_still_come_a_record_keeps_the_pace() {
        let starts = starts();
        drop((starts.serve(), starts.serve()));
        let _first = starts.serve();
        assert_eq!(waits(&starts).await, INTERVAL);
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_who_could_come_starts_the_record() {
        let starts = starts();
        drop((starts.serve(), starts.serve()));
        let _first = starts.serve();
        let waiting = tokio::spawn({
            let starts = Arc::clone(&starts);
            async move { waits(&starts).await }
        });
        tokio::time::sleep(Duration::from_millis(2)).await;
        let _second = starts.serve();
        assert_eq!(waiting.await.unwrap(), Duration::from_millis(2));
    }

    #[tokio::test(start_paused = true)]
    async fn those_who_have_not_come_for_a_while_are_not_waited_for() {
        let starts = starts();
        drop((starts.serve(), starts.serve()));
        let _first = starts.serve();
        assert_eq!(waits(&starts).await, INTERVAL);
        tokio::time::advance(2 * WINDOW).await;
        assert_eq!(waits(&starts).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn partitions_do_not_wait_for_the_pace_of_one_another() {
        let starts = starts();
        drop((starts.serve(), starts.serve()));
        let _first = starts.serve();
        let asked = Instant::now();
        let partitions = (0..32).map(|_| waits(&starts));
        futures::future::join_all(partitions).await;
        assert_eq!(asked.elapsed(), INTERVAL);
    }
}
