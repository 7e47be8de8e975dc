//! The commands that spoil a batch.
//!
//! Invariant: found by trial transactions that are rolled back, so that looking for them changes nothing. A command is
//! found guilty only when it fails in a write of its own, after those before it; what fails only in company is a bug of
//! ours, and no command pays for it.

use std::collections::BTreeMap;
use std::ops::Range;

use schemas::{LinePosition, Position};

use crate::Error;
use crate::config::TRIALS_MAX;

/// A transaction that is rolled back; commands are counted from the first of the batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trial {
    /// So many are written first, in a write of their own.
    pub(crate) apart: Option<usize>,
    /// The others, up to this one, are written together.
    pub(crate) end: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tried {
    Fits,
    Fails(String),
    /// Those apart fail already.
    FailsApart,
}

/// Why a batch cannot be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Found {
    /// This one fails alone, too.
    Culprit { number: usize, why: String },
    /// These fail together, the last one not without the others.
    Company(Range<usize>),
    /// Nobody knows yet, after as many trials as there may be.
    Nothing,
}

/// Who runs trials.
pub(crate) trait Trials {
    fn run(&mut self, trial: Trial) -> impl Future<Output = Result<Tried, Error>> + Send;
}

/// The search through one batch, culprit after culprit.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// So many commands are known to fit together.
    fit: usize,
    trials: usize,
}

impl Search {
    /// The first culprit of a batch of so many `commands` that fail together. The shortest prefix that fails ends with
    /// it: found by bisection, from the second on by steps that grow, as culprits come in company.
    pub(crate) async fn next(
        &mut self,
        commands: usize,
        trials: &mut impl Trials,
    ) -> Result<Found, Error> {
        let mut fails = commands;
        let mut step = if self.fit == 0 { commands } else { 1 };
        while fails.saturating_sub(self.fit) > 1 {
            let end = self.fit.midpoint(fails).min(self.fit + step);
            match self.one(Trial { apart: None, end }, trials).await? {
                None => return Ok(Found::Nothing),
                Some(Tried::Fits) => (self.fit, step) = (end, step * 2),
                Some(Tried::Fails(_) | Tried::FailsApart) => fails = end,
            }
        }
        if fails <= self.fit {
            return Ok(Found::Company(0..commands));
        }
        let alone = Trial {
            apart: Some(self.fit),
            end: fails,
        };
        match self.one(alone, trials).await? {
            None => Ok(Found::Nothing),
            Some(Tried::Fails(why)) => Ok(Found::Culprit {
                number: self.fit,
                why,
            }),
            Some(Tried::FailsApart) => Ok(Found::Company(0..fails)),
            Some(Tried::Fits) => self.company(fails, trials).await,
        }
    }

    /// The shortest run of commands before `end` that fails together.
    async fn company(&mut self, end: usize, trials: &mut impl Trials) -> Result<Found, Error> {
        let (mut fails, mut fits) = (0, end - 1);
        while fits - fails > 1 {
            let middle = fails.midpoint(fits);
            let together = Trial {
                apart: Some(middle),
                end,
            };
            match self.one(together, trials).await? {
                None => break,
                Some(Tried::Fails(_)) => fails = middle,
                Some(Tried::Fits | Tried::FailsApart) => fits = middle,
            }
        }
        Ok(Found::Company(fails..end))
    }

    async fn one(
        &mut self,
        trial: Trial,
        trials: &mut impl Trials,
    ) -> Result<Option<Tried>, Error> {
        if self.trials == TRIALS_MAX {
            return Ok(None);
        }
        self.trials += 1;
        trials.run(trial).await.map(Some)
    }
}

/// What was found out about commands that are not committed yet: kept while the partition is ours, so that a batch with
/// more culprits than one search finds gets through in the end. At most as many as a batch holds.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) culprits: BTreeMap<LinePosition, String>,
    /// Commands behind this position fail only together, for this reason.
    pub(crate) company: Option<(Position, String)>,
}

impl Findings {
    /// What is committed need not be remembered.
    pub(crate) fn forget_until(&mut self, applied: Position) {
        self.culprits.retain(|at, _| at.position > applied);
        self.company = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Among<'a> {
        left: &'a [usize],
        culprits: &'a [usize],
        pair: Option<(usize, usize)>,
    }

    impl Trials for Among<'_> {
        async fn run(&mut self, trial: Trial) -> Result<Tried, Error> {
            let (apart, together) = self.left[..trial.end].split_at(trial.apart.unwrap_or(0));
            let fails = |among| fails(among, self.culprits, self.pair);
            Ok(match (fails(apart), fails(together)) {
                (true, _) => Tried::FailsApart,
                (false, true) => Tried::Fails(String::new()),
                (false, false) => Tried::Fits,
            })
        }
    }

    fn fails(among: &[usize], culprits: &[usize], pair: Option<(usize, usize)>) -> bool {
        among.iter().any(|command| culprits.contains(command))
            || pair.is_some_and(|(a, b)| among.contains(&a) && among.contains(&b))
    }

    /// Searches a batch in which these commands fail whatever stands beside them, and a pair fails together; gives the
    /// culprits, what it ended with, and the trials of the longest search.
    async fn search(
        commands: usize,
        culprits: &[usize],
        pair: Option<(usize, usize)>,
    ) -> (Vec<usize>, Found, usize) {
        let mut left: Vec<usize> = (0..commands).collect();
        let (mut buried, mut longest) = (Vec::new(), 0);
        let mut search = Search::default();
        while fails(&left, culprits, pair) {
            let mut trials = Among {
                left: &left,
                culprits,
                pair,
            };
            let found = search.next(left.len(), &mut trials).await.unwrap();
            longest = longest.max(search.trials);
            match found {
                Found::Culprit { number, .. } => buried.push(left.remove(number)),
                // The next session begins anew and knows the culprits.
                Found::Nothing => search = Search::default(),
                Found::Company(_) => return (buried, found, longest),
            }
        }
        (buried, Found::Nothing, longest)
    }

    #[tokio::test]
    async fn every_culprit_is_found_and_nobody_else_within_the_trials_of_a_batch() {
        let dense: Vec<usize> = (1..2000).collect();
        let cases: [(usize, &[usize]); 7] = [
            (1, &[0]),
            (6, &[2]),
            (6, &[0, 5]),
            (10_000, &[9_999]),
            (10_000, &[17, 5_000, 9_998]),
            (2_000, &dense),
            (300, &[0, 1, 2, 150, 299]),
        ];
        for (commands, culprits) in cases {
            let (buried, _, trials) = search(commands, culprits, None).await;
            assert_eq!(buried, culprits);
            assert!(trials <= TRIALS_MAX, "{trials} trials");
        }
    }

    #[tokio::test]
    async fn what_fails_only_in_company_is_named_and_nobody_is_buried_for_it() {
        for (a, b) in [(0, 1), (0, 9_999), (4_000, 4_003), (17, 5_000)] {
            let (buried, found, trials) = search(10_000, &[], Some((a, b))).await;
            assert_eq!((buried, found), (vec![], Found::Company(a..b + 1)));
            assert!(trials <= TRIALS_MAX, "{trials} trials");
        }
        let (buried, found, _) = search(10_000, &[3], Some((17, 5_000))).await;
        assert_eq!((buried, found), (vec![3], Found::Company(16..5_000)));
    }
}
