//! The routes, one file a resource.
//!
//! Invariant: a handler takes a caller with a scope, or it belongs to operations and shows no ledger's data.

mod accounts;
mod batch;
mod events;
mod keys;
mod operations;
mod statement;
mod transfer_list;
mod transfers;

use std::sync::Arc;

use axum::Router;
use axum::http::{Method, StatusCode, Uri};
use bytes::Bytes;
use utoipa::OpenApi as _;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use utoipa_swagger_ui::SwaggerUi;

use crate::api::Api;
use crate::problem::Problem;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Sluice",
        description = "Moves money over a log: a 202 is on disk, a 200 is decided, and an idempotency key is for ever."
    ),
    components(schemas(batch::BatchLine)),
    modifiers(&BearerKeys),
    security(("key" = []))
)]
struct Description;

struct BearerKeys;

impl utoipa::Modify for BearerKeys {
    fn modify(&self, document: &mut OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("key", scheme);
    }
}

/// Every route and its documentation.
pub(crate) fn all() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(transfers::create, transfer_list::list))
        .routes(routes!(batch::create))
        .routes(routes!(transfers::read))
        .routes(routes!(transfers::read_by_key))
        .routes(routes!(transfers::timeline))
        .routes(routes!(accounts::open, accounts::list))
        .routes(routes!(accounts::read, accounts::change))
        .routes(routes!(accounts::freeze))
        .routes(routes!(accounts::unfreeze))
        .routes(routes!(accounts::close))
        .routes(routes!(statement::statement))
        .routes(routes!(statement::balance))
        .routes(routes!(events::list))
        .routes(routes!(keys::create, keys::list))
        .routes(routes!(keys::revoke))
        .routes(routes!(operations::healthz))
        .routes(routes!(operations::readyz))
        .routes(routes!(operations::metrics))
        .routes(routes!(operations::openapi))
}

/// The `OpenAPI` 3.1 document.
pub fn openapi() -> OpenApi {
    all().into_openapi()
}

pub(crate) fn openapi_json() -> Bytes {
    let json = serde_json::to_vec(&openapi()).expect("the document is plain data");
    Bytes::from(json)
}

/// A page that shows the document and loads nothing from elsewhere.
pub(crate) fn documentation() -> Router<Arc<Api>> {
    let config = utoipa_swagger_ui::Config::from("/openapi.json");
    SwaggerUi::new("/docs").config(config).into()
}

pub(crate) async fn no_such_route(uri: Uri) -> Problem {
    Problem::not_found(
        "route_unknown",
        format!(
            "there is nothing at {}; /docs lists what there is",
            uri.path()
        ),
    )
}

pub(crate) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method_not_allowed",
        format!("{} takes no {method}", uri.path()),
    )
}
