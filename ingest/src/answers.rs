//! From a transfer on the log to what its client hears.
//!
//! Invariant: a wait ends with the outcome or with "pending", never with an error of its own. The reply of the
//! processor is heard first; what it does not say is read from Postgres, once the wait is over.

use std::collections::HashMap;

use journal::TransferRow;
use schemas::{
    DeadLettered, LinePosition, Outcome, PendingTransfer, Transfer, TransferId, TransferOrder,
    TransferStatus,
};
use serde::Serialize;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::api::Api;
use crate::append::Decided;
use crate::keyring::Ledger;
use crate::problem::Problem;
use crate::store::Unavailable;
use crate::submission::Request;

/// A request that is on the log.
#[derive(Debug)]
pub(crate) struct Placed {
    pub(crate) request: Request,
    pub(crate) at: LinePosition,
    pub(crate) is_replay: bool,
    pub(crate) reply: Option<oneshot::Receiver<Decided>>,
}

/// A transfer as its client hears of it.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub(crate) enum Told {
    Decided(Transfer),
    Pending(PendingTransfer),
}

impl Told {
    pub(crate) fn id(&self) -> TransferId {
        match self {
            Self::Decided(transfer) => transfer.id,
            Self::Pending(transfer) => transfer.id,
        }
    }

    pub(crate) fn order(&self) -> &TransferOrder {
        match self {
            Self::Decided(transfer) => &transfer.order,
            Self::Pending(transfer) => &transfer.order,
        }
    }

    pub(crate) fn status(&self) -> TransferStatus {
        match self {
            Self::Decided(transfer) => transfer.status(),
            Self::Pending(_) => TransferStatus::Pending,
        }
    }
}

/// What the client hears about its transfer: as it was decided, or still pending.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) transfer: Told,
    pub(crate) at: LinePosition,
    pub(crate) is_replay: bool,
}

type Answered = Result<Answer, Problem>;

#[derive(Debug)]
enum Slot {
    Open(Box<Placed>),
    Answered(Box<Answered>),
}

/// The answer to one transfer, as [`answers`].
pub(crate) async fn answer(
    api: &Api,
    ledger: &Ledger,
    placed: Placed,
    wait_until: Option<Instant>,
) -> Answered {
    if !placed.is_sought(wait_until) {
        return Ok(placed.pending());
    }
    answers(api, ledger, vec![Ok(placed)], wait_until)
        .await
        .pop()
        .expect("one transfer has one answer")
}

/// The answers to transfers, in their order. Without a wait only repeats are looked up.
pub(crate) async fn answers(
    api: &Api,
    ledger: &Ledger,
    placed: Vec<Result<Placed, Problem>>,
    wait_until: Option<Instant>,
) -> Vec<Answered> {
    let mut slots: Vec<Slot> = placed.into_iter().map(Slot::new).collect();
    if let Some(until) = wait_until {
        for slot in &mut slots {
            slot.hear(until).await;
        }
    }
    let looked = look(api, ledger, &mut slots, wait_until).await;
    if let (Some(until), Ok(())) = (wait_until, looked) {
        let awaited: Vec<LinePosition> =
            sought(&slots, wait_until).map(|placed| placed.at).collect();
        if !awaited.is_empty() {
            api.progress.reached(awaited, until).await;
            // What is not known now is pending.
            look(api, ledger, &mut slots, wait_until).await.ok();
        }
    }
    slots.into_iter().map(Slot::answer).collect()
}

/// Answers from Postgres what it knows.
///
/// # Errors
/// Without Postgres nobody can know yet: pending is the truth.
async fn look(
    api: &Api,
    ledger: &Ledger,
    slots: &mut [Slot],
    wait_until: Option<Instant>,
) -> Result<(), Unavailable> {
    let ids: Vec<TransferId> = sought(slots, wait_until)
        .map(|placed| placed.request.id)
        .collect();
    if !ids.is_empty() {
        let found = Found::load(api, ledger, &ids).await?;
        for slot in slots {
            slot.look(api, &found);
        }
    }
    Ok(())
}

fn sought(slots: &[Slot], wait_until: Option<Instant>) -> impl Iterator<Item = &Placed> {
    slots.iter().filter_map(move |slot| match slot {
        Slot::Open(placed) if placed.is_sought(wait_until) => Some(placed.as_ref()),
        Slot::Open(_) | Slot::Answered(_) => None,
    })
}

/// What Postgres knows about some transfers.
struct Found {
    rows: HashMap<TransferId, TransferRow>,
    dead: HashMap<(TransferId, LinePosition), DeadLettered>,
}

impl Found {
    async fn load(api: &Api, ledger: &Ledger, ids: &[TransferId]) -> Result<Self, Unavailable> {
        let rows = api.store.transfers(ledger.number, ids).await?;
        let rows: HashMap<_, _> = rows.into_iter().map(|row| (row.transfer.id, row)).collect();
        let missing: Vec<TransferId> = ids
            .iter()
            .copied()
            .filter(|id| !rows.contains_key(id))
            .collect();
        let dead = if missing.is_empty() {
            Vec::new()
        } else {
            api.store.dead_transfers(ledger.number, &missing).await?
        };
        let dead = dead.into_iter().map(|(id, at, dead)| ((id, at), dead));
        Ok(Self {
            rows,
            dead: dead.collect(),
        })
    }
}

impl Slot {
    fn new(placed: Result<Placed, Problem>) -> Self {
        match placed {
            Ok(placed) => Self::Open(Box::new(placed)),
            Err(problem) => Self::Answered(Box::new(Err(problem))),
        }
    }

    async fn hear(&mut self, until: Instant) {
        let Self::Open(placed) = self else {
            return;
        };
        let Some(reply) = placed.reply.take() else {
            return;
        };
        if let Ok(Ok(decided)) = timeout_at(until, reply).await
            && let Some(outcome) = decided.about(placed.at, &placed.request.id.to_string())
            && let Some(answered) = placed.decided(outcome)
        {
            *self = Self::Answered(Box::new(answered));
        }
    }

    fn look(&mut self, api: &Api, found: &Found) {
        let Self::Open(placed) = self else {
            return;
        };
        let id = placed.request.id;
        let answered = if let Some(row) = found.rows.get(&id) {
            placed.stored(row.clone())
        } else if let Some(dead) = found.dead.get(&(id, placed.at)) {
            // Once its cause is mended, a retry is a new attempt.
            api.replays.forget(id);
            Err(Problem::dead_lettered(dead))
        } else {
            return;
        };
        *self = Self::Answered(Box::new(answered));
    }

    fn answer(self) -> Answered {
        match self {
            Self::Answered(answered) => *answered,
            Self::Open(placed) => Ok(placed.pending()),
        }
    }
}

impl Placed {
    /// Whether Postgres is asked about it.
    fn is_sought(&self, wait_until: Option<Instant>) -> bool {
        self.is_replay || wait_until.is_some()
    }

    fn pending(self) -> Answer {
        Answer {
            at: self.at,
            is_replay: self.is_replay,
            transfer: Told::Pending(self.request.pending(self.at)),
        }
    }

    /// `None` for an outcome that no transfer has, which is left to Postgres.
    fn decided(&self, outcome: Outcome) -> Option<Answered> {
        let answer = |transfer, is_replay| {
            Ok(Answer {
                transfer: Told::Decided(transfer),
                at: self.at,
                is_replay,
            })
        };
        match outcome {
            Outcome::Decided(transfer) => Some(answer(transfer, self.is_replay)),
            Outcome::Replayed(replayed) => Some(answer(replayed.transfer, true)),
            Outcome::KeyReused(reused) => Some(Err(Problem::key_reused(reused))),
            Outcome::DeadLettered(dead) => Some(Err(Problem::dead_lettered(&dead))),
            Outcome::AccountOpened(_)
            | Outcome::AccountChanged(_)
            | Outcome::AccountFrozen(_)
            | Outcome::AccountUnfrozen(_)
            | Outcome::AccountClosed(_)
            | Outcome::AccountUnchanged(_)
            | Outcome::AccountRefused(_) => {
                tracing::error!(at = %self.at, "a reply tells of an account where a transfer was asked for");
                None
            }
        }
    }

    /// The row of this key is for ever, whoever wrote it.
    fn stored(&self, row: TransferRow) -> Answered {
        let is_ours = row.at() == self.at;
        Ok(Answer {
            transfer: Told::Decided(self.request.confirm(row.transfer)?),
            at: self.at,
            is_replay: self.is_replay || !is_ours,
        })
    }
}
