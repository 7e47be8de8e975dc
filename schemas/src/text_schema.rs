//! Schemas of the types that are one string in JSON.
//!
//! Invariant: JSON Schema and `OpenAPI` say the same about a type.

/// Both schemas of a string that obeys one rule: a `pattern` or a `format`.
macro_rules! text_schema {
    ($name:ident, $rule:ident = $value:literal, $example:literal, $description:literal) => {
        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({
                    "type": "string",
                    "description": $description,
                    (stringify!($rule)): $value,
                    "examples": [$example],
                })
            }
        }

        impl utoipa::PartialSchema for $name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
                utoipa::openapi::ObjectBuilder::new()
                    .schema_type(utoipa::openapi::Type::String)
                    .description(Some($description))
                    .$rule(Some($crate::text_schema::text_schema!(@$rule $value)))
                    .examples([$example])
                    .into()
            }
        }

        impl utoipa::ToSchema for $name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
        }
    };
    (@pattern $value:literal) => { $value };
    (@format $value:literal) => { utoipa::openapi::SchemaFormat::Custom($value.to_owned()) };
}

pub(crate) use text_schema;

#[cfg(test)]
mod tests {
    use utoipa::PartialSchema;

    use crate::{
        AccountId, Actor, Currency, IdempotencyKey, LedgerName, Money, Timestamp, TransferId,
    };

    fn check<T: PartialSchema + schemars::JsonSchema>(read: fn(&str) -> bool) {
        let json = schemars::schema_for!(T).to_value();
        let openapi = serde_json::to_value(T::schema()).unwrap();
        for key in ["type", "description", "pattern", "format", "examples"] {
            assert_eq!(
                openapi.get(key),
                json.get(key),
                "{key} of {}",
                T::schema_name()
            );
        }
        let example = json["examples"][0].as_str().unwrap();
        assert!(read(example), "{example} is no {}", T::schema_name());
    }

    #[test]
    fn both_schemas_say_the_same_and_their_example_is_valid() {
        check::<AccountId>(|text| AccountId::parse(text).is_ok());
        check::<Actor>(|text| Actor::parse(text).is_ok());
        check::<LedgerName>(|text| LedgerName::parse(text).is_ok());
        check::<IdempotencyKey>(|text| IdempotencyKey::parse(text).is_ok());
        check::<TransferId>(|text| TransferId::parse(text).is_ok());
        check::<Currency>(|text| Currency::parse(text).is_ok());
        check::<Timestamp>(|text| Timestamp::parse(text, "").is_ok());
        check::<Money>(|text| serde_json::from_value::<Money>(text.into()).is_ok());
    }
}
