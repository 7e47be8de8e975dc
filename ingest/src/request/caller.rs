//! Who calls, and whether this route is for them.
//!
//! Invariant: a handler that holds one of these types serves a key with at least that scope; everything it
//! reads or writes is of that key's ledger.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use schemas::{Actor, TraceParent};

use super::headers::traceparent;
use crate::api::Api;
use crate::keyring::Key;
use crate::problem::Problem;
use crate::scope::Scope;

macro_rules! callers {
    ($($(#[$doc:meta])* $name:ident = $scope:ident,)*) => {$(
        $(#[$doc])*
        #[derive(Debug)]
        pub(crate) struct $name(pub(crate) Key);

        impl FromRequestParts<Arc<Api>> for $name {
            type Rejection = Problem;

            async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
                let key = authenticate(parts, api).await?;
                require(&key, Scope::$scope)?;
                Ok(Self(key))
            }
        }
    )*};
}

callers! {
    /// May read.
    Reader = Read,
    /// May move money and open accounts.
    Writer = Write,
    /// May also change who may do what, and which accounts may owe.
    Admin = Admin,
}

/// Who asks for a command, and as part of which trace.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) actor: Actor,
    pub(crate) traceparent: Option<TraceParent>,
}

impl Key {
    /// With the headers of its request.
    pub(crate) fn asks(&self, headers: &HeaderMap) -> Asked {
        Asked {
            actor: Actor::Key(self.id.clone()),
            traceparent: traceparent(headers),
        }
    }
}

impl Writer {
    /// # Errors
    /// When only an admin may do this.
    pub(crate) fn require_admin(&self) -> Result<(), Problem> {
        require(&self.0, Scope::Admin)
    }
}

async fn authenticate(parts: &Parts, api: &Api) -> Result<Key, Problem> {
    let unauthorized =
        |code, detail: &'static str| Problem::new(StatusCode::UNAUTHORIZED, code, detail);
    let Some(header) = parts.headers.get(header::AUTHORIZATION) else {
        return Err(unauthorized(
            "key_missing",
            "send an API key as \"Authorization: Bearer sk_…\"",
        ));
    };
    let key = header
        .to_str()
        .ok()
        .and_then(|header| header.split_once(' '))
        .filter(|(scheme, key)| scheme.eq_ignore_ascii_case("bearer") && key.starts_with("sk_"))
        .map(|(_, key)| key);
    let Some(key) = key else {
        return Err(unauthorized(
            "key_malformed",
            "an API key is sent as \"Authorization: Bearer sk_…\"",
        ));
    };
    api.keyring.authenticate(key).await
}

fn require(key: &Key, scope: Scope) -> Result<(), Problem> {
    if key.scope >= scope {
        return Ok(());
    }
    Err(Problem::forbidden(format!(
        "this needs a key with scope {scope}, this key has scope {}",
        key.scope
    )))
}
