//! What can go wrong, where, and what did.

use std::collections::BTreeMap;

use rand::RngExt as _;
use rand::rngs::StdRng;

/// A place where the loop waits for a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Point {
    Ledgers,
    TakeOver,
    BindStream,
    Renew,
    Release,
    SetStopped,
    CommitAt,
    LastCommit,
    CommitAfter,
    Journal,
    DeadLettersAfter,
    RecordCopied,
    Begin,
    Load,
    Write,
    Commit,
    Identity,
    StoredAt,
    NextAfter,
    Read,
    Next,
    LastPublished,
    Publish,
    Copied,
    PublishDeadLetter,
    Reply,
    Acknowledge,
}

impl Point {
    pub(crate) const ALL: [Self; 27] = [
        Self::Ledgers,
        Self::TakeOver,
        Self::BindStream,
        Self::Renew,
        Self::Release,
        Self::SetStopped,
        Self::CommitAt,
        Self::LastCommit,
        Self::CommitAfter,
        Self::Journal,
        Self::DeadLettersAfter,
        Self::RecordCopied,
        Self::Begin,
        Self::Load,
        Self::Write,
        Self::Commit,
        Self::Identity,
        Self::StoredAt,
        Self::NextAfter,
        Self::Read,
        Self::Next,
        Self::LastPublished,
        Self::Publish,
        Self::Copied,
        Self::PublishDeadLetter,
        Self::Reply,
        Self::Acknowledge,
    ];
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// The process is gone, and the server never heard of the call.
    CrashBefore,
    /// The process is gone, and the call took effect.
    CrashAfter,
    /// The process stands still before the call, perhaps beyond its lease, and goes on.
    FreezeBefore,
    FreezeAfter,
    /// An error, and nothing happened.
    Refuse,
    /// An error, although it happened.
    Lose,
}

impl Fault {
    pub(crate) const ALL: [Self; 6] = [
        Self::CrashBefore,
        Self::CrashAfter,
        Self::FreezeBefore,
        Self::FreezeAfter,
        Self::Refuse,
        Self::Lose,
    ];
}

/// When something goes wrong.
#[derive(Debug, Clone)]
pub(crate) struct Faults {
    /// One call in so many goes wrong; 0: none.
    one_in: u32,
    /// A fault that this run is about: certain at the first call of its place, then more likely than the others.
    target: Option<(Point, Fault)>,
    target_seen: bool,
}

impl Faults {
    pub(crate) const NONE: Self = Self {
        one_in: 0,
        target: None,
        target_seen: false,
    };

    pub(crate) fn about(point: Point, fault: Fault, one_in: u32) -> Self {
        Self {
            one_in,
            target: Some((point, fault)),
            target_seen: false,
        }
    }

    pub(crate) fn draw(&mut self, chance: &mut StdRng, point: Point) -> Option<Fault> {
        if let Some((place, fault)) = self.target {
            if place == point && (!self.target_seen || chance.random_ratio(1, 4)) {
                self.target_seen = true;
                return Some(fault);
            }
            // Only a partition that fails again and again is shown as stopped.
            if place == Point::SetStopped && point == Point::Load && chance.random_ratio(3, 4) {
                return Some(Fault::Refuse);
            }
        }
        if self.one_in == 0 || !chance.random_ratio(1, self.one_in) {
            return None;
        }
        Some(Fault::ALL[chance.random_range(0..Fault::ALL.len())])
    }

    /// Whether something happens that is asked for once in `one_in` of its occasions.
    pub(crate) fn strikes(&self, chance: &mut StdRng, one_in: u32) -> bool {
        self.one_in > 0 && chance.random_ratio(1, one_in)
    }
}

/// What went wrong, for the gates.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen {
    pub(crate) faults: BTreeMap<(Point, Fault), u64>,
    pub(crate) counts: BTreeMap<&'static str, u64>,
}

impl Seen {
    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (fault, times) in &other.faults {
            *self.faults.entry(*fault).or_default() += times;
        }
        for (what, times) in &other.counts {
            *self.counts.entry(what).or_default() += times;
        }
    }
}
