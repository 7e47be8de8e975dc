//! Both kinds of servers, and what tests do to them behind the loop's back.

use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt as _;
use schemas::{LedgerName, Partition, Timestamp, Units};
use worker::simulation::{Log as LogSeam, Postgres, Store as StoreSeam};

use crate::double::{Appended, Log, Process, Shared, Store};
use crate::servers::{LEDGER, Servers};

const PARTITIONS: u16 = 2;
const LEASE: Duration = Duration::from_millis(500);

pub(super) trait Bench {
    type Store: StoreSeam;
    type Log: LogSeam;

    /// As another process has it.
    fn store(&self) -> Self::Store;
    fn log(&self) -> Self::Log;
    /// Appends a record and gives its sequence.
    async fn append(&self, partition: Partition, body: &'static str) -> u64;
    /// Somebody else asks our consumer for a record.
    async fn steal(&self, consumer: &str);
    async fn delete_consumer(&self, consumer: &str);
    /// Purges EVENTS.
    async fn empty_events(&self);
    /// Somebody else publishes such records on EVENTS.
    async fn publish_foreign(&self, partition: Partition, count: u64);
    async fn dead_letters(&self) -> u64;
    async fn certain_at(&self, partition: Partition) -> Timestamp;
    async fn set_certain_at(&self, partition: Partition, at: Timestamp);
}

pub(super) struct Double(Process);

impl Double {
    pub(super) fn start() -> Self {
        let world = Shared::new(0, PARTITIONS, LEASE);
        let ledger = journal::Ledger {
            number: 1,
            units: Units::default(),
        };
        let name = LedgerName::parse(LEDGER).unwrap();
        world.lock().tables.ledgers.insert(name, ledger);
        Self(Process::new(world))
    }
}

impl Bench for Double {
    type Store = Store;
    type Log = Log;

    fn store(&self) -> Store {
        Store(Process::new(self.0.world.clone()))
    }

    fn log(&self) -> Log {
        Log {
            process: self.0.clone(),
            partitions: PARTITIONS,
            payload_bytes_max: 1 << 20,
        }
    }

    async fn append(&self, partition: Partition, body: &'static str) -> u64 {
        self.0.world.lock().append(Appended {
            partition,
            body: Bytes::from_static(body.as_bytes()),
            schema: None,
            id: None,
            reply_to: None,
        })
    }

    async fn steal(&self, consumer: &str) {
        let pulled = self.0.world.lock().commands.pull(consumer);
        drop(pulled.expect("the consumer is there"));
    }

    async fn delete_consumer(&self, consumer: &str) {
        self.0.world.lock().commands.delete_consumer(consumer);
    }

    async fn empty_events(&self) {
        self.0.world.lock().events.empty();
    }

    async fn publish_foreign(&self, partition: Partition, count: u64) {
        for _ in 0..count {
            self.0.world.lock().events.publish_foreign(partition);
        }
    }

    async fn dead_letters(&self) -> u64 {
        self.0.world.lock().events.dead_letters.len() as u64
    }

    async fn certain_at(&self, partition: Partition) -> Timestamp {
        self.0.world.lock().row(partition).certain_at
    }

    async fn set_certain_at(&self, partition: Partition, at: Timestamp) {
        self.0.world.lock().row(partition).certain_at = at;
    }
}

pub(super) struct Real(Servers);

impl Real {
    /// Second copies are recognised for a moment only, so that a test can outlast it; and Postgres refuses what the
    /// double refuses.
    pub(super) async fn start() -> Self {
        let servers = Servers::start(PARTITIONS).await;
        let jetstream = servers.jetstream();
        for name in [streams::EVENTS, streams::DLQ] {
            let stream = jetstream.get_stream(name).await.unwrap();
            let mut config = stream.cached_info().config.clone();
            config.duplicate_window = Duration::from_millis(500);
            jetstream.update_stream(config).await.unwrap();
        }
        servers
            .execute("ALTER TABLE transfers ADD CHECK (description <> 'poison')")
            .await;
        Self(servers)
    }
}

impl Bench for Real {
    type Store = Postgres;
    type Log = streams::Log;

    fn store(&self) -> Postgres {
        self.0.store(LEASE)
    }

    fn log(&self) -> streams::Log {
        self.0.log.clone()
    }

    async fn append(&self, partition: Partition, body: &'static str) -> u64 {
        self.0.append(partition.0, &[body.to_owned()]).await
    }

    async fn steal(&self, consumer: &str) {
        let consumer = self.0.consumer(consumer).await;
        let request = consumer
            .fetch()
            .max_messages(1)
            .expires(Duration::from_secs(5));
        let mut messages = request.messages().await.unwrap();
        tokio::spawn(async move { messages.next().await.is_some() });
    }

    async fn delete_consumer(&self, consumer: &str) {
        let stream = self
            .0
            .jetstream()
            .get_stream(streams::COMMANDS)
            .await
            .unwrap();
        stream.delete_consumer(consumer).await.unwrap();
    }

    async fn empty_events(&self) {
        let stream = self
            .0
            .jetstream()
            .get_stream(streams::EVENTS)
            .await
            .unwrap();
        stream.purge().await.unwrap();
    }

    async fn publish_foreign(&self, partition: Partition, count: u64) {
        let jetstream = self.0.jetstream();
        for _ in 0..count {
            let subject = format!("sluice.evt.{partition}");
            let sent = jetstream.publish(subject, "junk".into()).await.unwrap();
            sent.await.unwrap();
        }
    }

    async fn dead_letters(&self) -> u64 {
        let mut stream = self.0.jetstream().get_stream(streams::DLQ).await.unwrap();
        stream.info().await.unwrap().state.messages
    }

    async fn certain_at(&self, partition: Partition) -> Timestamp {
        let certain_at =
            sqlx::query_scalar("SELECT certain_at FROM partitions WHERE partition = $1")
                .bind(i16::try_from(partition.0).unwrap())
                .fetch_one(&self.0.admin);
        Timestamp::from_nanoseconds(certain_at.await.unwrap())
    }

    async fn set_certain_at(&self, partition: Partition, at: Timestamp) {
        sqlx::query("UPDATE partitions SET certain_at = $2 WHERE partition = $1")
            .bind(i16::try_from(partition.0).unwrap())
            .bind(at.nanoseconds())
            .execute(&self.0.admin)
            .await
            .unwrap();
    }
}
