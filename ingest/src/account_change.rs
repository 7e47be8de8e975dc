//! A change of an account: over the log like a transfer, and back with its outcome.
//!
//! Invariant: what is answered is what the account's own partition decided; without an answer in time the client is
//! told where to ask.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use schemas::{AccountChange, AccountId, Command, LinePosition, Order, Outcome};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};
use utoipa::ToSchema;

use crate::api::Api;
use crate::append::{Manner, Outcomes, WhenFull};
use crate::keyring::Ledger;
use crate::problem::Problem;
use crate::request::Asked;
use crate::respond;
use crate::submission::now;

/// A change that is on the log and not decided yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PendingChange {
    id: AccountId,
    /// Always `pending`.
    status: &'static str,
    partition: schemas::Partition,
    position: schemas::Position,
}

/// Asks for a change and waits for its outcome.
///
/// # Errors
/// When it was not sent, or was refused.
pub(crate) async fn change(
    api: &Api,
    ledger: &Ledger,
    id: AccountId,
    change: AccountChange,
    asked: Asked,
) -> Result<Response, Problem> {
    let until = Instant::now() + api.limits.account_wait;
    let command = Command {
        ledger: ledger.name.clone(),
        accepted_at: Some(now()),
        actor: Some(asked.actor),
        traceparent: asked.traceparent,
        order: Order::Account(id, change),
    };
    let manner = Manner {
        outcomes: Outcomes::Wanted,
        when_full: WhenFull::Refuse,
    };
    let mut receipt = api.appender.enqueue(&command, manner).await?;
    let at = receipt.logged().await?;
    let reply = receipt.decided.take().expect("the outcome was wanted");
    if let Ok(Ok(reply)) = timeout_at(until, reply).await {
        if let Some(outcome) = reply.about(at, command.account().as_str()) {
            return decided(outcome, at);
        }
        api.progress.reached([at], until).await;
    }
    match outcome_of(api, ledger, at).await {
        Ok(Some(outcome)) => decided(outcome, at),
        // Without Postgres nobody can know yet.
        Ok(None) | Err(_) => Ok(pending(api, command.account().clone(), at)),
    }
}

/// What was decided about the change at a place of the log; `None` while undecided.
///
/// # Errors
/// When Postgres does not answer.
pub(crate) async fn outcome_of(
    api: &Api,
    ledger: &Ledger,
    at: LinePosition,
) -> Result<Option<Outcome>, Problem> {
    if let Some(outcome) = api.store.account_outcome(ledger.number, at).await? {
        return Ok(Some(outcome));
    }
    let dead = api.store.dead_letter_at(ledger.number, at).await?;
    Ok(dead.map(Outcome::DeadLettered))
}

/// 202, and where to ask again.
pub(crate) fn pending(api: &Api, id: AccountId, at: LinePosition) -> Response {
    let location = respond::text(format!("/v1/accounts/{id}?at={at}"));
    let pending = PendingChange {
        id,
        status: "pending",
        partition: at.partition,
        position: at.position,
    };
    let mut response = respond::json(StatusCode::ACCEPTED, &pending);
    respond::accepted(api, &mut response);
    let headers = response.headers_mut();
    headers.insert(header::LOCATION, location);
    headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

fn decided(outcome: Outcome, at: LinePosition) -> Result<Response, Problem> {
    match outcome {
        Outcome::AccountOpened(account)
        | Outcome::AccountChanged(account)
        | Outcome::AccountFrozen(account)
        | Outcome::AccountUnfrozen(account)
        | Outcome::AccountClosed(account)
        | Outcome::AccountUnchanged(account) => Ok(respond::json(StatusCode::OK, &account)),
        Outcome::AccountRefused(refused) => Err(Problem::account_refused(refused)),
        Outcome::DeadLettered(dead) => Err(Problem::dead_lettered(&dead)),
        Outcome::Decided(_) | Outcome::Replayed(_) | Outcome::KeyReused(_) => {
            tracing::error!(%at, "a reply tells of a transfer where an account was asked for");
            Err(Problem::unavailable(
                "outcome_unknown",
                "the change is on the log; read the account to see what became of it",
            ))
        }
    }
}
