//! What clients ask for in a run.

use bytes::Bytes;
use rand::RngExt as _;
use rand::rngs::StdRng;
use schemas::{AccountId, Partition, partition_of};
use streams::ReplyTo;

use crate::double::Appended;

/// The outside world may go below zero, the others may not; the last one is never opened.
pub(crate) const ACCOUNTS: [&str; 9] = [
    "world", "alice", "bob", "carol", "dave", "erin", "frank", "grace", "nobody",
];

pub(crate) const CALM_ROUNDS: usize = 2;

/// One command, as the model understands it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ask {
    Transfer(Transfer),
    Open(&'static str),
    Freeze(&'static str),
    Unfreeze(&'static str),
    Close(&'static str),
    /// Sets what its balance may fall to.
    Limit(&'static str, i64),
    /// Can never be decided, for this reason.
    Dead(&'static str),
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) key: String,
    pub(crate) debit: &'static str,
    pub(crate) credit: &'static str,
    pub(crate) amount: i64,
    /// Postgres refuses it.
    pub(crate) poison: bool,
}

/// One record of the log.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) record: Appended,
    pub(crate) asks: Vec<Ask>,
}

impl Ask {
    fn account(&self) -> Option<&'static str> {
        match self {
            Self::Transfer(transfer) => Some(transfer.debit),
            Self::Open(id)
            | Self::Freeze(id)
            | Self::Unfreeze(id)
            | Self::Close(id)
            | Self::Limit(id, _) => Some(id),
            Self::Dead(_) => None,
        }
    }

    fn line(&self) -> String {
        let account = |command: &str, id: &str| {
            format!(r#"{{"command":"{command}","ledger":"sim","id":"{id}"}}"#)
        };
        match self {
            Self::Transfer(transfer) => transfer.line(),
            Self::Open("world") => {
                r#"{"command":"open_account","ledger":"sim","id":"world","currency":"JPY","min_balance":null}"#.to_owned()
            }
            Self::Open(id) => {
                format!(r#"{{"command":"open_account","ledger":"sim","id":"{id}","currency":"JPY"}}"#)
            }
            Self::Freeze(id) => account("freeze_account", id),
            Self::Unfreeze(id) => account("unfreeze_account", id),
            Self::Close(id) => account("close_account", id),
            Self::Limit(id, least) => format!(
                r#"{{"command":"change_account","ledger":"sim","id":"{id}","min_balance":"{least}"}}"#
            ),
            Self::Dead("json_malformed") => "{not json".to_owned(),
            Self::Dead("ledger_unknown") => {
                r#"{"command":"freeze_account","ledger":"nowhere","id":"alice"}"#.to_owned()
            }
            Self::Dead("command_unknown") => account("explode", "alice"),
            Self::Dead(reason) => unreachable!("no line is dead for {reason}"),
        }
    }
}

impl Transfer {
    fn line(&self) -> String {
        let poison = if self.poison {
            r#","description":"poison""#
        } else {
            ""
        };
        format!(
            r#"{{"ledger":"sim","idempotency_key":"{}","debit_account":"{}","credit_account":"{}","amount":"{}","currency":"JPY"{poison}}}"#,
            self.key, self.debit, self.credit, self.amount
        )
    }
}

fn partition(account: &str, partitions: u16) -> Partition {
    partition_of(&AccountId::parse(account).unwrap(), partitions)
}

/// Everything that is published in a run, in order; the last [`CALM_ROUNDS`] records of each partition once nothing
/// fails any more.
pub(crate) fn scenario(chance: &mut StdRng, partitions: u16) -> Vec<Batch> {
    let mut batches: Vec<Batch> = Vec::new();
    for account in &ACCOUNTS[..ACCOUNTS.len() - 1] {
        batches.push(record(
            vec![Ask::Open(account)],
            partition(account, partitions),
            batches.len(),
        ));
    }
    for account in &ACCOUNTS[1..ACCOUNTS.len() - 1] {
        let funding = Ask::Transfer(Transfer {
            key: format!("fund {account}"),
            debit: "world",
            credit: account,
            amount: 1000,
            poison: false,
        });
        batches.push(record(
            vec![funding],
            partition("world", partitions),
            batches.len(),
        ));
    }
    let mut transfers: Vec<Transfer> = Vec::new();
    while batches.len() < 60 {
        let on = Partition(chance.random_range(0..partitions));
        if chance.random_ratio(1, 25) {
            batches.push(whole(chance, on, batches.len()));
            continue;
        }
        if partitions > 1 && chance.random_ratio(1, 6) {
            race(chance, &mut batches);
            continue;
        }
        let asks = (0..chance.random_range(1..=6))
            .map(|_| ask(chance, on, partitions, &mut transfers))
            .collect();
        batches.push(record(asks, on, batches.len()));
    }
    for _ in 0..CALM_ROUNDS {
        for on in (0..partitions).map(Partition) {
            let last = ask(chance, on, partitions, &mut transfers);
            batches.push(record(vec![last], on, batches.len()));
        }
    }
    batches
}

fn record(asks: Vec<Ask>, partition: Partition, number: usize) -> Batch {
    let lines: Vec<String> = asks.iter().map(Ask::line).collect();
    Batch {
        record: Appended {
            partition,
            body: Bytes::from(lines.join("\n")),
            schema: Some("cmd.v1".to_owned()),
            id: Some(format!("record {number}")),
            reply_to: ReplyTo::parse("sluice.reply.clients").filter(|_| number.is_multiple_of(2)),
        },
        asks,
    }
}

/// A record that is a dead letter as a whole.
fn whole(chance: &mut StdRng, partition: Partition, number: usize) -> Batch {
    let mut batch = record(vec![Ask::Dead("json_malformed")], partition, number);
    if chance.random_bool(0.5) {
        batch.record.schema = Some("cmd.v9".to_owned());
        batch.asks = vec![Ask::Dead("schema_unknown")];
    } else {
        batch.record.body = Bytes::from_static(b"\n \n");
        batch.asks = vec![Ask::Dead("record_empty")];
    }
    batch
}

/// One key from two accounts on two partitions at once.
fn race(chance: &mut StdRng, batches: &mut Vec<Batch>) {
    let key = format!("race {}", batches.len());
    for on in [Partition(0), Partition(1)] {
        let here = accounts_of(on, 2);
        let debit = here[chance.random_range(0..here.len())];
        let transfer = Transfer {
            key: key.clone(),
            debit,
            credit: ACCOUNTS[chance.random_range(0..ACCOUNTS.len())],
            amount: 1,
            poison: false,
        };
        batches.push(record(vec![Ask::Transfer(transfer)], on, batches.len()));
    }
}

fn accounts_of(on: Partition, partitions: u16) -> Vec<&'static str> {
    ACCOUNTS
        .into_iter()
        .filter(|account| partition(account, partitions) == on)
        .collect()
}

fn ask(chance: &mut StdRng, on: Partition, partitions: u16, transfers: &mut Vec<Transfer>) -> Ask {
    let here = accounts_of(on, partitions);
    let mine = here[chance.random_range(0..here.len())];
    let any = ACCOUNTS[chance.random_range(0..ACCOUNTS.len())];
    match chance.random_range(0..100) {
        0..3 => Ask::Freeze(mine),
        3..8 => Ask::Unfreeze(mine),
        8..10 => Ask::Close(mine),
        10..12 if mine != "nobody" => Ask::Open(mine),
        90..96 if mine != "world" => {
            Ask::Limit(mine, [-900, -300, 0, 200][chance.random_range(0..4)])
        }
        12..16 => Ask::Dead(
            ["json_malformed", "ledger_unknown", "command_unknown"][chance.random_range(0..3)],
        ),
        16..18 => Ask::Transfer(Transfer {
            key: format!("poison {}", chance.random_range(0..1000)),
            debit: mine,
            credit: any,
            amount: 1,
            poison: true,
        }),
        18..45 if !transfers.is_empty() => {
            let latest = transfers.len().saturating_sub(8);
            let again = transfers[chance.random_range(latest..transfers.len())].clone();
            Ask::Transfer(repeat(chance, again, mine, on, partitions))
        }
        _ => {
            let transfer = Transfer {
                key: format!("key {}", transfers.len()),
                debit: mine,
                credit: any,
                amount: chance.random_range(1..700),
                poison: false,
            };
            transfers.push(transfer.clone());
            Ask::Transfer(transfer)
        }
    }
}

/// The same request again, if it belongs on this partition; or another one under its key.
fn repeat(
    chance: &mut StdRng,
    again: Transfer,
    mine: &'static str,
    on: Partition,
    partitions: u16,
) -> Transfer {
    let debit = if partition(again.debit, partitions) == on {
        again.debit
    } else {
        mine
    };
    let amount = again.amount + i64::from(chance.random_ratio(1, 3));
    Transfer {
        debit,
        amount,
        ..again
    }
}

impl Batch {
    /// Checks that what the model is told is what the log holds.
    pub(crate) fn belongs(&self, partitions: u16) -> bool {
        let on = self.record.partition;
        let mut accounts = self.asks.iter().filter_map(Ask::account);
        accounts.all(|account| partition(account, partitions) == on)
    }
}
