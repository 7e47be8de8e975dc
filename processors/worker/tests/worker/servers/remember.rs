//! Processors that remember accounts, and others who write them meanwhile.

use std::time::Duration;

use schemas::Partition;
use worker::Error;
use worker::simulation::{Commit, Lease, Looking, Postgres, Store, Transaction as _};

use super::bed::Servers;
use crate::seams::commits::{batch, step, write};

const OPEN_WORLD: &str =
    r#"{"command":"open_account","id":"world","currency":"USD","min_balance":null}"#;
const OPEN_ALICE: &str = r#"{"command":"open_account","id":"alice","currency":"USD"}"#;

/// One process with one partition.
struct Process {
    store: Postgres,
    lease: Lease,
    applied: u64,
}

impl Process {
    async fn start(servers: &Servers, partition: u16) -> Self {
        let store = servers.store(Duration::from_secs(6));
        let owner = format!("owner of {partition}");
        let taken = store.take_over(Partition(partition), &owner).await;
        Self {
            store,
            lease: taken.unwrap().unwrap().lease,
            applied: 0,
        }
    }

    /// Decides these commands and writes them; all but the COMMIT.
    async fn open(
        &self,
        lines: &[&str],
    ) -> Result<(<Postgres as Store>::Transaction, Commit), Error> {
        let commands = batch(self.lease.partition, self.applied + 1, lines);
        let reads = ledger::reads(&commands);
        let advance = step(self.applied, self.applied + 1);
        let begun = self.store.begin(self.lease, advance, Looking::Once(&reads));
        let mut transaction = begun.await?;
        let written = write(&mut transaction, self.lease, &commands, None, [0; 32]).await?;
        Ok((transaction, written))
    }

    async fn work(&mut self, lines: &[&str]) -> Result<Commit, Error> {
        let (transaction, commit) = self.open(lines).await?;
        transaction.commit().await?;
        self.applied += 1;
        Ok(commit)
    }
}

fn pay(key: &str, debit: &str, credit: &str, amount: &str) -> String {
    format!(
        r#"{{"idempotency_key":"{key}","debit_account":"{debit}","credit_account":"{credit}","amount":"{amount}","currency":"USD"}}"#
    )
}

fn is_conflict<T>(result: &Result<T, Error>) -> bool {
    matches!(result, Err(Error::Conflict(_)))
}

#[tokio::test]
async fn a_stale_balance_is_never_posted_on() {
    let servers = Servers::start(2).await;
    let mut here = Process::start(&servers, 0).await;
    let mut there = Process::start(&servers, 1).await;
    here.work(&[OPEN_WORLD, OPEN_ALICE]).await.unwrap();
    here.work(&[&pay("1", "world", "alice", "10")])
        .await
        .unwrap();
    there
        .work(&[&pay("2", "world", "alice", "20")])
        .await
        .unwrap();
    let line = pay("3", "world", "alice", "40");
    let stale = here.work(&[&line]).await.map(drop);
    assert!(is_conflict(&stale), "{stale:?}");
    here.work(&[&line]).await.unwrap();
    let balance = "SELECT balance FROM accounts WHERE id = 'alice'";
    assert_eq!(servers.number(balance).await, 7000);
}
