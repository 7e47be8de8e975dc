//! Answers that say no: RFC 9457, `application/problem+json`.
//!
//! Invariant: every answer that is no success is one of these, with a stable code and the request's id. A problem
//! travels through the router as an extension of an empty answer and is written once, where the id is known.

use std::borrow::Cow;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemas::{AccountRefused, DeadLettered, Invalid, KeyReused, RefusalReason, TransferId};
use serde::Serialize;

use crate::append::AppendFailed;
use crate::store::Unavailable;

/// Seconds after which a client may try again.
const RETRY_AFTER: u32 = 1;

#[derive(Debug, Clone)]
pub(crate) struct Problem(Box<Fields>);

#[derive(Debug, Clone)]
struct Fields {
    status: StatusCode,
    code: Cow<'static, str>,
    detail: String,
    pointer: Option<Cow<'static, str>>,
    transfer_id: Option<TransferId>,
    differs: Vec<String>,
    retry: bool,
}

/// How a problem looks in JSON.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// `urn:sluice:problem:` and the code.
    #[serde(rename = "type")]
    kind: String,
    title: String,
    status: u16,
    /// Stable name of the fault.
    code: &'a str,
    /// What is wrong and what to do about it.
    detail: &'a str,
    /// JSON pointer of the field at fault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pointer: Option<&'a str>,
    /// The transfer that owns the idempotency key.
    #[serde(skip_serializing_if = "Option::is_none")]
    transfer_id: Option<TransferId>,
    /// The fields in which the two requests differ.
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    differs: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    request_id: Option<&'a str>,
}

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        code: impl Into<Cow<'static, str>>,
        detail: impl Into<String>,
    ) -> Self {
        Self(Box::new(Fields {
            status,
            code: code.into(),
            detail: detail.into(),
            pointer: None,
            transfer_id: None,
            differs: Vec::new(),
            retry: false,
        }))
    }

    pub(crate) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    pub(crate) fn not_found(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, code, detail)
    }

    pub(crate) fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "scope_insufficient", detail)
    }

    /// 503 with `Retry-After`.
    pub(crate) fn unavailable(code: &'static str, detail: impl Into<String>) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        problem.0.retry = true;
        problem
    }

    /// The key already belongs to another request.
    pub(crate) fn key_reused(reused: KeyReused) -> Self {
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "idempotency_key_reused",
            "this idempotency key belongs to another transfer; a new transfer needs a new key",
        );
        problem.0.transfer_id = Some(reused.transfer_id);
        problem.0.differs = reused.differs;
        problem
    }

    pub(crate) fn dead_lettered(dead: &DeadLettered) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "dead_lettered",
            format!(
                "this command could not be decided and is kept as a dead letter: {}: {}",
                dead.reason, dead.detail
            ),
        )
    }

    pub(crate) fn account_refused(refused: AccountRefused) -> Self {
        let status = match refused.reason {
            RefusalReason::AccountExists => StatusCode::CONFLICT,
            RefusalReason::AccountUnknown
            | RefusalReason::AccountFrozen
            | RefusalReason::AccountClosed
            | RefusalReason::AccountsMustDiffer
            | RefusalReason::CurrencyDiffers
            | RefusalReason::InsufficientFunds
            | RefusalReason::BalanceOverflow
            | RefusalReason::BalanceNotZero
            | RefusalReason::MinBalanceInvalid
            | RefusalReason::BalanceBelowMinimum => StatusCode::UNPROCESSABLE_ENTITY,
        };
        let mut problem = Self::new(status, refused.reason.as_str(), refused.detail);
        problem.0.differs = refused.differs;
        problem
    }

    #[must_use]
    pub(crate) fn at(mut self, pointer: impl Into<Cow<'static, str>>) -> Self {
        self.0.pointer = Some(pointer.into());
        self
    }

    pub(crate) fn code(&self) -> &str {
        &self.0.code
    }

    pub(crate) fn body<'a>(&'a self, request_id: Option<&'a str>) -> ProblemBody<'a> {
        let Fields {
            status,
            code,
            detail,
            pointer,
            transfer_id,
            differs,
            retry: _,
        } = self.0.as_ref();
        ProblemBody {
            kind: format!("urn:sluice:problem:{code}"),
            title: title(code),
            status: status.as_u16(),
            code,
            detail,
            pointer: pointer.as_deref(),
            transfer_id: *transfer_id,
            differs,
            request_id,
        }
    }

    /// The answer as it goes out.
    pub(crate) fn write(&self, request_id: &str) -> Response {
        let body = serde_json::to_vec(&self.body(Some(request_id)))
            .expect("strings and integers have a JSON text, and memory does not fail");
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if self.0.retry {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(RETRY_AFTER));
        }
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// `account_unknown` is "Account unknown".
fn title(code: &str) -> String {
    let mut title = code.replace('_', " ");
    if let Some(first) = title.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    title
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.0.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<Invalid> for Problem {
    fn from(invalid: Invalid) -> Self {
        let problem = Self::bad_request(invalid.code, invalid.detail);
        if invalid.pointer.is_empty() {
            problem
        } else {
            problem.at(invalid.pointer)
        }
    }
}

impl From<Unavailable> for Problem {
    fn from(_: Unavailable) -> Self {
        Self::unavailable(
            "database_unavailable",
            "the database cannot be read now; transfers are accepted all the same",
        )
    }
}

impl From<AppendFailed> for Problem {
    fn from(failed: AppendFailed) -> Self {
        match failed {
            AppendFailed::QueueFull => Self::unavailable(
                "queue_full",
                "more arrives than the log can take; nothing was sent, try again",
            ),
            AppendFailed::LogUnavailable => Self::unavailable(
                "log_unavailable",
                "the log cannot be reached; nothing was sent, try again",
            ),
            AppendFailed::LogFull => Self::unavailable(
                "log_full",
                "the log is full until an operator makes room; nothing was sent",
            ),
            AppendFailed::LogNotDurable => Self::unavailable(
                "log_not_durable",
                "nothing tells now whether what the log acknowledges is on disk; nothing was sent, try again",
            ),
            AppendFailed::OutcomeUnknown => Self::unavailable(
                "outcome_unknown",
                "the log did not acknowledge in time and may hold the command or not: retry with the same key only",
            ),
        }
    }
}
