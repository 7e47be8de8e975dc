//! Lists of decided transfers, newest first.
//!
//! Invariant: a list of one account is merged from ranges of four indexes, and its cursor holds the place in each,
//! so that a page costs the same however long the account's history is.

use std::cmp::Reverse;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use journal::TransferRow;
use schemas::{AccountId, Transfer, TransferStatus};
use serde::Deserialize;
use utoipa::IntoParams;

use crate::api::Api;
use crate::page::{AccountPlace, Page, decode_ledger_place, encode_ledger_place, json_bytes};
use crate::problem::{Problem, ProblemBody};
use crate::request::{Query, Reader, limit};
use crate::respond;
use crate::store::transfers::{Below, RefusedSide};

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// Only transfers that this account pays or receives.
    #[param(value_type = Option<AccountId>)]
    account: Option<String>,
    #[param(value_type = Option<Decided>, inline)]
    status: Option<String>,
    /// `next` of the page before.
    #[param(
        pattern = "^([0-9]{1,18}|[0-8][0-9]{18}|9223372036854775807)(\\.([0-9]{1,18}|[0-8][0-9]{18}|9223372036854775807)\\.[0-9a-f]{1,32}){2}$"
    )]
    after: Option<String>,
    /// 1 to 200, 50 unless given.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

/// Only transfers with this status.
#[derive(utoipa::ToSchema)]
#[schema(rename_all = "snake_case")]
#[expect(dead_code, reason = "describes what `parse_status` reads")]
enum Decided {
    Posted,
    Refused,
}

/// Decided transfers, newest first.
#[utoipa::path(
    get, path = "/v1/transfers", tag = "transfers",
    params(ListQuery),
    responses(
        (status = 200, body = Page<Transfer>),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Reader(key): Reader,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let limit = limit(query.limit.as_deref())?;
    let status = query.status.as_deref().map(parse_status).transpose()?;
    let after = query.after.as_deref();
    let page = match query.account {
        Some(account) => {
            let account = AccountId::parse(&account).map_err(|invalid| {
                Problem::bad_request(invalid.code, format!("account: {}", invalid.detail))
            })?;
            of_account(&api, key.ledger.number, &account, status, after, limit).await?
        }
        None => of_ledger(&api, key.ledger.number, status, after, limit).await?,
    };
    let page = Page {
        data: page
            .data
            .into_iter()
            .map(|row| row.transfer)
            .collect::<Vec<_>>(),
        next: page.next,
    };
    Ok(respond::json(StatusCode::OK, &page))
}

fn parse_status(text: &str) -> Result<TransferStatus, Problem> {
    match text {
        "posted" => Ok(TransferStatus::Posted),
        "refused" => Ok(TransferStatus::Refused),
        _ => Err(Problem::bad_request(
            "status_unknown",
            "status is posted or refused; what is pending is on the log and in no list",
        )),
    }
}

async fn of_ledger(
    api: &Api,
    ledger: i32,
    status: Option<TransferStatus>,
    after: Option<&str>,
    limit: i64,
) -> Result<Page<TransferRow>, Problem> {
    let below = after.map_or(Ok(Below::START), decode_ledger_place)?;
    let rows = api
        .store
        .decided_transfers(ledger, status, below, limit + 1)
        .await?;
    Ok(Page::cut(rows, limit, bytes, |row| {
        encode_ledger_place(&Below::of(&row.transfer))
    }))
}

async fn of_account(
    api: &Api,
    ledger: i32,
    account: &AccountId,
    status: Option<TransferStatus>,
    after: Option<&str>,
    limit: i64,
) -> Result<Page<TransferRow>, Problem> {
    let mut place = after.map_or(Ok(AccountPlace::START), AccountPlace::decode)?;
    let mut rows = Vec::new();
    if status != Some(TransferStatus::Refused) {
        let posted = api
            .store
            .posted_transfers_of(ledger, account, place.posted_below, limit + 1)
            .await?;
        rows.extend(posted.into_iter().map(|row| (Source::Posted, row)));
    }
    if status != Some(TransferStatus::Posted) {
        let sides = [
            (
                Source::RefusedDebit,
                RefusedSide::Debit,
                place.refused_debit,
            ),
            (
                Source::RefusedCredit,
                RefusedSide::Credit,
                place.refused_credit,
            ),
        ];
        for (source, side, below) in sides {
            let refused = api
                .store
                .refused_transfers_of(ledger, account, side, below, limit + 1)
                .await?;
            rows.extend(refused.into_iter().map(|row| (source, row)));
        }
    }
    // Stable, so that each source keeps its own order where times are equal.
    rows.sort_by_key(|(_, row)| Reverse(row.transfer.decided_at));
    let page = Page::cut(rows, limit, |(_, row)| bytes(row), |_| String::new());
    for (source, row) in &page.data {
        match source {
            Source::Posted => {
                place.posted_below = row.transfer.version_of(account).unwrap_or_default();
            }
            Source::RefusedDebit => place.refused_debit = Below::of(&row.transfer),
            Source::RefusedCredit => place.refused_credit = Below::of(&row.transfer),
        }
    }
    Ok(Page {
        data: page.data.into_iter().map(|(_, row)| row).collect(),
        next: page.next.map(|_| place.encode()),
    })
}

fn bytes(row: &TransferRow) -> usize {
    json_bytes(&row.transfer)
}

/// Which list a row of an account came from.
#[derive(Debug, Clone, Copy)]
enum Source {
    Posted,
    RefusedDebit,
    RefusedCredit,
}
