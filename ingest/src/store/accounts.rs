//! Accounts, and what was decided about commands at a place of the log.
//!
//! Invariant: rows of another ledger do not exist here.

use schemas::{
    Account, AccountId, AccountStatus, Currency, DeadLettered, LinePosition, Metadata, Money,
    Outcome, Partition, Position, Timestamp, TransferId,
};
use sqlx::types::Uuid;

use super::journal::stored_outcome;
use super::transfer_row::{account, exponent, line_position, partition_number};
use super::{Store, Unavailable};

macro_rules! select_accounts {
    ($rest:literal) => {
        concat!(
            "SELECT id, currency, exponent, type, status, balance, min_balance, version, metadata, opened_at
               FROM accounts ",
            $rest
        )
    };
}

#[derive(Debug, sqlx::FromRow)]
struct AccountRow {
    id: String,
    currency: String,
    exponent: i16,
    #[sqlx(rename = "type")]
    kind: Option<String>,
    status: String,
    balance: i64,
    min_balance: Option<i64>,
    version: i64,
    metadata: Option<String>,
    opened_at: i64,
}

impl Store {
    pub(crate) async fn account(
        &self,
        ledger: i32,
        id: &AccountId,
    ) -> Result<Option<Account>, Unavailable> {
        const SQL: &str = select_accounts!("WHERE ledger = $1 AND id = $2");
        let query = sqlx::query_as::<_, AccountRow>(SQL)
            .bind(ledger)
            .bind(id.as_str())
            .fetch_optional(&self.pool);
        let row = self.read("reading an account", query).await?;
        Ok(row.map(AccountRow::into_account))
    }

    /// Accounts of a ledger by id, after `after`.
    pub(crate) async fn accounts(
        &self,
        ledger: i32,
        after: &str,
        limit: i64,
    ) -> Result<Vec<Account>, Unavailable> {
        const SQL: &str = select_accounts!("WHERE ledger = $1 AND id > $2 ORDER BY id LIMIT $3");
        let query = sqlx::query_as::<_, AccountRow>(SQL)
            .bind(ledger)
            .bind(after)
            .bind(limit)
            .fetch_all(&self.pool);
        let rows = self.read("listing accounts", query).await?;
        Ok(rows.into_iter().map(AccountRow::into_account).collect())
    }

    /// The last position of a partition that balances reflect.
    pub(crate) async fn applied(&self, partition: Partition) -> Result<Position, Unavailable> {
        const SQL: &str = "SELECT applied FROM partitions WHERE partition = $1";
        let query = sqlx::query_scalar(SQL)
            .bind(partition_number(partition))
            .fetch_optional(&self.pool);
        let applied: Option<i64> = self.read("reading the applied position", query).await?;
        Ok(Position::from_number(applied.unwrap_or_default()))
    }

    /// What was decided about the account command at a place; `None` while undecided.
    pub(crate) async fn account_outcome(
        &self,
        ledger: i32,
        at: LinePosition,
    ) -> Result<Option<Outcome>, Unavailable> {
        const SQL: &str = "SELECT kind, data
               FROM outcomes
              WHERE partition = $1 AND position = $2 AND line = $3 AND ledger = $4 AND data IS NOT NULL";
        let query = sqlx::query_as::<_, (String, String)>(SQL)
            .bind(partition_number(at.partition))
            .bind(at.position.number())
            .bind(i64::from(at.line))
            .bind(ledger)
            .fetch_optional(&self.pool);
        let row = self.read("reading an outcome", query).await?;
        Ok(row.and_then(|(kind, data)| stored_outcome(&kind, &data)))
    }

    /// The dead letter at a place, of this ledger.
    pub(crate) async fn dead_letter_at(
        &self,
        ledger: i32,
        at: LinePosition,
    ) -> Result<Option<DeadLettered>, Unavailable> {
        const SQL: &str = "SELECT reason, detail
               FROM dead_letters
              WHERE partition = $1 AND position = $2 AND line = $3 AND ledger = $4";
        let query = sqlx::query_as::<_, (String, String)>(SQL)
            .bind(partition_number(at.partition))
            .bind(at.position.number())
            .bind(i64::from(at.line))
            .bind(ledger)
            .fetch_optional(&self.pool);
        let row = self.read("reading a dead letter", query).await?;
        Ok(row.map(|(reason, detail)| DeadLettered { reason, detail }))
    }

    /// Dead letters of these transfers, and where each stands on the log.
    pub(crate) async fn dead_transfers(
        &self,
        ledger: i32,
        ids: &[TransferId],
    ) -> Result<Vec<(TransferId, LinePosition, DeadLettered)>, Unavailable> {
        const SQL: &str = "SELECT transfer_id, partition, position, line, reason, detail
               FROM dead_letters
              WHERE transfer_id = ANY($1) AND ledger = $2";
        let ids: Vec<Uuid> = ids
            .iter()
            .map(|id| Uuid::from_bytes(id.to_bytes()))
            .collect();
        let query = sqlx::query_as::<_, (Uuid, i16, i64, i32, String, String)>(SQL)
            .bind(ids)
            .bind(ledger)
            .fetch_all(&self.pool);
        let rows = self.read("looking for dead letters", query).await?;
        let dead = rows
            .into_iter()
            .map(|(id, partition, position, line, reason, detail)| {
                (
                    TransferId::from_bytes(id.into_bytes()),
                    line_position(partition, position, line),
                    DeadLettered { reason, detail },
                )
            });
        Ok(dead.collect())
    }
}

impl AccountRow {
    fn into_account(self) -> Account {
        let exponent = exponent(self.exponent);
        let money = |minor| Money { minor, exponent };
        Account {
            id: account(&self.id),
            currency: Currency::parse(&self.currency).expect("stored currencies are valid"),
            kind: self.kind,
            status: AccountStatus::parse(&self.status).expect("the table checks the status"),
            balance: money(self.balance),
            min_balance: self.min_balance.map(money),
            version: self.version,
            metadata: self
                .metadata
                .map(|text| Metadata::from_stored(text).expect("stored metadata is a JSON object")),
            opened_at: Timestamp::from_nanoseconds(self.opened_at),
        }
    }
}
