//! One transfer: asked for, read, and told from beginning to end.
//!
//! Invariant: a 404 is said only when the applied position has passed the place where the transfer would be.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemas::{
    IdempotencyKey, LinePosition, Partition, Position, RawTransfer, Shape, Timestamp, Transfer,
    TransferId,
};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use crate::answers::answer;
use crate::api::Api;
use crate::append::{Manner, Outcomes, WhenFull};
use crate::keyring::Ledger;
use crate::problem::{Problem, ProblemBody};
use crate::request::{
    JsonBytes, PathText, Query, Reader, Wait, Writer, at, idempotency_key, preferred_wait, wait,
};
use crate::respond;
use crate::submission::submit;

/// What `POST /v1/transfers` takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what schemas::RawTransfer reads")]
pub(crate) struct TransferRequest {
    debit_account: schemas::AccountId,
    credit_account: schemas::AccountId,
    /// A decimal string such as `"12.34"`, greater than zero, with no more decimals than the currency has; at most
    /// 2^63 - 1 minor units.
    #[schema(
        value_type = String,
        pattern = "^([0-9]{0,18}[1-9][0-9]{0,18}(\\.[0-9]{1,12})?|0{1,19}\\.[0-9]{0,11}[1-9][0-9]{0,11})$",
        example = "12.34"
    )]
    amount: schemas::Money,
    /// An ISO 4217 code or a unit that the ledger declared; others are refused.
    currency: schemas::Currency,
    #[schema(pattern = "^[^\\x00]*$")]
    description: Option<String>,
    /// With the description at most 4096 bytes of JSON.
    metadata: Option<schemas::Metadata>,
}

/// Move money from one account to another, once for this idempotency key.
///
/// 202: it is on the log. With `Prefer: wait=N` 200 as soon as it is decided, whatever the outcome.
#[utoipa::path(
    post, path = "/v1/transfers", tag = "transfers",
    params(
        ("Idempotency-Key" = String, Header, pattern = "^[!-~]([ -~]{0,253}[!-~])?$", description = "1 to 255 printable ASCII characters; the same on every retry"),
        ("Prefer" = Option<String>, Header, description = "`wait=N` waits up to N seconds, at most 30, for the outcome"),
    ),
    request_body = TransferRequest,
    responses(
        (status = 200, body = Transfer, description = "decided; a recognised repeat has Idempotent-Replayed: true"),
        (status = 202, body = Transfer, description = "on the log, pending; Location says where to ask"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    Writer(key): Writer,
    JsonBytes { headers, body }: JsonBytes,
) -> Result<Response, Problem> {
    let idempotency_key = idempotency_key(&headers)?;
    let wait = preferred_wait(&headers, api.limits.wait_max);
    let order =
        RawTransfer::parse(&body, Shape::Request)?.validate(idempotency_key, &key.ledger.units)?;
    let manner = Manner {
        outcomes: if wait.is_some() {
            Outcomes::Wanted
        } else {
            Outcomes::Unwanted
        },
        when_full: WhenFull::Refuse,
    };
    let placed = submit(&api, &key.ledger, order, key.asks(&headers), manner)
        .await?
        .placed(&api)
        .await?;
    let until = wait.map(|wait| wait.until);
    let answer = answer(&api, &key.ledger, placed, until).await?;
    Ok(respond::transfer(&api, &answer, wait))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadQuery {
    /// `PARTITION.POSITION`, as `Location` gave it: makes a 404 certain.
    #[param(pattern = "^[0-9]{1,4}\\.([0-9]{1,18}|[0-8][0-9]{18})(\\.[0-9]{1,9})?$")]
    at: Option<String>,
    /// Seconds to wait for the outcome; 30 where more is asked for.
    #[param(value_type = Option<u32>)]
    wait: Option<String>,
}

/// A transfer that is on the log and not decided yet.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Pending {
    id: TransferId,
    /// Always `pending`.
    status: &'static str,
    partition: Partition,
    position: Position,
}

/// The transfer, as it was decided.
#[utoipa::path(
    get, path = "/v1/transfers/{id}", tag = "transfers",
    params(("id" = TransferId, Path), ReadQuery),
    responses(
        (status = 200, body = Transfer),
        (status = 202, body = Pending, description = "not decided yet"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read(
    State(api): State<Arc<Api>>,
    Reader(key): Reader,
    PathText(id): PathText,
    Query(query): Query<ReadQuery>,
) -> Result<Response, Problem> {
    let id = TransferId::parse(&id)?;
    let at = at(query.at.as_deref(), api.appender.partitions())?;
    let wait = wait(query.wait.as_deref(), api.limits.wait_max)?;
    let mut found = look(&api, &key.ledger, id, at).await?;
    if let Some(wait) = wait {
        match (&found, at) {
            (Look::Pending(_), Some(at)) => api.progress.reached([at], wait.until).await,
            (Look::Missing(_), None) => {
                let ledger = key.ledger.number;
                api.progress.decided(ledger, id, wait.until).await;
            }
            // Decided, or not there although its place was passed.
            _ => return found.respond(Some(wait)),
        }
        found = look(&api, &key.ledger, id, at).await?;
    }
    found.respond(wait)
}

/// What one look at Postgres shows of a transfer.
enum Look {
    Decided(Box<Transfer>),
    Pending(Pending),
    Missing(Problem),
}

async fn look(
    api: &Api,
    ledger: &Ledger,
    id: TransferId,
    at: Option<LinePosition>,
) -> Result<Look, Problem> {
    // Before the row: what is applied in between has a row by then.
    let applied = match at {
        Some(at) => Some(api.store.applied(at.partition).await?),
        None => None,
    };
    if let Some(row) = api.store.transfer(ledger.number, id).await? {
        return Ok(Look::Decided(Box::new(row.transfer)));
    }
    if let (Some(at), Some(applied)) = (at, applied)
        && applied < at.position
    {
        return Ok(Look::Pending(Pending {
            id,
            status: "pending",
            partition: at.partition,
            position: at.position,
        }));
    }
    let problem = missing(api, ledger, id).await?;
    if at.is_none() && problem.code() == "dead_lettered" {
        return Err(problem);
    }
    Ok(Look::Missing(problem))
}

/// Why there is no row.
async fn missing(api: &Api, ledger: &Ledger, id: TransferId) -> Result<Problem, Problem> {
    let dead = api.store.dead_transfers(ledger.number, &[id]).await?;
    Ok(match dead.last() {
        Some((_, _, dead)) => Problem::dead_lettered(dead),
        None => Problem::not_found(
            "transfer_not_found",
            format!(
                "there is no transfer {id}; one just accepted is found with the at of its Location"
            ),
        ),
    })
}

impl Look {
    fn respond(self, wait: Option<Wait>) -> Result<Response, Problem> {
        let mut response = match self {
            Self::Decided(transfer) => respond::json(StatusCode::OK, &*transfer),
            Self::Pending(pending) => respond::json(StatusCode::ACCEPTED, &pending),
            Self::Missing(problem) => return Err(problem),
        };
        respond::waited(&mut response, wait);
        Ok(response)
    }
}

/// The transfer that an idempotency key belongs to.
#[utoipa::path(
    get, path = "/v1/transfers/by-key/{key}", tag = "transfers",
    params(("key" = IdempotencyKey, Path, description = "percent-encoded")),
    responses(
        (status = 200, body = Transfer),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn read_by_key(
    State(api): State<Arc<Api>>,
    Reader(key): Reader,
    PathText(idempotency_key): PathText,
) -> Result<Response, Problem> {
    let idempotency_key = IdempotencyKey::parse(&idempotency_key)?;
    let id = TransferId::derive(&key.ledger.name, &idempotency_key);
    match api.store.transfer(key.ledger.number, id).await? {
        Some(row) => Ok(respond::json(StatusCode::OK, &row.transfer)),
        None => Err(missing(&api, &key.ledger, id).await?),
    }
}

/// One step of a transfer's life.
#[derive(Debug, Serialize, ToSchema)]
#[serde(tag = "status", rename_all = "snake_case")]
pub(crate) enum Step {
    /// Ingest took it.
    Accepted {
        at: Timestamp,
    },
    /// It stands on the log; `look` shows its record.
    Logged {
        partition: Partition,
        position: Position,
        line: u32,
        look: String,
    },
    Posted {
        at: Timestamp,
    },
    Refused {
        at: Timestamp,
        reason: Option<schemas::RefusalReason>,
    },
    /// The outcome is in the database, in the commit that ends at `position`.
    Committed {
        partition: Partition,
        first_position: Position,
        position: Position,
        epoch: i64,
        hash: String,
    },
}

/// The steps of a transfer, oldest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Timeline {
    data: Vec<Step>,
}

/// What happened to a transfer, from its acceptance to its commit.
#[utoipa::path(
    get, path = "/v1/transfers/{id}/timeline", tag = "transfers",
    params(("id" = TransferId, Path)),
    responses(
        (status = 200, body = Timeline),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn timeline(
    State(api): State<Arc<Api>>,
    Reader(key): Reader,
    PathText(id): PathText,
) -> Result<Response, Problem> {
    let id = TransferId::parse(&id)?;
    let Some(row) = api.store.transfer(key.ledger.number, id).await? else {
        return Err(missing(&api, &key.ledger, id).await?);
    };
    let place = row.at();
    let commit = api.store.commit_of(place).await?;
    let transfer = row.transfer;
    let at = transfer.decided_at;
    let mut data = vec![
        Step::Accepted {
            at: transfer.accepted_at,
        },
        Step::Logged {
            partition: place.partition,
            position: place.position,
            line: place.line,
            look: format!("nats stream get COMMANDS {}", place.position.sequence()),
        },
        match transfer.refusal() {
            None => Step::Posted { at },
            Some(refusal) => Step::Refused {
                at,
                reason: Some(refusal.reason),
            },
        },
    ];
    data.extend(commit.map(|commit| Step::Committed {
        partition: place.partition,
        first_position: Position::from_number(commit.first_position),
        position: Position::from_number(commit.position),
        epoch: commit.epoch,
        hash: crate::admin::hex(&commit.hash),
    }));
    Ok(respond::json(StatusCode::OK, &Timeline { data }))
}
