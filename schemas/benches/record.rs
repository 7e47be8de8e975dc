//! Lines of records: what reading and writing one costs.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use schemas::{Command, Event, Order, Outcome, ParsedEvent, RawTransfer, Shape, Timestamp, Units};

const COMMAND: &str = r#"{"ledger":"bench","idempotency_key":"b1-123456","debit_account":"acct_0000042","credit_account":"acct_0004711","amount":"12.34","currency":"USD","accepted_at":"2026-11-21T08:18:00.123456789Z"}"#;
const REQUEST: &str = r#"{"debit_account":"acct_0000042","credit_account":"acct_0004711","amount":"12.34","currency":"USD"}"#;
const EVENT: &str = r#"{"specversion":"1.0","id":"0.1.0","source":"/ledgers/bench","type":"sluice.transfer.posted.v1","subject":"tr_5e1815f308b081363b3c91e0ebaed625","time":"2026-11-21T08:18:00.125Z","datacontenttype":"application/json","data":{"id":"tr_5e1815f308b081363b3c91e0ebaed625","status":"posted","debit_account":"acct_0000042","credit_account":"acct_0004711","amount":"12.34","currency":"USD","idempotency_key":"b1-123456","accepted_at":"2026-11-21T08:18:00.123456789Z","decided_at":"2026-11-21T08:18:00.125Z","partition":3,"position":1,"debit_version":1,"credit_version":1,"debit_balance_after":"87.66","credit_balance_after":"12.34"}}"#;

criterion_group!(benches, commands, events);
criterion_main!(benches);

fn commands(criterion: &mut Criterion) {
    let units = Units::default();
    let mut group = criterion.benchmark_group("command");
    group.throughput(Throughput::Elements(1));
    group.bench_function("decode", |bencher| {
        bencher.iter(|| decode(black_box(COMMAND), &units));
    });
    let command = decode(COMMAND, &units);
    group.bench_function("encode", |bencher| {
        bencher.iter(|| black_box(&command).encode());
    });
    let Order::Transfer(order) = &command.order else {
        panic!("the line is a transfer");
    };
    group.bench_function("read a request", |bencher| {
        bencher.iter(|| {
            RawTransfer::parse(black_box(REQUEST).as_bytes(), Shape::Request)
                .and_then(|raw| raw.validate(order.idempotency_key.clone(), &units))
                .expect("a valid request")
        });
    });
    group.bench_function("derive the id", |bencher| {
        bencher.iter(|| black_box(order).id(&command.ledger));
    });
    group.finish();
}

fn events(criterion: &mut Criterion) {
    let parsed = ParsedEvent::parse(EVENT.as_bytes()).expect("an event");
    let event = Event {
        at: parsed.id.parse().expect("a position"),
        ledger: Some(decode(COMMAND, &Units::default()).ledger),
        decided_at: Timestamp::from_nanoseconds(1_795_249_080_125_000_000),
        actor: parsed.actor.clone(),
        outcome: parsed.outcome().expect("a posted transfer"),
    };
    assert!(matches!(event.outcome, Outcome::Decided(_)));
    let mut group = criterion.benchmark_group("event");
    group.throughput(Throughput::Elements(1));
    let mut record = Vec::with_capacity(1 << 10);
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            record.clear();
            black_box(&event).encode(schemas::Encoder::NEWEST, &mut record);
        });
    });
    group.bench_function("read", |bencher| {
        bencher
            .iter(|| ParsedEvent::parse(black_box(EVENT).as_bytes()).map(|event| event.outcome()));
    });
    group.finish();
}

fn decode(line: &str, units: &Units) -> Command {
    Command::decode(line.as_bytes(), |_| Some(units)).expect("a valid command")
}
