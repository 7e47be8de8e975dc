//! Keys of the caller's own ledger, for admins.
//!
//! Invariant: nobody makes a key for another ledger, and none with more than their own scope.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use crate::admin::{self, CreatedKey, KeyInfo};
use crate::api::Api;
use crate::page::{Page, cursor_malformed, json_bytes};
use crate::problem::{Problem, ProblemBody};
use crate::request::{Admin, JsonBytes, PathText, Query, limit};
use crate::{Error, Scope, respond};

const NAME_CHARS_MAX: usize = 128;
const ID_CHARS_MAX: usize = 64;

/// What `POST /v1/keys` takes.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequest {
    /// Not more than the asking key's own.
    #[schema(value_type = Scope)]
    scope: String,
    /// Any text of at most 128 characters, for lists.
    #[schema(pattern = "^[^\\x00]{0,128}$")]
    name: Option<String>,
}

/// Make a key; it is shown this once.
#[utoipa::path(
    post, path = "/v1/keys", tag = "keys",
    request_body = KeyRequest,
    responses(
        (status = 201, body = CreatedKey),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn create(
    State(api): State<Arc<Api>>,
    Admin(key): Admin,
    JsonBytes { body, .. }: JsonBytes,
) -> Result<Response, Problem> {
    let request: KeyRequest = serde_json::from_slice(&body)
        .map_err(|error| Problem::bad_request("json_malformed", error.to_string()))?;
    let scope = Scope::parse(&request.scope).ok_or_else(|| {
        Problem::bad_request("scope_unknown", "a scope is read, write or admin").at("/scope")
    })?;
    if scope > key.scope {
        return Err(Problem::forbidden(
            "a key makes no key with more than its own scope",
        ));
    }
    let name = request.name.as_deref();
    if name.is_some_and(|name| name.chars().count() > NAME_CHARS_MAX || name.contains('\0')) {
        let detail = "a name has at most 128 characters and no U+0000";
        return Err(Problem::bad_request("name_malformed", detail).at("/name"));
    }
    let created = admin::create_key(api.store.pool(), &key.ledger.name, scope, name);
    let created = within(&api, created).await?;
    Ok(respond::json(StatusCode::CREATED, &created))
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListQuery {
    /// `next` of the page before.
    #[param(pattern = "^[A-Za-z0-9]{0,64}$")]
    after: Option<String>,
    /// 1 to 200, 50 unless given.
    #[param(value_type = Option<u8>, minimum = 1, maximum = 200)]
    limit: Option<String>,
}

/// Keys of the ledger by id, the revoked ones too, without their secrets.
#[utoipa::path(
    get, path = "/v1/keys", tag = "keys",
    params(ListQuery),
    responses(
        (status = 200, body = Page<KeyInfo>),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn list(
    State(api): State<Arc<Api>>,
    Admin(key): Admin,
    Query(query): Query<ListQuery>,
) -> Result<Response, Problem> {
    let limit = limit(query.limit.as_deref())?;
    let after = query.after.unwrap_or_default();
    if after.len() > ID_CHARS_MAX || !after.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return Err(cursor_malformed());
    }
    let keys = admin::list_keys(api.store.pool(), Some(&key.ledger.name), &after, limit + 1);
    let keys = within(&api, keys).await?;
    let page = Page::cut(keys, limit, json_bytes, |key| key.id.clone());
    Ok(respond::json(StatusCode::OK, &page))
}

/// Revoke a key: at once here, within seconds everywhere.
#[utoipa::path(
    delete, path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "of the key, as lists show it")),
    responses(
        (status = 204),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn revoke(
    State(api): State<Arc<Api>>,
    Admin(key): Admin,
    PathText(id): PathText,
) -> Result<Response, Problem> {
    let is_id = id.len() <= ID_CHARS_MAX && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
    let unknown = || Problem::not_found("key_not_found", "this ledger has no key with this id");
    if !is_id {
        return Err(unknown());
    }
    let revoked = admin::revoke_key(api.store.pool(), Some(&key.ledger.name), &id);
    if !within(&api, revoked).await? {
        return Err(unknown());
    }
    api.keyring.refresh().await?;
    let mut response = Response::default();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

async fn within<T>(api: &Api, work: impl Future<Output = Result<T, Error>>) -> Result<T, Problem> {
    match tokio::time::timeout(api.limits.database_time_max, work).await {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a request about keys failed"
            );
            Err(crate::store::Unavailable.into())
        }
        Err(_) => Err(crate::store::Unavailable.into()),
    }
}
