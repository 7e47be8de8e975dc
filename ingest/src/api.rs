//! What every handler shares, and the table of routes.
//!
//! Invariant: every route is in the `OpenAPI` document, because both come from the same handlers.

use std::sync::Arc;

use axum::Router;
use bytes::Bytes;
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::Semaphore;

use crate::append::Appender;
use crate::batches::BatchMemory;
use crate::config::Limits;
use crate::keyring::Keyring;
use crate::lives::Lives;
use crate::metrics::Requests;
use crate::progress::Progress;
use crate::replays::Replays;
use crate::request::RequestIds;
use crate::store::Store;

pub(crate) struct Api {
    pub(crate) appender: Appender,
    pub(crate) replays: Arc<Replays>,
    pub(crate) lives: Arc<Lives>,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) store: Arc<Store>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) limits: Limits,
    /// An acknowledgement does not mean "on disk", and every 202 says so.
    pub(crate) syncs_lazily: bool,
    pub(crate) batches: Semaphore,
    pub(crate) batch_memory: Arc<BatchMemory>,
    pub(crate) requests: Requests,
    pub(crate) request_ids: RequestIds,
    pub(crate) prometheus: PrometheusHandle,
    /// The `OpenAPI` document as JSON.
    pub(crate) document: Bytes,
}

impl Api {
    pub(crate) fn router(self: &Arc<Self>) -> Router {
        let (router, _) = crate::routes::all().split_for_parts();
        router
            .merge(crate::routes::documentation())
            .fallback(crate::routes::no_such_route)
            .method_not_allowed_fallback(crate::routes::no_such_method)
            .with_state(Arc::clone(self))
    }
}
