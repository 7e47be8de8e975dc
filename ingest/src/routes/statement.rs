//! What happened on one account, and what it held when.
//!
//! Invariant: lines run by version without a gap; a time is turned into a version first, so that an account with
//! millions of postings answers as fast as a new one. What is said about a time stays true: it is said as of a time
//! before which nothing is decided any more.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use schemas::{Account, AccountId, Currency, Money, Timestamp, TransferId};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::accounts::existing;
use crate::api::Api;
use crate::keyring::Ledger;
use crate::page::{Page, cursor_malformed, json_bytes};
use crate::problem::{Problem, ProblemBody};
use crate::request::{PathText, Query, Reader, limit, time};
use crate::respond;
use crate::store::entries::Posting;

/// One posting.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatementLine {
    version: i64,
    transfer_id: TransferId,
    at: Timestamp,
    counterparty: AccountId,
    /// Negative where money left the account.
    amount: Money,
    balance_after: Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

/// A page of a statement.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Statement {
    data: Vec<StatementLine>,
    /// Opaque; give it back as `after`. `null` at the end.
    next: Option<String>,
    /// With `to`: that time, or the earlier one up to which everything is decided; lines end before it, and a repeat
    /// says the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<Timestamp>,
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatementQuery {
    /// Postings decided at this time (RFC 3339) or later.
    #[param(value_type = Option<Timestamp>)]
    from: Option<String>,
    /// Postings decided before this time, which is not in the future.
    #[param(value_type = Option<Timestamp>)]
    to: Option<String>,
    /// `next` of the page before: the version of its last line.
    #[param(value_type = Option<i64>, minimum = 0)]
    after: Option<String>,
    /// 1 to 200, 50 unless given.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

/// Postings of an account, oldest first.
#[utoipa::path(
    get, path = "/v1/accounts/{id}/statement", tag = "accounts",
    params(("id" = AccountId, Path), StatementQuery),
    responses(
        (status = 200, body = Statement),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn statement(
    State(api): State<Arc<Api>>,
    Reader(key): Reader,
    PathText(id): PathText,
    Query(query): Query<StatementQuery>,
) -> Result<Response, Problem> {
    let id = AccountId::parse(&id)?;
    let limit = limit(query.limit.as_deref())?;
    let from = time(query.from.as_deref(), "from")?;
    let to = time(query.to.as_deref(), "to")?;
    let after = query.after.as_deref().map_or(Ok(0), version)?;
    let as_of = as_of(&api, to).await?;
    let account = existing(&api, &key.ledger, &id).await?;
    let first = match from {
        Some(from) => first_version(&api, &key.ledger, &account, from).await?,
        None => 1,
    };
    let before = match as_of {
        Some(as_of) => first_version(&api, &key.ledger, &account, as_of).await?,
        None => i64::MAX,
    };
    let after = after.max(first - 1);
    let postings = api
        .store
        .postings(key.ledger.number, &id, after, before, limit + 1)
        .await?;
    let lines = postings.into_iter().map(StatementLine::from).collect();
    let Page { data, next } = Page::cut(lines, limit, json_bytes, |line: &StatementLine| {
        line.version.to_string()
    });
    let statement = Statement { data, next, as_of };
    Ok(respond::json(StatusCode::OK, &statement))
}

/// The time that an answer about `asked` is true of; to be known before anything else is read.
async fn as_of(api: &Api, asked: Option<Timestamp>) -> Result<Option<Timestamp>, Problem> {
    match asked {
        Some(asked) => {
            let certain = api.store.certain(api.appender.partitions()).await?;
            certain.as_of(asked).map(Some)
        }
        None => Ok(None),
    }
}

fn version(after: &str) -> Result<i64, Problem> {
    after
        .parse()
        .ok()
        .filter(|version| *version >= 0)
        .ok_or_else(cursor_malformed)
}

async fn first_version(
    api: &Api,
    ledger: &Ledger,
    account: &Account,
    at: Timestamp,
) -> Result<i64, Problem> {
    let store = &api.store;
    Ok(store
        .first_version_at(ledger.number, &account.id, account.version, at)
        .await?)
}

impl From<Posting> for StatementLine {
    fn from(posting: Posting) -> Self {
        Self {
            version: posting.version,
            transfer_id: posting.transfer_id,
            at: posting.at,
            counterparty: posting.counterparty,
            amount: posting.amount,
            balance_after: posting.balance_after,
            description: posting.description,
        }
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct BalanceQuery {
    /// RFC 3339, not in the future; now unless given.
    #[param(value_type = Option<Timestamp>)]
    at: Option<String>,
}

/// What an account held after all that was decided up to a time.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BalanceThen {
    account: AccountId,
    currency: Currency,
    balance: Money,
    version: i64,
    /// The time that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    at: Option<Timestamp>,
    /// With `at`: that time, or the earlier one up to which everything is decided. The balance was this then, whenever
    /// it is asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    as_of: Option<Timestamp>,
}

/// The balance now, or at a time.
#[utoipa::path(
    get, path = "/v1/accounts/{id}/balance", tag = "accounts",
    params(("id" = AccountId, Path), BalanceQuery),
    responses(
        (status = 200, body = BalanceThen),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn balance(
    State(api): State<Arc<Api>>,
    Reader(key): Reader,
    PathText(id): PathText,
    Query(query): Query<BalanceQuery>,
) -> Result<Response, Problem> {
    let id = AccountId::parse(&id)?;
    let at = time(query.at.as_deref(), "at")?;
    let as_of = as_of(&api, at).await?;
    let account = existing(&api, &key.ledger, &id).await?;
    let (balance, version) = match as_of {
        None => (account.balance, account.version),
        Some(as_of) => balance_at(&api, &key.ledger, &account, as_of).await?,
    };
    let then = BalanceThen {
        account: account.id,
        currency: account.currency,
        balance,
        version,
        at,
        as_of,
    };
    Ok(respond::json(StatusCode::OK, &then))
}

async fn balance_at(
    api: &Api,
    ledger: &Ledger,
    account: &Account,
    at: Timestamp,
) -> Result<(Money, i64), Problem> {
    let just_after = Timestamp::from_nanoseconds(at.nanoseconds().saturating_add(1));
    let version = first_version(api, ledger, account, just_after).await? - 1;
    if version == account.version {
        return Ok((account.balance, version));
    }
    let postings = api
        .store
        .postings(ledger.number, &account.id, version - 1, version + 1, 1)
        .await?;
    let nothing = Money {
        minor: 0,
        exponent: account.balance.exponent,
    };
    let balance = postings
        .first()
        .map_or(nothing, |posting| posting.balance_after);
    Ok((balance, version))
}
