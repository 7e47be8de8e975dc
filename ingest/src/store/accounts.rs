//! Accounts, and what was decided about commands at a place of the log.
//!
//! Invariant: rows of another ledger do not exist here.

use journal::columns::{self, exponent, parsed, unreadable};
use journal::{partition_number, stored_outcome};
use schemas::{
    Account, AccountId, AccountStatus, Currency, DeadLettered, LinePosition, Money, Outcome,
    Partition, Position, TransferId,
};
use sqlx::postgres::PgRow;
use sqlx::types::Uuid;
use sqlx::{FromRow, Row};

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

struct AccountRow(Account);

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
        Ok(row.map(|row| row.0))
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
        Ok(rows.into_iter().map(|row| row.0).collect())
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
        let read = async {
            let row = query.await?;
            row.map(|(kind, data)| stored_outcome(&kind, &data))
                .transpose()
        };
        self.read("reading an outcome", read).await
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
        let query = sqlx::query(SQL)
            .bind(ids)
            .bind(ledger)
            .fetch_all(&self.pool);
        let read = async { query.await?.iter().map(dead_transfer).collect() };
        self.read("looking for dead letters", read).await
    }
}

fn dead_transfer(row: &PgRow) -> sqlx::Result<(TransferId, LinePosition, DeadLettered)> {
    let at = LinePosition {
        partition: columns::partition(row.try_get("partition")?)?,
        position: Position::from_number(row.try_get("position")?),
        line: columns::line(row.try_get("line")?)?,
    };
    let dead = DeadLettered {
        reason: row.try_get("reason")?,
        detail: row.try_get("detail")?,
    };
    let id: Uuid = row.try_get("transfer_id")?;
    Ok((TransferId::from_bytes(id.into_bytes()), at, dead))
}

impl FromRow<'_, PgRow> for AccountRow {
    fn from_row(row: &PgRow) -> sqlx::Result<Self> {
        let exponent = exponent(row.try_get("exponent")?)?;
        let money = |minor| Money { minor, exponent };
        let status: &str = row.try_get("status")?;
        Ok(Self(Account {
            id: columns::account(row, "id")?,
            currency: parsed(Currency::parse(row.try_get("currency")?))?,
            kind: row.try_get("type")?,
            status: AccountStatus::parse(status)
                .ok_or_else(|| unreadable(format!("status {status}")))?,
            balance: money(row.try_get("balance")?),
            min_balance: row.try_get::<Option<i64>, _>("min_balance")?.map(money),
            version: row.try_get("version")?,
            metadata: columns::metadata(row, "metadata")?,
            opened_at: columns::timestamp(row, "opened_at")?,
        }))
    }
}
