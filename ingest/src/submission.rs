//! A transfer on its way: from the request to the log, and to its outcome if the client stays.
//!
//! Invariant: an answer "accepted" follows an acknowledgement. A repeat is recognised only by an equal
//! fingerprint; before a key is called reused, Postgres is asked, and where it does not know the processor decides.

use std::time::SystemTime;

use schemas::{
    Command, KeyReused, LinePosition, Order, PendingTransfer, Timestamp, Transfer, TransferId,
    TransferOrder,
};
use tokio::sync::oneshot;

use crate::answers::Placed;
use crate::api::Api;
use crate::append::{AppendFailed, Manner, Receipt};
use crate::keyring::Ledger;
use crate::problem::Problem;
use crate::replays::{Claim, Fingerprint, Known, Seen};
use crate::request::Asked;
use crate::store::Unavailable;

/// A transfer that was asked for.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) order: TransferOrder,
    pub(crate) id: TransferId,
    fingerprint: Fingerprint,
    accepted_at: Timestamp,
}

/// A request that was handed over.
#[derive(Debug)]
pub(crate) struct Submission {
    request: Request,
    progress: Progress,
}

#[derive(Debug)]
enum Progress {
    Queued(Receipt, Option<Claim>),
    /// The same request is being appended for somebody else.
    Joined(oneshot::Receiver<Result<Known, AppendFailed>>),
    Logged(Known),
}

pub(crate) fn now() -> Timestamp {
    SystemTime::now().into()
}

/// Puts a transfer in the queue of its partition, unless it is there or further already.
///
/// # Errors
/// When it certainly will not be sent, or its key is known to belong to another request.
pub(crate) async fn submit(
    api: &Api,
    ledger: &Ledger,
    order: TransferOrder,
    asked: Asked,
    manner: Manner,
) -> Result<Submission, Problem> {
    let request = Request {
        id: order.id(&ledger.name),
        fingerprint: order.fingerprint(),
        accepted_at: now(),
        order,
    };
    let is_current = |at| api.lives.is_current(api.appender.log(), at);
    let claimed = api
        .replays
        .claim(request.id, request.fingerprint, is_current);
    let progress = match claimed {
        Seen::Logged(known) => Progress::Logged(known),
        Seen::UnderWay(joined) => Progress::Joined(joined),
        Seen::New(claim) => match enqueue(api, ledger, &request, asked, manner).await {
            Ok(receipt) => Progress::Queued(receipt, Some(claim)),
            Err(failed) => {
                claim.settle(Err(failed));
                return Err(failed.into());
            }
        },
        Seen::Differs => match api.store.transfer(ledger.number, request.id).await {
            Ok(Some(row)) => {
                let at = row.at();
                let transfer = request.confirm(row.transfer)?;
                Progress::Logged(request.known(at, transfer.accepted_at))
            }
            Ok(None) | Err(Unavailable) => {
                Progress::Queued(enqueue(api, ledger, &request, asked, manner).await?, None)
            }
        },
    };
    Ok(Submission { request, progress })
}

async fn enqueue(
    api: &Api,
    ledger: &Ledger,
    request: &Request,
    asked: Asked,
    manner: Manner,
) -> Result<Receipt, AppendFailed> {
    let command = Command {
        ledger: ledger.name.clone(),
        accepted_at: Some(request.accepted_at),
        actor: Some(asked.actor),
        traceparent: asked.traceparent,
        order: Order::Transfer(request.order.clone()),
    };
    api.appender.enqueue(&command, manner).await
}

impl Submission {
    /// Waits until the log acknowledged it.
    ///
    /// # Errors
    /// When it is not known to be on the log.
    pub(crate) async fn placed(self, api: &Api) -> Result<Placed, Problem> {
        let mut request = self.request;
        let known = match self.progress {
            Progress::Queued(mut receipt, claim) => {
                let logged = receipt.logged().await;
                if let Some(claim) = claim {
                    claim.settle(logged.map(|at| request.known(at, request.accepted_at)));
                }
                return Ok(Placed {
                    at: logged?,
                    request,
                    is_replay: false,
                    reply: receipt.decided,
                });
            }
            // The one who appended it may have left: then nobody knows how that ended.
            Progress::Joined(joined) => {
                joined.await.unwrap_or(Err(AppendFailed::OutcomeUnknown))?
            }
            Progress::Logged(known) => known,
        };
        api.requests.replays.increment(1);
        request.accepted_at = known.accepted_at;
        Ok(Placed {
            request,
            at: known.at,
            is_replay: true,
            reply: None,
        })
    }
}

impl Request {
    fn known(&self, at: LinePosition, accepted_at: Timestamp) -> Known {
        Known {
            fingerprint: self.fingerprint,
            at,
            accepted_at,
        }
    }

    /// The stored transfer, if it is what is asked for here.
    ///
    /// # Errors
    /// When the key belongs to another request.
    pub(crate) fn confirm(&self, stored: Transfer) -> Result<Transfer, Problem> {
        let differs = stored.order.differs(&self.order);
        if differs.is_empty() {
            return Ok(stored);
        }
        Err(Problem::key_reused(KeyReused {
            transfer_id: stored.id,
            differs,
        }))
    }

    /// The transfer while nobody has decided.
    pub(crate) fn pending(self, at: LinePosition) -> PendingTransfer {
        PendingTransfer {
            id: self.id,
            order: self.order,
            accepted_at: self.accepted_at,
            partition: at.partition,
            position: at.position,
        }
    }
}
