//! The JSON object that a client may attach to a transfer or an account.
//!
//! Invariant: the text is canonical, holds no U+0000 and is kept as text; no store may re-encode it.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Invalid;
use crate::canonical::{Fault, JSON_DEPTH_MAX, canonical_object, is_repeat};

/// What the schemas say.
const DESCRIPTION: &str = "Any JSON object; kept with sorted keys.";

/// Canonical JSON text of an object.
#[derive(Clone, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(Box<RawValue>);

impl Metadata {
    /// # Errors
    /// When the JSON is no object, nests deeper than [`JSON_DEPTH_MAX`], repeats a key or holds U+0000.
    pub fn parse(json: &str) -> Result<Self, Invalid> {
        canonical_object(json)
            .map(Self::from_canonical)
            .map_err(|fault| {
                let (code, detail) = describe(fault);
                Invalid::new(code, "/metadata", detail)
            })
    }

    /// From the text that [`Metadata::as_str`] gave, such as a database column.
    ///
    /// # Errors
    /// When the text is no JSON object: the column was changed by hand.
    pub fn from_stored(text: String) -> Result<Self, Invalid> {
        RawValue::from_string(text)
            .ok()
            .filter(|json| json.get().starts_with('{'))
            .map(Self)
            .ok_or_else(|| {
                Invalid::new(
                    "metadata_malformed",
                    "/metadata",
                    "the stored metadata is no JSON object",
                )
            })
    }

    fn from_canonical(text: String) -> Self {
        Self(RawValue::from_string(text).expect("canonical metadata is JSON"))
    }

    pub fn as_str(&self) -> &str {
        self.0.get()
    }

    /// Whether both belong to one request. Equal texts do; so do texts whose doubles differ only as much as versions
    /// before this one moved them between a request and its row.
    pub fn is_repeat(one: Option<&Self>, other: Option<&Self>) -> bool {
        match (one, other) {
            (None, None) => true,
            (Some(one), Some(other)) => is_repeat(one.as_str(), other.as_str()),
            (None, Some(_)) | (Some(_), None) => false,
        }
    }
}

fn describe(fault: Fault) -> (&'static str, String) {
    match fault {
        Fault::NotAnObject => ("metadata_not_an_object", "metadata is a JSON object".into()),
        Fault::Malformed => (
            "metadata_malformed",
            "metadata is well-formed JSON with numbers that fit a double".into(),
        ),
        Fault::TooDeep => (
            "metadata_too_deep",
            format!("metadata nests at most {JSON_DEPTH_MAX} levels"),
        ),
        Fault::DuplicateKey => ("duplicate_field", "metadata names each key once".into()),
        Fault::NulCharacter => ("nul_character", "metadata holds no U+0000".into()),
    }
}

impl PartialEq for Metadata {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Metadata {}

impl fmt::Debug for Metadata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl schemars::JsonSchema for Metadata {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Metadata".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "object", "description": DESCRIPTION })
    }
}

impl utoipa::PartialSchema for Metadata {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        utoipa::openapi::ObjectBuilder::new()
            .description(Some(DESCRIPTION))
            .additional_properties(Some(
                utoipa::openapi::schema::AdditionalProperties::FreeForm(true),
            ))
            .into()
    }
}

impl utoipa::ToSchema for Metadata {
    fn name() -> std::borrow::Cow<'static, str> {
        "Metadata".into()
    }
}
