//! A store in memory: what Postgres is to the worker.

use std::collections::BTreeMap;

use ledger::{AccountKey, AccountRow, Batch, Decision, Item, Reads, Rows, apply, reads};
use schemas::{
    Actor, LinePosition, Order, Outcome, Partition, Position, Timestamp, Transfer, TransferId,
};

#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Book {
    pub(crate) accounts: BTreeMap<AccountKey, AccountRow>,
    pub(crate) transfers: BTreeMap<TransferId, Transfer>,
}

impl Book {
    /// Reads, decides and keeps one batch, as strictly as a database with its keys would.
    pub(crate) fn commit(&mut self, items: &[Item], now: Timestamp) -> Decision {
        let batch = Batch {
            items: items.to_vec(),
        };
        let reads = reads(&batch);
        let decision = apply(&reads, self.load(&reads), &batch, now);
        for (key, row) in &decision.opened {
            let before = self.accounts.insert(key.clone(), row.clone());
            assert_eq!(before, None, "an opened account did not exist before");
        }
        for (key, row) in &decision.changed {
            let before = self.accounts.insert(key.clone(), row.clone());
            assert!(before.is_some(), "a changed account existed before");
        }
        assert_eq!(decision.outcomes.len(), items.len());
        for (_, outcome) in &decision.outcomes {
            if let Outcome::Decided(transfer) = outcome {
                let before = self.transfers.insert(transfer.id, transfer.clone());
                assert_eq!(before, None, "a key is decided once");
            }
        }
        decision
    }

    fn load(&self, reads: &Reads) -> Rows {
        assert!(reads.accounts.is_sorted_by(|a, b| a < b));
        assert!(reads.transfers.is_sorted_by(|a, b| a < b));
        Rows {
            accounts: reads
                .accounts
                .iter()
                .map(|key| self.accounts.get(key).cloned())
                .collect(),
            transfers: reads
                .transfers
                .iter()
                .map(|id| self.transfers.get(id).cloned())
                .collect(),
        }
    }
}

/// A command of ledger number `ledger`, as the `line`th of the log.
pub(crate) fn item(ledger: i32, line: u64, order: Order) -> Item {
    Item {
        at: LinePosition {
            partition: Partition(3),
            position: Position::new(0, line + 1),
            line: 0,
        },
        ledger,
        ledger_name: schemas::LedgerName::parse(&format!("ledger-{ledger}")).unwrap(),
        accepted_at: Timestamp::from_nanoseconds(i64::try_from(line).unwrap()),
        actor: Actor::Nats,
        order,
    }
}
