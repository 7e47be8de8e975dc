//! The decisions alone: what a batch costs without log and database.

use std::hint::black_box;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ledger::{AccountRow, Batch, Item, Reads, Rows, apply, reads};
use schemas::{
    Account, AccountId, AccountStatus, Amount, Currency, IdempotencyKey, LedgerName, LinePosition,
    Money, Opening, Order, Partition, Position, Timestamp, TransferOrder,
};

const BATCHES: [u32; 3] = [1, 100, 1000];
const ACCOUNTS: [(&str, u32); 2] = [("100000 accounts", 100_000), ("10 accounts", 10)];
const BALANCE: i64 = 1_000_000_000;

criterion_group!(benches, decide, look_up);
criterion_main!(benches);

fn decide(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("apply");
    for (name, accounts) in ACCOUNTS {
        for size in BATCHES {
            let batch = batch(size, accounts);
            let reads = reads(&batch);
            let rows = rows(&reads);
            group.throughput(Throughput::Elements(size.into()));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter_batched(
                    || rows.clone(),
                    |rows| apply(&reads, rows, &batch, Timestamp::from_nanoseconds(1)),
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

fn look_up(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("reads");
    for (name, accounts) in ACCOUNTS {
        for size in BATCHES {
            let batch = batch(size, accounts);
            group.throughput(Throughput::Elements(size.into()));
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter(|| reads(black_box(&batch)));
            });
        }
    }
    group.finish();
}

/// Transfers between accounts that are spread evenly, each pair of two different ones.
fn batch(size: u32, accounts: u32) -> Batch {
    let id = |number: u32| {
        AccountId::parse(&format!("acct_{:07}", number % accounts)).expect("an account id")
    };
    let items = (0..size).map(|number| {
        let payer = number.wrapping_mul(2_654_435_761) % accounts;
        let order = TransferOrder {
            idempotency_key: IdempotencyKey::parse(&format!("b1-{number}")).expect("a key"),
            debit_account: id(payer),
            credit_account: id(payer + 1 + number % (accounts - 1)),
            amount: Amount::from_minor(1234).expect("more than zero"),
            currency: dollars(),
            exponent: 2,
            description: None,
            metadata: None,
        };
        Item {
            at: LinePosition {
                partition: Partition(0),
                position: Position::new(0, 1),
                line: number,
            },
            ledger: 1,
            ledger_name: LedgerName::parse("bench").expect("a ledger's name"),
            accepted_at: Timestamp::default(),
            actor: schemas::Actor::Nats,
            order: Order::Transfer(order),
        }
    });
    Batch {
        items: items.collect(),
    }
}

fn rows(reads: &Reads) -> Rows {
    let accounts = reads.accounts.iter().map(|key| {
        Some(AccountRow {
            account: Account {
                id: key.id.clone(),
                currency: dollars(),
                kind: None,
                status: AccountStatus::Open,
                balance: Money {
                    minor: BALANCE,
                    exponent: 2,
                },
                min_balance: Some(Money {
                    minor: 0,
                    exponent: 2,
                }),
                version: 1,
                metadata: None,
                opened_at: Timestamp::default(),
            },
            opening: Opening {
                currency: dollars(),
                kind: None,
                min_balance: Some(0),
                metadata: None,
            },
            changed_at: Timestamp::default(),
        })
    });
    Rows {
        accounts: accounts.collect(),
        transfers: vec![None; reads.transfers.len()],
    }
}

fn dollars() -> Currency {
    Currency::parse("USD").expect("a currency")
}
