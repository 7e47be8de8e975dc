//! Rows of one ledger, written as a processor writes them.

use std::collections::BTreeMap;

use schemas::{IdempotencyKey, LedgerName, Partition, TransferId};
use sqlx::types::Uuid;

use crate::harness::Api;

const SECOND: i64 = 1_000_000_000;

/// Writes rows of one ledger as a processor would: each transfer at its own position and second.
pub(crate) struct Book<'a> {
    api: &'a Api,
    pub(crate) ledger: i32,
    name: &'static str,
    pub(crate) position: i64,
    versions: BTreeMap<&'static str, (i64, i64)>,
}

impl<'a> Book<'a> {
    pub(crate) async fn new(api: &'a Api, name: &'static str) -> Self {
        let ledger = LedgerName::parse(name).unwrap();
        ingest::admin::create_ledger(&api.pool, &ledger)
            .await
            .unwrap();
        let number = sqlx::query_scalar("SELECT number FROM ledgers WHERE name = $1")
            .bind(name)
            .fetch_one(&api.pool)
            .await
            .unwrap();
        Self {
            api,
            ledger: number,
            name,
            position: 0,
            versions: BTreeMap::new(),
        }
    }

    pub(crate) fn id(&self, key: &str) -> TransferId {
        let key = IdempotencyKey::parse(key).unwrap();
        TransferId::derive(&LedgerName::parse(self.name).unwrap(), &key)
    }

    fn post(&mut self, account: &'static str, amount: i64) -> (i64, i64) {
        let entry = self.versions.entry(account).or_default();
        *entry = (entry.0 + 1, entry.1 + amount);
        *entry
    }

    pub(crate) async fn posted(
        &mut self,
        key: &str,
        debit: &'static str,
        credit: &'static str,
        amount: i64,
    ) {
        let after = [self.post(debit, -amount), self.post(credit, amount)];
        self.transfer(key, [debit, credit], amount, Some(after))
            .await;
    }

    pub(crate) async fn refused(
        &mut self,
        key: &str,
        debit: &'static str,
        credit: &'static str,
        amount: i64,
    ) {
        self.transfer(key, [debit, credit], amount, None).await;
    }

    async fn transfer(
        &mut self,
        key: &str,
        [debit, credit]: [&str; 2],
        amount: i64,
        after: Option<[(i64, i64); 2]>,
    ) {
        self.position += 1;
        let [debited, credited] = after.map_or([None, None], |after| after.map(Some));
        sqlx::query(
            "INSERT INTO transfers (id, position, accepted_at, decided_at, amount, debit_version, credit_version,
                    debit_balance_after, credit_balance_after, ledger, line, partition, exponent, debit_account,
                    credit_account, currency, idempotency_key, reason, detail)
             VALUES ($1, $2, $3, $3, $4, $5, $6, $7, $8, $9, 0, 0, 2, $10, $11, 'USD', $12, $13, $13)",
        )
        .bind(Uuid::from_bytes(self.id(key).to_bytes()))
        .bind(self.position)
        .bind(self.position * SECOND)
        .bind(amount)
        .bind(debited.map(|(version, _)| version))
        .bind(credited.map(|(version, _)| version))
        .bind(debited.map(|(_, balance)| balance))
        .bind(credited.map(|(_, balance)| balance))
        .bind(self.ledger)
        .bind(debit)
        .bind(credit)
        .bind(key)
        .bind(after.is_none().then_some("insufficient_funds"))
        .execute(&self.api.pool)
        .await
        .unwrap();
    }

    /// Writes the accounts as they are now, and the applied position.
    pub(crate) async fn close(&self) {
        for (account, (version, balance)) in &self.versions {
            sqlx::query(
                "INSERT INTO accounts (balance, min_balance, version, opened_at, changed_at, opening_min_balance,
                        ledger, exponent, id, currency, status)
                 VALUES ($1, NULL, $2, 1, 1, NULL, $3, 2, $4, 'USD', 'open')",
            )
            .bind(balance)
            .bind(version)
            .bind(self.ledger)
            .bind(account)
            .execute(&self.api.pool)
            .await
            .unwrap();
        }
        for partition in 1..self.api.log.partitions() {
            apply(self.api, Partition(partition), 0).await;
        }
        apply(self.api, Partition(0), self.position).await;
    }
}

pub(crate) async fn apply(api: &Api, partition: Partition, applied: i64) {
    sqlx::query(
        "INSERT INTO partitions (partition, applied, certain_at)
         VALUES ($1, $2, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint * 1000)
         ON CONFLICT (partition) DO UPDATE SET applied = excluded.applied, certain_at = excluded.certain_at",
    )
    .bind(i16::try_from(partition.0).unwrap())
    .bind(applied)
    .execute(&api.pool)
    .await
    .unwrap();
}

/// world → alice 100; alice → bob five times; one refusal on each side; alice to herself refused.
pub(crate) async fn a_busy_day(api: &Api) -> Book<'_> {
    let mut book = Book::new(api, "demo").await;
    book.posted("fund", "world", "alice", 10_000).await;
    book.posted("p1", "alice", "bob", 100).await;
    book.refused("r1", "alice", "bob", 99_900).await;
    book.posted("p2", "alice", "bob", 200).await;
    book.refused("r2", "bob", "alice", 99_900).await;
    book.refused("r3", "alice", "alice", 100).await;
    book.posted("p3", "bob", "alice", 100).await;
    book.posted("p4", "bob", "world", 100).await;
    book.close().await;
    book
}
