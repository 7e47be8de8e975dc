//! A process that can crash, and stand still, at every call to a server.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use ledger::{AccountKey, AccountRow};
use rand::RngExt as _;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::faults::{Fault, Point};
use super::world::Shared;

/// One process; its clones are the connections that it holds.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) world: Shared,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    crash: Notify,
    life: Mutex<Life>,
    memory: Mutex<BTreeMap<AccountKey, Remembered>>,
}

/// An account, and which version of its row that is.
#[derive(Debug, Clone)]
pub(crate) struct Remembered {
    pub(crate) key: AccountKey,
    /// Empty until the row is written.
    pub(crate) version: Arc<OnceLock<u64>>,
    pub(crate) row: AccountRow,
}

#[derive(Default, Clone, Copy)]
struct Life {
    crashed: bool,
    frozen_until: Option<Instant>,
}

impl Process {
    pub(crate) fn new(world: Shared) -> Self {
        Self {
            world,
            state: Arc::default(),
        }
    }

    /// Those of these accounts that are remembered, one for each key; none is afterwards.
    pub(crate) fn take(&self, keys: &[AccountKey]) -> Vec<Option<Remembered>> {
        let mut memory = self.memory();
        keys.iter().map(|key| memory.remove(key)).collect()
    }

    pub(crate) fn remember(&self, accounts: &[Remembered]) {
        let accounts = accounts.iter().cloned();
        let accounts = accounts.map(|account| (account.key.clone(), account));
        self.memory().extend(accounts);
    }

    fn memory(&self) -> MutexGuard<'_, BTreeMap<AccountKey, Remembered>> {
        let memory = self.state.memory.lock();
        memory.unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn has_crashed(&self) -> bool {
        self.life(|life| life.crashed)
    }

    /// Runs `body` until it ends or the process crashes (`None`); stands still while frozen.
    pub(crate) async fn run<T>(&self, body: impl Future<Output = T>) -> Option<T> {
        let mut body = pin!(body);
        let alive = async {
            let mut thaw = pin!(tokio::time::sleep(Duration::ZERO));
            std::future::poll_fn(move |context| {
                while let Some(until) = self.life(|life| life.frozen_until) {
                    if Instant::now() >= until {
                        self.life(|life| life.frozen_until = None);
                        break;
                    }
                    thaw.as_mut().reset(until);
                    if thaw.as_mut().poll(context).is_pending() {
                        return std::task::Poll::Pending;
                    }
                }
                body.as_mut().poll(context)
            })
            .await
        };
        tokio::select! {
            biased;
            () = self.state.crash.notified() => None,
            done = alive => Some(done),
        }
    }

    /// One call to a server: takes its time, and may go wrong. `failed` is the error of a call that did.
    pub(crate) async fn call<T, E>(
        &self,
        point: Point,
        failed: impl Fn(&'static str) -> E,
        effect: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let (fault, there, back) = self.plan(point);
        tokio::time::sleep(there).await;
        match fault {
            Some(Fault::CrashBefore) => self.crash().await,
            Some(Fault::FreezeBefore) => self.freeze().await,
            Some(Fault::Refuse) => return Err(failed("refused")),
            Some(Fault::CrashAfter | Fault::FreezeAfter | Fault::Lose) | None => {}
        }
        let done = effect.await;
        match fault {
            Some(Fault::CrashAfter) => self.crash().await,
            Some(Fault::FreezeAfter) => self.freeze().await,
            Some(Fault::Lose) => return Err(failed("the answer was lost")),
            Some(Fault::CrashBefore | Fault::FreezeBefore | Fault::Refuse) | None => {}
        }
        tokio::time::sleep(back).await;
        done
    }

    /// Stops for good: whoever waits here waits until the process is dropped.
    async fn crash(&self) -> ! {
        self.life(|life| life.crashed = true);
        self.state.crash.notify_one();
        std::future::pending().await
    }

    async fn freeze(&self) {
        let seconds = self.world.lock().chance.random_range(1..20);
        self.life(|life| life.frozen_until = Some(Instant::now() + Duration::from_secs(seconds)));
        tokio::task::yield_now().await;
    }

    fn plan(&self, point: Point) -> (Option<Fault>, Duration, Duration) {
        let mut world = self.world.lock();
        let world = &mut *world;
        let fault = world.faults.draw(&mut world.chance, point);
        if let Some(fault) = fault {
            *world.seen.faults.entry((point, fault)).or_default() += 1;
        }
        let now = world.now();
        world
            .trace
            .update(format!("{now} {point:?} {fault:?}\n").as_bytes());
        let mut pause = || Duration::from_micros(world.chance.random_range(50..3000));
        (fault, pause(), pause())
    }

    fn life<T>(&self, with: impl FnOnce(&mut Life) -> T) -> T {
        with(
            &mut self
                .state
                .life
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}
