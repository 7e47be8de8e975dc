//! Where a row lies in its table, and which of its versions.
//!
//! Invariant: a place is used only while its row is locked, by the transaction that locked it, or together with all that
//! says which version of which row lay there: then it finds that one or none.

use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::types::Oid;
use sqlx::postgres::{
    PgArgumentBuffer, PgHasArrayType, PgTypeInfo, PgValueRef, Postgres as Database,
};
use sqlx::{Decode, Encode, Type};

/// Where a row version lies in its table (`tid`: block and line in it): finds the row without an index. Another version,
/// or another row, may come to lie there as soon as the row is not locked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowPlace([u8; 6]);

/// The transaction that wrote a row version (`xmin`). One that writes a row once leaves one version of it, so that this,
/// the row's key and its place say that nothing was changed. Numbers come again after 2^32 transactions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Writer([u8; 4]);

/// A version of a row: together with the row's key it says that nothing was changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RowVersion {
    pub place: RowPlace,
    pub writer: Writer,
}

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

impl Type<Database> for Writer {
    fn type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(XID)
    }
}

impl PgHasArrayType for Writer {
    fn array_type_info() -> PgTypeInfo {
        PgTypeInfo::with_oid(XID_ARRAY)
    }
}

impl Encode<'_, Database> for Writer {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        buffer.extend_from_slice(&self.0);
        Ok(IsNull::No)
    }
}

impl Decode<'_, Database> for Writer {
    fn decode(value: PgValueRef<'_>) -> Result<Self, BoxDynError> {
        Ok(Self(value.as_bytes()?.try_into()?))
    }
}

/// Fixed in Postgres's catalogue (`pg_type.dat`).
const TID: Oid = Oid(27);
const TID_ARRAY: Oid = Oid(1010);
const XID: Oid = Oid(28);
const XID_ARRAY: Oid = Oid(1011);
