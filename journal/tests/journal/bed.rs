//! A partition of one test's own, and its commits.

use std::time::Duration;

use async_nats::HeaderMap;
use async_nats::jetstream;
use bytes::Bytes;
use journal::{Decided, Entry, Lines, Link, Source, append, link};
use schemas::{
    Actor, Encoder, Event, KeyReused, LedgerName, LinePosition, Outcome, Partition, Position,
    Timestamp, TransferId,
};
use sqlx::PgPool;
use stack::testing;
use streams::{EventRecord, Log, Settings};

pub(crate) const PARTITION: Partition = Partition(0);
const LEDGER: &str = "sim";
/// From one commit to the next.
const STEP: i64 = 10;
/// A sequence that no stream reaches here.
pub(crate) const ALL: u64 = 1 << 40;
/// Longest time that commits are waited for.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Bed {
    pub(crate) database: PgPool,
    pub(crate) name: String,
    pub(crate) log: Log,
    client: async_nats::Client,
    pub(crate) nats: stack::Nats,
    /// Behind the last commit.
    at: Link,
    /// Of its record on EVENTS.
    sequence: u64,
}

impl Bed {
    /// With this many commits, all of them published.
    pub(crate) async fn with(commits: usize) -> Self {
        let database = testing::fresh_database_from_template("migrated", migrate).await;
        let name = database.name;
        let database = PgPool::connect(&database.url).await.unwrap();
        let nats = testing::nats_with(|options| stack::NatsOptions {
            lazy_sync: true,
            ..options
        })
        .await;
        let connection = streams::connect(&nats.url(), "test").await.unwrap();
        let client = connection.client();
        let log = Log::create(connection, &Settings::default()).await.unwrap();
        let mut bed = Self {
            database,
            name,
            log,
            client,
            nats,
            at: Link::default(),
            sequence: 0,
        };
        bed.execute("INSERT INTO ledgers (name) VALUES ('sim')")
            .await;
        bed.execute("INSERT INTO partitions (partition) VALUES (0)")
            .await;
        bed.commit(commits).await;
        bed
    }

    /// Adds commits of one outcome each, and publishes them.
    pub(crate) async fn commit(&mut self, count: usize) {
        for _ in 0..count {
            let position = Position::from_number(self.at.position.number() + STEP);
            let decided = decided(position);
            let record = self.record(&decided);
            let mut tx = self.database.begin().await.unwrap();
            let entry = Entry {
                epoch: 1,
                decided_at: decided.event.decided_at,
                rules: 1,
                events: &[decided],
                dead: &[],
                record: &record,
            };
            append(&mut tx, entry, &[]).await.unwrap();
            tx.commit().await.unwrap();
            self.sequence = self.log.publish(&record, self.sequence).await.unwrap();
            self.at = behind(&record);
        }
        sqlx::query("UPDATE partitions SET applied = $1, published = $1")
            .bind(self.at.position.number())
            .execute(&self.database)
            .await
            .unwrap();
    }

    fn record(&self, decided: &Decided) -> EventRecord {
        let Lines { body, .. } = Lines::encode(Encoder::NEWEST, [&decided.event]);
        let position = decided.event.at.position;
        EventRecord {
            partition: PARTITION,
            first_position: position,
            position,
            count: 1,
            encoder: Encoder::NEWEST.number(),
            previous_hash: self.at.hash,
            hash: link(&self.at.hash, &body),
            committed_at: Some(decided.event.decided_at),
            body,
        }
    }

    /// What EVENTS holds at a sequence, as its publisher wrote it but for the id: with that, nats-server would
    /// recognise it.
    pub(crate) async fn stored(&self, sequence: u64) -> (HeaderMap, Bytes) {
        let stream = self.jetstream().get_stream(streams::EVENTS).await.unwrap();
        let stored = stream.get_raw_message(sequence).await.unwrap();
        let mut headers = HeaderMap::new();
        for (name, values) in stored.headers.iter() {
            if !name.to_string().starts_with("Nats-") {
                headers.insert(name.clone(), values[0].clone());
            }
        }
        (headers, stored.payload)
    }

    /// Publishes what somebody wrote; gives its sequence.
    pub(crate) async fn publish(&mut self, (headers, body): (HeaderMap, Bytes)) -> u64 {
        let jetstream = self.jetstream();
        let sent = jetstream.publish_with_headers("sluice.evt.0", headers, body);
        self.sequence = sent.await.unwrap().await.unwrap().sequence;
        self.sequence
    }

    /// Removes the records of EVENTS before a sequence.
    pub(crate) async fn purge(&mut self, before: u64) {
        let stream = self.jetstream().get_stream(streams::EVENTS).await.unwrap();
        stream.purge().sequence(before).await.unwrap();
        if before > self.sequence {
            self.sequence = 0;
        }
    }

    fn jetstream(&self) -> jetstream::Context {
        jetstream::new(self.client.clone())
    }

    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.database).await.unwrap();
    }

    pub(crate) fn source(&self, after: Link) -> Source {
        Source::new(self.log.clone(), self.database.clone(), PARTITION, after)
    }
}

pub(crate) async fn take(source: &mut Source, count: usize) -> Vec<EventRecord> {
    let taken = async {
        let mut records = Vec::new();
        while records.len() < count {
            records.push(source.next().await.unwrap());
        }
        records
    };
    let taken = tokio::time::timeout(PATIENCE, taken).await;
    taken.expect("the commits are there")
}

pub(crate) fn behind(record: &EventRecord) -> Link {
    Link {
        position: record.position,
        hash: record.hash,
    }
}

fn decided(position: Position) -> Decided {
    let reused = KeyReused {
        transfer_id: TransferId::from_bytes([7; 16]),
        differs: vec!["amount".to_owned()],
    };
    Decided {
        ledger: Some(1),
        event: Event {
            at: LinePosition {
                partition: PARTITION,
                position,
                line: 0,
            },
            ledger: Some(LedgerName::parse(LEDGER).unwrap()),
            decided_at: Timestamp::from_nanoseconds(1_700_000_000_000_000_000),
            actor: Some(Actor::parse("nats").unwrap()),
            outcome: Outcome::KeyReused(reused),
        },
        command: None,
    }
}

async fn migrate(url: String) -> Result<(), String> {
    let pool = PgPool::connect(&url)
        .await
        .map_err(|error| error.to_string())?;
    let migrated = migrations::MIGRATIONS.run(&pool).await;
    pool.close().await;
    migrated.map_err(|error| error.to_string())
}
