//! Where a row lies in its table.
//!
//! Invariant: a place is used only while its row is locked, by the transaction that locked it.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef, Postgres as Database,
};
use sqlx::{Decode, Encode, Type};

/// Where a row version lies in its table (`tid`: block and line in it). It holds only while the row is locked; then
/// it finds the row without an index.
#[derive(Debug, Clone, Copy)]
pub struct RowPlace([u8; 6]);

impl Type<Database> for RowPlace {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TID)
    }
}

impl PgHasArrayType for RowPlace {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(TID_ARRAY)
    }
}

impl Encode<'_, Database> for RowPlace {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
}

impl Decode<'_, Database> for RowPlace {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(value.as_bytes()?.try_into()?))
    }
}

/// Fixed in Postgres's catalogue (`pg_type.dat`).
const TID: Oid = Oid(27);
const TID_ARRAY: Oid = Oid(1010);
