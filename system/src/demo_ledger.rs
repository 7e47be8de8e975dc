//! The ledger that `up` prepares: `world`, the outside, and two people with some money.
//!
//! Invariant: its commands are the same at every start and under the same keys, so that they change nothing twice.

use std::time::Duration;

use anyhow::Context;
use bytes::Bytes;
use schemas::{AccountId, Partition, partition_of};
use sqlx::PgPool;
use streams::{CommandRecord, Log, RecordIds};
use tokio::time::Instant;

/// The ledger that `up` and `demo` prepare.
pub const LEDGER: &str = "demo";
const WORLD: &str = "world";
const PEOPLE: [&str; 2] = ["alice", "bob"];
/// Money of the prepared accounts.
const POCKET_MONEY: &str = "1000.00";

/// How long the commands may take. A partition that is stopped, or far behind, does not keep a system from its start.
const APPLIED_MAX: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// Appends the accounts and, once these are open, their money.
pub(crate) async fn prepare(log: &Log, database: &PgPool) -> anyhow::Result<()> {
    let mut accounts = vec![(WORLD, open(WORLD, r#","min_balance":null"#))];
    accounts.extend(PEOPLE.map(|id| (id, open(id, ""))));
    let transfers = PEOPLE.map(|id| (WORLD, fund(id))).to_vec();
    let ids = RecordIds::random();
    let ends = Instant::now() + APPLIED_MAX;
    for commands in [accounts, transfers] {
        let mut appended = Vec::new();
        for (account, command) in commands {
            appended.push(append(log, &ids, account, command).await?);
        }
        if !until_applied(database, &appended, ends).await? {
            tracing::warn!(
                "the accounts of ledger {LEDGER} are on the log and not applied yet: `sluice partitions` shows why"
            );
        }
    }
    Ok(())
}

fn open(id: &str, rest: &str) -> String {
    format!(
        r#"{{"command":"open_account","ledger":"{LEDGER}","id":"{id}","currency":"USD"{rest},"actor":"sluice"}}"#
    )
}

fn fund(id: &str) -> String {
    format!(
        r#"{{"ledger":"{LEDGER}","idempotency_key":"sluice-up-{id}","debit_account":"{WORLD}","credit_account":"{id}","amount":"{POCKET_MONEY}","currency":"USD","description":"pocket money","actor":"sluice"}}"#
    )
}

async fn append(
    log: &Log,
    ids: &RecordIds,
    account: &str,
    command: String,
) -> anyhow::Result<(Partition, u64)> {
    let partition = partition_of(&AccountId::parse(account)?, log.partitions());
    let record = CommandRecord {
        partition,
        id: ids.next(),
        body: Bytes::from(command),
        count: 1,
        reply_to: None,
    };
    let sequence = log
        .append(&record)
        .await
        .with_context(|| format!("appending account {account}"))?;
    Ok((partition, sequence))
}

/// Whether these records were applied in time.
async fn until_applied(
    database: &PgPool,
    appended: &[(Partition, u64)],
    ends: Instant,
) -> anyhow::Result<bool> {
    loop {
        let partitions = worker::operate::partitions(database).await?;
        let is_applied = |(partition, sequence): &(Partition, u64)| {
            partitions
                .iter()
                .any(|shown| shown.partition == *partition && shown.applied.sequence() >= *sequence)
        };
        if appended.iter().all(is_applied) {
            return Ok(true);
        }
        if Instant::now() > ends {
            return Ok(false);
        }
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}
