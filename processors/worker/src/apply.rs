//! One batch: load → decide → write → commit, until it is committed.
//!
//! Invariant: one batch is one transaction is one commit. Who meets trouble gives back its locks and its turn before it
//! waits or looks for the cause, so that no other partition waits with it; the lease is kept meanwhile.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ledger::{Batch, Decision, Reads, Rows};
use schemas::{Position, Timestamp};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::backoff::Backoff;
use crate::commit::{Commit, build};
use crate::poison::{Found, Search, Trial, Trials, Tried};
use crate::process::Applier;
use crate::publish::position;
use crate::seam::{Advance, Loaded, Log, Rehearsal as _, Store, Transaction as _};
use crate::times::{UNWRITTEN_MAX, within};
use crate::turns::Turn;
use crate::work::{Part, Work};
use crate::{Error, metrics};

/// What became of a try.
enum Try {
    Committed(Box<Commit>),
    /// A command was buried: the rest is tried again.
    Fewer,
    /// The batch before takes long to commit: this one must not stand still in a transaction.
    Early,
}

impl<S: Store, L: Log> Applier<'_, S, L> {
    /// Commits the work, under its `turn` as long as nothing comes between; `None` when the partition was released first.
    pub(crate) async fn apply(
        &mut self,
        work: &mut Work,
        turn: Option<Turn>,
        released: &CancellationToken,
    ) -> Result<Option<Commit>, Error> {
        let config = &self.processor.config;
        let started = Instant::now();
        work.bury_known(&self.findings.culprits);
        let mut turn = turn;
        let mut search = Search::default();
        let mut conflicts = 0;
        let mut blocked = Backoff::new(config);
        let mut commit = loop {
            match self.attempt(work, &mut turn, &mut search).await {
                Ok(Try::Committed(commit)) => break commit,
                Ok(Try::Fewer) => {}
                Ok(Try::Early) => self.wait_to_write(turn.as_mut()).await?,
                Err(Error::Conflict(cause)) if conflicts < config.conflicts_max => {
                    conflicts += 1;
                    metrics::conflict();
                    tracing::debug!(partition = %self.lease.partition, %cause, "deciding the batch again");
                }
                Err(Error::Blocked(cause)) if blocked.failures() < config.conflicts_max => {
                    drop(turn.take());
                    metrics::conflict();
                    tracing::warn!(partition = %self.lease.partition, %cause, "somebody keeps a row locked that the batch needs; it waits");
                    self.renew().await?;
                    tokio::select! {
                        () = released.cancelled() => return Ok(None),
                        () = tokio::time::sleep(blocked.next()) => {}
                    }
                }
                Err(error) => return Err(error),
            }
        };
        if let Some(turn) = turn {
            turn.committed();
        }
        commit.record.committed_at = Some(metrics::now());
        metrics::committed(
            &commit,
            work.records,
            started.elapsed(),
            work.first_accepted,
        );
        self.applied = work.next;
        self.previous_hash = commit.record.hash;
        self.go_on().await?;
        Ok(Some(*commit))
    }

    /// One try of everything; when what it writes is refused, the search for the culprit.
    async fn attempt(
        &mut self,
        work: &mut Work,
        turn: &mut Option<Turn>,
        search: &mut Search,
    ) -> Result<Try, Error> {
        let tried = self.transact(work, turn.as_mut()).await;
        let Err(Error::Poison(why)) = tried else {
            return tried;
        };
        drop(turn.take());
        if let Some((at, why)) = &self.findings.company
            && *at == self.applied
        {
            return Err(Error::Stopped(why.clone()));
        }
        self.search(work, search, &why).await?;
        Ok(Try::Fewer)
    }

    /// One transaction of everything.
    async fn transact(&self, work: &Work, mut turn: Option<&mut Turn>) -> Result<Try, Error> {
        let reads = ledger::reads(&work.batch);
        let begun = (self.processor.store).begin(self.lease, self.advance(work), &reads);
        let (mut transaction, loaded) = within("beginning a batch", begun).await?;
        let commit = self.decide(loaded, &reads, work.whole())?;
        if let Some(turn) = &mut turn
            && timeout(UNWRITTEN_MAX, turn.write()).await.is_err()
        {
            return Ok(Try::Early);
        }
        within("writing a batch", transaction.write(&commit)).await?;
        // The next one could lock an account whose row is being updated, but it would not see one that is being inserted.
        if let Some(turn) = turn
            && commit.opened.is_empty()
        {
            turn.pass_on();
        }
        if let Some(failpoint) = &self.processor.config.failpoint {
            failpoint.pass().await;
        }
        within("committing a batch", transaction.commit()).await?;
        Ok(Try::Committed(Box::new(commit)))
    }

    /// Outside of any transaction.
    async fn wait_to_write(&self, turn: Option<&mut Turn>) -> Result<(), Error> {
        let Some(turn) = turn else {
            return Ok(());
        };
        while timeout(self.processor.config.renewal, turn.write())
            .await
            .is_err()
        {
            self.renew().await?;
        }
        Ok(())
    }

    /// Finds a command that cannot be committed and buries it.
    async fn search(
        &mut self,
        work: &mut Work,
        search: &mut Search,
        why: &str,
    ) -> Result<(), Error> {
        let commands = work.batch.items.len();
        let mut trials = TrialsOf {
            applier: self,
            work,
            renewed: Instant::now(),
        };
        let found = search.next(commands, &mut trials).await?;
        match found {
            Found::Culprit { number, why } => {
                let at = work.bury(number, &why);
                tracing::error!(%at, why, "a command that cannot be committed becomes a dead letter");
                metrics::poison(self.lease.partition);
                self.findings.culprits.insert(at, why);
                Ok(())
            }
            Found::Nothing => Err(Error::Poison(format!(
                "{} commands that cannot be committed were found, and there are more: {why}",
                self.findings.culprits.len()
            ))),
            Found::Company(commands) => {
                let places: Vec<String> = [commands.start, commands.end.saturating_sub(1)]
                    .iter()
                    .filter_map(|number| work.batch.items.get(*number))
                    .map(|item| item.at.to_string())
                    .collect();
                let why = format!(
                    "commands {} can be committed one after another and not together, which is a fault of this program: {why}",
                    places.join(" to ")
                );
                self.findings.company = Some((self.applied, why.clone()));
                Err(Error::Stopped(why))
            }
        }
    }

    /// Everything but the COMMIT.
    async fn try_out(&self, work: &Work, trial: Trial) -> Result<Tried, Error> {
        let begun = (self.processor.store).rehearse(self.lease, self.advance(work));
        let mut rehearsal = within("beginning a trial", begun).await?;
        let first = trial.apart.unwrap_or(0);
        if trial.apart.is_some() {
            let (batch, slots) = work.part(0..first);
            let part = Part {
                batch: &batch,
                slots,
                ..work.whole()
            };
            match self.rehearse(&mut rehearsal, part).await {
                Ok(()) => {}
                Err(Error::Poison(_)) => return Ok(Tried::FailsApart),
                Err(error) => return Err(error),
            }
        }
        let (batch, slots) = work.part(first..trial.end);
        let part = Part {
            first: work.first,
            // A second commit in one transaction needs a place of its own.
            next: Position::from_number(work.next.number() + 1),
            batch: &batch,
            slots,
        };
        match self.rehearse(&mut rehearsal, part).await {
            Ok(()) => Ok(Tried::Fits),
            Err(Error::Poison(why)) => Ok(Tried::Fails(why)),
            Err(error) => Err(error),
        }
    }

    fn advance(&self, work: &Work) -> Advance {
        Advance {
            previous: self.applied,
            next: work.next,
            next_at: work.next_at,
            published: position(self.published),
        }
    }

    async fn rehearse(&self, rehearsal: &mut S::Rehearsal, part: Part<'_>) -> Result<(), Error> {
        let reads = ledger::reads(part.batch);
        let loaded = within("loading a batch", rehearsal.load(&reads)).await?;
        let commit = self.decide(loaded, &reads, part)?;
        within("writing a batch", rehearsal.write(&commit)).await
    }

    fn decide(
        &self,
        Loaded { rows, now }: Loaded,
        reads: &Reads,
        part: Part<'_>,
    ) -> Result<Commit, Error> {
        let decision = decide(reads, rows, part.batch, now)?;
        Ok(build(self.lease, self.previous_hash, part, decision, now))
    }

    /// The partition has moved: what was found out about it is over.
    async fn go_on(&mut self) -> Result<(), Error> {
        let was_parked = self.findings.company.is_some();
        self.findings.forget_until(self.applied);
        if was_parked {
            self.processor.store.set_stopped(self.lease, None).await?;
            metrics::stopped(self.lease.partition, false);
            tracing::info!(partition = %self.lease.partition, "the partition goes on");
        }
        Ok(())
    }
}

/// Trials with a batch; the lease is kept meanwhile.
struct TrialsOf<'a, 'b, S: Store, L: Log> {
    applier: &'a Applier<'b, S, L>,
    work: &'a Work,
    renewed: Instant,
}

impl<S: Store, L: Log> Trials for TrialsOf<'_, '_, S, L> {
    async fn run(&mut self, trial: Trial) -> Result<Tried, Error> {
        if self.renewed.elapsed() > self.applier.processor.config.renewal / 2 {
            self.applier.renew().await?;
            self.renewed = Instant::now();
        }
        self.applier.try_out(self.work, trial).await
    }
}

/// The pure core may panic only on a bug; then one command pays, not the partition.
fn decide(reads: &Reads, rows: Rows, batch: &Batch, now: Timestamp) -> Result<Decision, Error> {
    catch_unwind(AssertUnwindSafe(|| ledger::apply(reads, rows, batch, now))).map_err(|panic| {
        let why = panic
            .downcast_ref::<String>()
            .map(String::as_str)
            .or_else(|| panic.downcast_ref::<&str>().copied())
            .unwrap_or("no message");
        Error::Poison(format!("deciding it panicked: {why}"))
    })
}
