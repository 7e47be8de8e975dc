//! Waking up on time: the poll itself only knows milliseconds.
//!
//! Invariant: the generator is never woken more than [`TICK`] after what it waits for was due, as far as the
//! system lets it run.

use std::time::Duration;

/// Arrivals that are due within so short a time are served together, to save wake-ups.
pub(super) const TICK: Duration = Duration::from_micros(200);

#[cfg(target_os = "linux")]
mod system {
    use std::os::fd::{AsFd, AsRawFd};
    use std::time::Duration;

    use mio::unix::SourceFd;
    use mio::{Interest, Registry, Token};
    use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

    pub(in super::super) struct Alarm(TimerFd);

    impl Alarm {
        pub(in super::super) fn new(registry: &Registry, token: Token) -> std::io::Result<Self> {
            let flags = TimerFlags::TFD_NONBLOCK | TimerFlags::TFD_CLOEXEC;
            let timer = TimerFd::new(ClockId::CLOCK_MONOTONIC, flags)?;
            let fd = timer.as_fd().as_raw_fd();
            registry.register(&mut SourceFd(&fd), token, Interest::READABLE)?;
            Ok(Self(timer))
        }

        /// Rings after `pause`; setting it again makes the poll's edge anew, so that it need not be read.
        pub(in super::super) fn set(&self, pause: Duration) -> std::io::Result<()> {
            let pause = Expiration::OneShot(pause.max(super::TICK).into());
            self.0.set(pause, TimerSetTimeFlags::empty())?;
            Ok(())
        }

        /// What the poll may take at most; the timer wakes it before.
        pub(in super::super) fn timeout(_pause: Duration) -> Duration {
            Duration::from_millis(100)
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    use std::time::Duration;

    use mio::{Registry, Token};

    /// Without a timer of its own: the poll's milliseconds.
    pub(in super::super) struct Alarm;

    impl Alarm {
        #[expect(
            clippy::unnecessary_wraps,
            reason = "the signature of the one with a timer"
        )]
        pub(in super::super) fn new(_registry: &Registry, _token: Token) -> std::io::Result<Self> {
            Ok(Self)
        }

        #[expect(
            clippy::unnecessary_wraps,
            clippy::unused_self,
            reason = "the signature of the one with a timer"
        )]
        pub(in super::super) fn set(&self, _pause: Duration) -> std::io::Result<()> {
            Ok(())
        }

        pub(in super::super) fn timeout(pause: Duration) -> Duration {
            pause.min(Duration::from_millis(100))
        }
    }
}

pub(super) use system::Alarm;
