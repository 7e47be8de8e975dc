//! Transfers in JSON: flat, one shape for all of them.
//!
//! Invariant: what is written here is read back as the same transfer, and what is no transfer is not read.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{After, Funds, PendingTransfer, Seen, Transfer, Verdict};
use crate::{
    AccountId, Actor, Amount, Currency, Encoder, IdempotencyKey, Metadata, Money, Partition,
    Position, Refusal, RefusalReason, Timestamp, TransferId, TransferOrder,
};

#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    schemars::JsonSchema,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum TransferStatus {
    /// On the log, not decided yet.
    Pending,
    /// Applied to both balances.
    Posted,
    /// Decided against, for `reason`; no balance changed.
    Refused,
}

impl TransferStatus {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Posted => "posted",
            Self::Refused => "refused",
        }
    }
}

/// Money from one account to another. A ledger is one tenant and sees both sides.
#[derive(Serialize, Deserialize, schemars::JsonSchema, utoipa::ToSchema)]
#[schemars(rename = "Transfer")]
#[schema(as = Transfer)]
pub(crate) struct Wire<'a> {
    id: TransferId,
    status: TransferStatus,
    /// Why it was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    reason: Option<RefusalReason>,
    /// The refusal in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    detail: Option<Cow<'a, str>>,
    /// Money leaves this account.
    debit_account: Cow<'a, AccountId>,
    /// Money enters this account.
    credit_account: Cow<'a, AccountId>,
    /// Decimal string in the currency's units.
    amount: Money,
    currency: Currency,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    metadata: Option<Cow<'a, Metadata>>,
    idempotency_key: Cow<'a, IdempotencyKey>,
    accepted_at: Timestamp,
    decided_at: Option<Timestamp>,
    partition: Partition,
    position: Position,
    /// The debit account's version after this posting.
    debit_version: Option<i64>,
    credit_version: Option<i64>,
    debit_balance_after: Option<Money>,
    credit_balance_after: Option<Money>,
    /// Of a refused one: the debit account's balance when it was decided. Absent where there was no such account, or
    /// one that counts with other decimals.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    balance_seen: Option<Money>,
    /// Of a refused one: the debit account's version when it was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version_seen: Option<i64>,
    /// Of a refused one: the debit account's limit when it was decided. Absent where it was unlimited, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min_balance_seen: Option<Money>,
    /// Who asked first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    actor: Option<Cow<'a, Actor>>,
}

impl<'a> Wire<'a> {
    /// As nobody has decided it.
    fn undecided(
        id: TransferId,
        order: &'a TransferOrder,
        accepted_at: Timestamp,
        (partition, position): (Partition, Position),
    ) -> Self {
        let TransferOrder {
            idempotency_key,
            debit_account,
            credit_account,
            amount,
            currency,
            exponent: _,
            description,
            metadata,
        } = order;
        Self {
            id,
            status: TransferStatus::Pending,
            reason: None,
            detail: None,
            debit_account: Cow::Borrowed(debit_account),
            credit_account: Cow::Borrowed(credit_account),
            amount: order.money(amount.minor()),
            currency: *currency,
            description: description.as_deref().map(Cow::Borrowed),
            metadata: metadata.as_ref().map(Cow::Borrowed),
            idempotency_key: Cow::Borrowed(idempotency_key),
            accepted_at,
            decided_at: None,
            partition,
            position,
            debit_version: None,
            credit_version: None,
            debit_balance_after: None,
            credit_balance_after: None,
            balance_seen: None,
            version_seen: None,
            min_balance_seen: None,
            actor: None,
        }
    }

    /// Encoder 1 knows neither actors nor what a refusal saw.
    pub(crate) fn decided(transfer: &'a Transfer, encoder: Encoder) -> Self {
        let Transfer {
            id,
            order,
            accepted_at,
            decided_at,
            partition,
            position,
            actor,
            verdict,
        } = transfer;
        let mut wire = Self::undecided(*id, order, *accepted_at, (*partition, *position));
        wire.status = transfer.status();
        wire.decided_at = Some(*decided_at);
        let tells_all = match encoder {
            Encoder::V1 => false,
            Encoder::V2 => true,
        };
        match verdict {
            Verdict::Posted { debit, credit } => {
                wire.debit_version = Some(debit.version);
                wire.credit_version = Some(credit.version);
                wire.debit_balance_after = Some(order.money(debit.balance));
                wire.credit_balance_after = Some(order.money(credit.balance));
            }
            Verdict::Refused { refusal, seen } => {
                let Refusal { reason, detail } = refusal;
                wire.reason = Some(*reason);
                wire.detail = Some(Cow::Borrowed(detail));
                if let Some(Seen { version, funds }) = seen.filter(|_| tells_all) {
                    wire.version_seen = Some(version);
                    wire.balance_seen = funds.map(|funds| order.money(funds.balance));
                    wire.min_balance_seen = funds
                        .and_then(|funds| funds.min_balance)
                        .map(|least| order.money(least));
                }
            }
        }
        if tells_all {
            wire.actor = actor.as_ref().map(Cow::Borrowed);
        }
        wire
    }

    fn verdict(&self) -> Result<Verdict, &'static str> {
        let minor = |money: Money| {
            let same = money.exponent == self.amount.exponent;
            same.then_some(money.minor)
                .ok_or("its amounts have different decimals")
        };
        let after = |version: Option<i64>, balance: Option<Money>| match (version, balance) {
            (Some(version), Some(balance)) => Ok(Some(After {
                version,
                balance: minor(balance)?,
            })),
            (None, None) => Ok(None),
            _ => Err("a version and a balance belong together"),
        };
        let debit = after(self.debit_version, self.debit_balance_after)?;
        let credit = after(self.credit_version, self.credit_balance_after)?;
        match (self.status, debit, credit, self.reason, &self.detail) {
            (TransferStatus::Posted, Some(debit), Some(credit), None, None) => {
                Ok(Verdict::Posted { debit, credit })
            }
            (TransferStatus::Refused, None, None, Some(reason), Some(detail)) => {
                let funds = match (self.balance_seen, self.min_balance_seen) {
                    (Some(balance), least) => Some(Funds {
                        balance: minor(balance)?,
                        min_balance: least.map(minor).transpose()?,
                    }),
                    (None, None) => None,
                    (None, Some(_)) => return Err("a limit was seen without a balance"),
                };
                Ok(Verdict::Refused {
                    refusal: Refusal {
                        reason,
                        detail: detail.clone().into_owned(),
                    },
                    seen: match (self.version_seen, funds) {
                        (Some(version), funds) => Some(Seen { version, funds }),
                        (None, None) => None,
                        (None, Some(_)) => return Err("a balance was seen without a version"),
                    },
                })
            }
            _ => Err("its status is not what the rest says"),
        }
    }
}

impl TryFrom<Wire<'_>> for Transfer {
    type Error = &'static str;

    fn try_from(wire: Wire<'_>) -> Result<Self, Self::Error> {
        let verdict = wire.verdict()?;
        Ok(Self {
            id: wire.id,
            order: TransferOrder {
                idempotency_key: wire.idempotency_key.into_owned(),
                debit_account: wire.debit_account.into_owned(),
                credit_account: wire.credit_account.into_owned(),
                amount: Amount::from_minor(wire.amount.minor)
                    .ok_or("a transfer moves more than nothing")?,
                currency: wire.currency,
                exponent: wire.amount.exponent,
                description: wire.description.map(Cow::into_owned),
                metadata: wire.metadata.map(Cow::into_owned),
            },
            accepted_at: wire.accepted_at,
            decided_at: wire.decided_at.ok_or("nobody has decided it")?,
            partition: wire.partition,
            position: wire.position,
            actor: wire.actor.map(Cow::into_owned),
            verdict,
        })
    }
}

impl Serialize for Transfer {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        Wire::decided(self, Encoder::NEWEST).serialize(to)
    }
}

impl<'de> Deserialize<'de> for Transfer {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Wire::deserialize(from)?
            .try_into()
            .map_err(serde::de::Error::custom)
    }
}

impl Serialize for PendingTransfer {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let place = (self.partition, self.position);
        Wire::undecided(self.id, &self.order, self.accepted_at, place).serialize(to)
    }
}

/// Both are the wire's.
impl schemars::JsonSchema for Transfer {
    fn schema_name() -> Cow<'static, str> {
        Wire::schema_name()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        Wire::json_schema(generator)
    }
}

impl utoipa::PartialSchema for Transfer {
    fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::Schema> {
        Wire::schema()
    }
}

impl utoipa::ToSchema for Transfer {
    fn name() -> Cow<'static, str> {
        Wire::name()
    }

    fn schemas(schemas: &mut Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>) {
        Wire::schemas(schemas);
    }
}
