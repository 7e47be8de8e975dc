//! Many transfers in one request.
//!
//! Invariant: every line has an answer of its own, in the order of the lines; a broken line stops no other. Lines
//! are queued one after another, so that the order per debit account is theirs.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use schemas::{IdempotencyKey, RawTransfer, Shape, Transfer, TransferId, TransferStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::RefOr;
use utoipa::openapi::schema::{ObjectBuilder, Schema, Type};

use crate::answers::{Answer, Placed, Told, answers};
use crate::api::Api;
use crate::append::{Manner, Outcomes, WhenFull};
use crate::keyring::{Key, Ledger};
use crate::problem::{Problem, ProblemBody};
use crate::request::{Asked, RequestId, Wait, Writer, ndjson, preferred_wait};
use crate::respond;
use crate::submission::{Submission, submit};

const NDJSON: &str = "application/x-ndjson";

/// A line of the body.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what schemas::RawTransfer reads")]
pub(crate) struct BatchLine {
    idempotency_key: IdempotencyKey,
    debit_account: schemas::AccountId,
    credit_account: schemas::AccountId,
    /// A decimal string such as `"12.34"`, greater than zero, with no more decimals than the currency has.
    amount: schemas::Money,
    currency: schemas::Currency,
    description: Option<String>,
    metadata: Option<schemas::Metadata>,
}

/// The body: text, of which every line is judged by itself.
pub(crate) struct BatchBody;

impl utoipa::PartialSchema for BatchBody {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .description(Some(
                "A BatchLine as JSON on each line; blank lines are passed over, one at least is not.",
            ))
            .pattern(Some("[^ \\t\\n\\f\\r]"))
            .into()
    }
}

impl ToSchema for BatchBody {}

/// A line of the answer: the transfer, or what was wrong with this line.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum BatchAnswer<'a> {
    Accepted {
        /// Counts from 1.
        line: usize,
        idempotency_key: &'a IdempotencyKey,
        status: TransferStatus,
        id: TransferId,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        replayed: bool,
    },
    /// With `Prefer: wait`: the transfer as it was decided.
    Decided {
        line: usize,
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        replayed: bool,
        #[serde(flatten)]
        transfer: &'a Transfer,
    },
    Refused {
        line: usize,
        problem: ProblemBody<'a>,
    },
}

/// Move money many times: one JSON object a line, each with its `idempotency_key`; at most 10,000 lines and 8 MiB.
#[utoipa::path(
    post, path = "/v1/transfers/batch", tag = "transfers",
    params(("Prefer" = Option<String>, Header, description = "`wait=N` waits up to N seconds, at most 30, for the outcomes")),
    request_body(content = BatchBody, content_type = "application/x-ndjson"),
    responses(
        (status = 200, body = BatchAnswer, content_type = "application/x-ndjson", description = "a line for each line, in order"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    Writer(key): Writer,
    Extension(request_id): Extension<RequestId>,
    request: Request,
) -> Result<Response, Problem> {
    let (headers, body, share) = ndjson(request, &api).await?;
    // Not before the body is there: whoever sends slowly holds no turn.
    let turn = api.batches.try_acquire().map_err(|_| {
        Problem::unavailable(
            "overloaded",
            "too many batches at a time; nothing was sent, try again",
        )
    })?;
    let wait = preferred_wait(&headers, api.limits.wait_max);
    let manner = Manner {
        outcomes: if wait.is_some() {
            Outcomes::Wanted
        } else {
            Outcomes::Unwanted
        },
        when_full: WhenFull::Wait,
    };
    let lines = lines(&body, api.limits.batch_lines_max)?;
    let placed = place(&api, &key, &lines, key.asks(&headers), manner).await;
    // Who waits for outcomes takes nobody's turn: what it holds is memory, which counts as its own.
    drop(turn);
    let until = wait.map(|wait| wait.until);
    let answers = answers(&api, &key.ledger, placed, until).await;
    let numbers: Vec<usize> = lines.iter().map(|(number, _)| *number).collect();
    drop(body);
    let answer = share.answer(write(&numbers, &answers, wait, request_id.as_str()));
    let mut response = respond::of_type(NDJSON, StatusCode::OK, answer);
    respond::accepted(&api, &mut response);
    respond::waited(&mut response, wait);
    Ok(response)
}

/// The lines that are not empty, with their numbers from 1.
fn lines(body: &Bytes, lines_max: usize) -> Result<Vec<(usize, &[u8])>, Problem> {
    let lines: Vec<(usize, &[u8])> = (1..)
        .zip(body.split(|byte| *byte == b'\n'))
        .filter(|(_, line)| !line.trim_ascii().is_empty())
        .take(lines_max + 1)
        .collect();
    if lines.len() > lines_max {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "batch_too_long",
            format!("a batch has at most {lines_max} lines; nothing was sent"),
        ));
    }
    if lines.is_empty() {
        return Err(Problem::bad_request(
            "batch_empty",
            "a batch has at least one line",
        ));
    }
    Ok(lines)
}

/// Puts the lines on the log.
async fn place(
    api: &Api,
    key: &Key,
    lines: &[(usize, &[u8])],
    asked: Asked,
    manner: Manner,
) -> Vec<Result<Placed, Problem>> {
    let mut submitted = Vec::with_capacity(lines.len());
    for (_, line) in lines {
        // Others have their turn between many lines.
        tokio::task::consume_budget().await;
        submitted.push(submit_line(api, &key.ledger, line, asked.clone(), manner).await);
    }
    let mut placed = Vec::with_capacity(submitted.len());
    for submission in submitted {
        placed.push(match submission {
            Ok(submission) => submission.placed(api).await,
            Err(problem) => Err(problem),
        });
    }
    placed
}

async fn submit_line(
    api: &Api,
    ledger: &Ledger,
    line: &[u8],
    asked: Asked,
    manner: Manner,
) -> Result<Submission, Problem> {
    let raw = RawTransfer::parse(line, Shape::Line)?;
    let Some(idempotency_key) = &raw.idempotency_key else {
        return Err(Problem::bad_request(
            "idempotency_key_missing",
            "each line of a batch has its own idempotency_key",
        )
        .at("/idempotency_key"));
    };
    let idempotency_key = IdempotencyKey::parse(&idempotency_key.0)?;
    let order = raw.validate(idempotency_key, &ledger.units)?;
    submit(api, ledger, order, asked, manner).await
}

fn write(
    lines: &[usize],
    answers: &[Result<Answer, Problem>],
    wait: Option<Wait>,
    request_id: &str,
) -> Vec<u8> {
    let mut body = Vec::with_capacity(128 * lines.len());
    for (line, answer) in lines.iter().zip(answers) {
        let answer = match answer {
            Ok(Answer {
                transfer: Told::Decided(transfer),
                is_replay,
                ..
            }) if wait.is_some() => BatchAnswer::Decided {
                line: *line,
                replayed: *is_replay,
                transfer,
            },
            Ok(Answer {
                transfer,
                is_replay,
                ..
            }) => BatchAnswer::Accepted {
                line: *line,
                idempotency_key: &transfer.order().idempotency_key,
                status: transfer.status(),
                id: transfer.id(),
                replayed: *is_replay,
            },
            Err(problem) => BatchAnswer::Refused {
                line: *line,
                problem: problem.body(Some(request_id)),
            },
        };
        serde_json::to_writer(&mut body, &answer)
            .expect("strings and integers have a JSON text, and memory does not fail");
        body.push(b'\n');
    }
    body
}
