//! Accounts: opened, listed, read and changed.
//!
//! Invariant: whoever lets an account owe money, freezes, unfreezes or closes it holds a key with scope admin.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use schemas::{Account, AccountChange, AccountId, IdempotencyKey, Outcome, RawAccount, Shape};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use utoipa::{IntoParams, ToSchema};

use crate::account_change::{PendingChange, change as change_account, outcome_of, pending};
use crate::api::Api;
use crate::keyring::Ledger;
use crate::page::{Page, cursor_malformed, json_bytes};
use crate::problem::{Problem, ProblemBody};
use crate::request::{
    Admin, JsonBytes, PathText, Query, Reader, Writer, at, idempotency_key_if_given, limit,
};
use crate::respond;

const ID_BYTES: usize = 16;

/// What `POST /v1/accounts` takes.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "describes what schemas::RawAccount reads")]
pub(crate) struct AccountRequest {
    /// Made by the server unless given; the same for the same Idempotency-Key.
    id: Option<AccountId>,
    /// An ISO 4217 code or a unit that the ledger declared; others are refused.
    currency: schemas::Currency,
    #[schema(pattern = "^[A-Za-z0-9_:.-]{1,64}$")]
    r#type: Option<String>,
    /// The balance may not fall below this; `"0"` unless given, `null` is unlimited. A new account is empty, so this is
    /// not above zero; below zero needs scope admin. No more decimals than the currency has, at most 2^63 minor units.
    #[schema(
        value_type = Option<String>,
        pattern = "^(-[0-9]{1,19}(\\.[0-9]{1,12})?|0{1,19}(\\.0{1,12})?)$"
    )]
    min_balance: Option<schemas::Money>,
    /// With the type at most 4096 bytes.
    metadata: Option<schemas::Metadata>,
}

/// What `PATCH /v1/accounts/{id}` takes; at least one field.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(min_properties = 1)]
#[expect(dead_code, reason = "describes what schemas::RawAccount reads")]
pub(crate) struct AccountChangeRequest {
    /// `null` is unlimited. Below zero needs scope admin. At most 2^63 minor units.
    #[schema(value_type = Option<String>, pattern = "^-?[0-9]{1,19}(\\.[0-9]{1,12})?$")]
    min_balance: Option<schemas::Money>,
    /// Replaces what there is; `null` removes it. At most 4096 bytes.
    metadata: Option<schemas::Metadata>,
}

/// Open an account.
///
/// Asked again with the same fields it answers the account as it is now; with others 409 and what differs.
#[utoipa::path(
    post, path = "/v1/accounts", tag = "accounts",
    params(("Idempotency-Key" = Option<String>, Header, pattern = "^[!-~]([ -~]{0,253}[!-~])?$", description = "makes a retry without id open the same account")),
    request_body = AccountRequest,
    responses(
        (status = 201, body = Account, description = "opened"),
        (status = 200, body = Account, description = "it is open already"),
        (status = 202, body = PendingChange, description = "not decided yet; Location says where to ask"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn open(
    State(api): State<Arc<Api>>,
    writer: Writer,
    JsonBytes { headers, body }: JsonBytes,
) -> Result<Response, Problem> {
    let ledger = &writer.0.ledger;
    let idempotency_key = idempotency_key_if_given(&headers)?;
    let raw = RawAccount::parse(&body, Shape::Request)?;
    let change = raw.validate_open(&ledger.units)?;
    let id = match (&raw.id, idempotency_key) {
        (Some(id), _) => AccountId::parse(&id.0)?,
        (None, Some(key)) => id_of_key(ledger, &key)?,
        (None, None) => {
            AccountId::parse(&format!("acct_{}", crate::admin::random_hex::<ID_BYTES>()))?
        }
    };
    if may_owe(&change) {
        writer.require_admin()?;
    }
    change_account(&api, ledger, id, change, writer.0.asks(&headers)).await
}

/// The same account for the same key, and none that a client would choose.
fn id_of_key(ledger: &Ledger, key: &IdempotencyKey) -> Result<AccountId, Problem> {
    let mut hasher = Sha256::new();
    hasher.update(ledger.name.as_str());
    // No ledger name holds a blank, so the two parts cannot run together.
    hasher.update(" account ");
    hasher.update(key.as_str());
    let digest = hasher.finalize();
    let id = format!("acct_{}", crate::admin::hex(&digest[..ID_BYTES]));
    Ok(AccountId::parse(&id)?)
}

/// Whether the account may fall below zero afterwards.
fn may_owe(change: &AccountChange) -> bool {
    match change {
        AccountChange::Open { opening, .. } => opening.min_balance.is_none_or(|least| least < 0),
        AccountChange::Change { min_balance, .. } => match min_balance {
            None => false,
            Some(None) => true,
            Some(Some(least)) => least.starts_with('-'),
        },
        AccountChange::Freeze | AccountChange::Unfreeze | AccountChange::Close => false,
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// `next` of the page before.
    #[param(value_type = Option<AccountId>)]
    after: Option<String>,
    /// 1 to 200, 50 unless given.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

/// Accounts by id.
#[utoipa::path(
    get, path = "/v1/accounts", tag = "accounts",
    params(ListQuery),
    responses(
        (status = 200, body = Page<Account>),
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
    let after = match &query.after {
        None => "",
        Some(after) => {
            AccountId::parse(after).map_err(|_| cursor_malformed())?;
            after
        }
    };
    let accounts = api
        .store
        .accounts(key.ledger.number, after, limit + 1)
        .await?;
    let page = Page::cut(accounts, limit, json_bytes, |account| {
        account.id.to_string()
    });
    Ok(respond::json(StatusCode::OK, &page))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReadQuery {
    /// `PARTITION.POSITION.LINE` of a change, as its `Location` gave it: answers what became of it.
    #[param(pattern = "^[0-9]{1,4}\\.([0-9]{1,18}|[0-8][0-9]{18})(\\.[0-9]{1,9})?$")]
    at: Option<String>,
}

/// An account with its balance.
#[utoipa::path(
    get, path = "/v1/accounts/{id}", tag = "accounts",
    params(("id" = AccountId, Path), ReadQuery),
    responses(
        (status = 200, body = Account),
        (status = 202, body = PendingChange, description = "the change is not decided yet"),
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
    let id = AccountId::parse(&id)?;
    if let Some(at) = at(query.at.as_deref(), api.appender.partitions())? {
        if api.store.applied(at.partition).await? < at.position {
            return Ok(pending(&api, id, at));
        }
        match outcome_of(&api, &key.ledger, at).await? {
            Some(Outcome::AccountRefused(refused)) if refused.id == id => {
                return Err(Problem::account_refused(refused));
            }
            Some(Outcome::DeadLettered(dead)) => return Err(Problem::dead_lettered(&dead)),
            _ => {}
        }
    }
    let account = existing(&api, &key.ledger, &id).await?;
    Ok(respond::json(StatusCode::OK, &account))
}

/// # Errors
/// 404 when the ledger has no such account.
pub(super) async fn existing(
    api: &Api,
    ledger: &Ledger,
    id: &AccountId,
) -> Result<Account, Problem> {
    api.store
        .account(ledger.number, id)
        .await?
        .ok_or_else(|| Problem::not_found("account_unknown", format!("there is no account {id}")))
}

/// Change an account's limit or metadata.
#[utoipa::path(
    patch, path = "/v1/accounts/{id}", tag = "accounts",
    params(("id" = AccountId, Path)),
    request_body = AccountChangeRequest,
    responses(
        (status = 200, body = Account),
        (status = 202, body = PendingChange, description = "not decided yet; Location says where to ask"),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn change(
    State(api): State<Arc<Api>>,
    writer: Writer,
    PathText(id): PathText,
    JsonBytes { headers, body }: JsonBytes,
) -> Result<Response, Problem> {
    let id = AccountId::parse(&id)?;
    let raw = RawAccount::parse(&body, Shape::Request)?;
    if raw.id.is_some() {
        let detail = "the path names the account; its id never changes";
        return Err(Problem::bad_request("unknown_field", detail).at("/id"));
    }
    let change = raw.validate_change()?;
    if may_owe(&change) {
        writer.require_admin()?;
    }
    change_account(&api, &writer.0.ledger, id, change, writer.0.asks(&headers)).await
}

macro_rules! bare_changes {
    ($($(#[$doc:meta])* $name:ident = $path:literal, $change:ident;)*) => {$(
        $(#[$doc])*
        #[utoipa::path(
            post, path = $path, tag = "accounts",
            params(("id" = AccountId, Path)),
            responses(
                (status = 200, body = Account),
                (status = 202, body = PendingChange, description = "not decided yet; Location says where to ask"),
                (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
                (status = 503, body = ProblemBody, content_type = "application/problem+json"),
            )
        )]
        pub(crate) async fn $name(
            State(api): State<Arc<Api>>,
            Admin(key): Admin,
            PathText(id): PathText,
            headers: HeaderMap,
        ) -> Result<Response, Problem> {
            let id = AccountId::parse(&id)?;
            let change = AccountChange::$change;
            change_account(&api, &key.ledger, id, change, key.asks(&headers)).await
        }
    )*};
}

bare_changes! {
    /// Refuse transfers on either side until it is unfrozen.
    freeze = "/v1/accounts/{id}/freeze", Freeze;
    /// Take transfers again.
    unfreeze = "/v1/accounts/{id}/unfreeze", Unfreeze;
    /// Refuse transfers for ever; the balance must be zero.
    close = "/v1/accounts/{id}/close", Close;
}
