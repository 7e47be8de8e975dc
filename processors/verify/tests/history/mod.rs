//! A real history: commands of every kind, applied and published by the real worker.

use std::str::FromStr;
use std::time::{Duration, Instant};

use async_nats::HeaderMap;
use async_nats::jetstream;
use bytes::Bytes;
use schemas::{AccountId, Partition, partition_of};
use serde_json::{Value, json};
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgPool, Row};
use stack::Nats;
use streams::{CommandRecord, EVENTS, Log, RecordIds, Settings};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

pub(crate) const PARTITIONS: u16 = 4;
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct System {
    pub(crate) log: Log,
    pub(crate) jetstream: jetstream::Context,
    connection: streams::Connection,
    ids: RecordIds,
    nats: Nats,
}

impl System {
    pub(crate) async fn start() -> Self {
        let nats = stack::testing::nats().await;
        let connection = streams::connect(&nats.url(), "verify test").await.unwrap();
        let log = Log::create(connection.clone(), &settings()).await.unwrap();
        Self {
            log,
            jetstream: jetstream::new(connection.client()),
            connection,
            ids: RecordIds::random(),
            nats,
        }
    }

    /// With user and password.
    pub(crate) fn url(&self) -> String {
        self.nats.url()
    }

    /// Deletes a stream and creates it again, empty.
    pub(crate) async fn recreate(&self, stream: &str) {
        self.jetstream.delete_stream(stream).await.unwrap();
        Log::create(self.connection.clone(), &settings())
            .await
            .unwrap();
    }

    /// Appends one record on the partition of `account`.
    pub(crate) async fn append(&self, account: &str, body: impl Into<Bytes>) {
        let record = CommandRecord {
            partition: partition(account),
            id: self.ids.next(),
            body: body.into(),
            count: 1,
            reply_to: None,
        };
        self.log.append(&record).await.unwrap();
    }

    /// Publishes past the programs, as a person may.
    pub(crate) async fn publish(&self, subject: &str, headers: &HeaderMap, body: impl Into<Bytes>) {
        let mut own = HeaderMap::new();
        for (name, values) in headers.iter() {
            if !name.to_string().starts_with("Nats-") {
                own.insert(name.clone(), values[0].clone());
            }
        }
        let sent = self
            .jetstream
            .publish_with_headers(subject.to_owned(), own, body.into());
        sent.await.unwrap().await.unwrap();
    }

    /// Takes all but the last `keep` records of a subject away.
    pub(crate) async fn purge(&self, stream: &str, subject: &str, keep: u64) {
        let stream = self.jetstream.get_stream(stream).await.unwrap();
        let purged = stream.purge().filter(subject).keep(keep).await.unwrap();
        assert!(purged.purged > 0, "{subject} had nothing to take away");
    }

    /// The last event record of a partition.
    pub(crate) async fn last_event(&self, partition: Partition) -> (HeaderMap, Bytes) {
        let stream = self.jetstream.get_stream(EVENTS).await.unwrap();
        let subject = format!("sluice.evt.{partition}");
        let last = stream
            .get_last_raw_message_by_subject(&subject)
            .await
            .unwrap();
        (last.headers, last.payload)
    }

    /// Starts a worker on all partitions.
    pub(crate) async fn worker(&self, url: &str) -> Worker {
        let options = worker::session_options(PgConnectOptions::from_str(url).unwrap());
        let database = PgPoolOptions::new().connect_with(options).await.unwrap();
        let connections = worker::Connections {
            log: self.log.clone(),
            database,
        };
        let shutdown = CancellationToken::new();
        let (ready, started) = oneshot::channel();
        let role = worker::run(
            worker::Config::default(),
            connections,
            shutdown.clone(),
            ready,
        );
        let role = tokio::spawn(role);
        started.await.unwrap();
        Worker { shutdown, role }
    }

    /// Applies and publishes everything that is on the log.
    pub(crate) async fn work(&self, url: &str) {
        let worker = self.worker(url).await;
        let database = PgPool::connect(url).await.unwrap();
        for partition in (0..PARTITIONS).map(Partition) {
            let scan = self.log.scan_commands(partition, 0).await.unwrap();
            until_applied(&database, partition, scan.last_sequence()).await;
        }
        worker.stop().await;
    }

    /// A history with every kind of outcome, in four commits or so for each partition.
    pub(crate) async fn live(&self, url: &str) {
        let database = PgPool::connect(url).await.unwrap();
        migrations::MIGRATIONS.run(&database).await.unwrap();
        sqlx::raw_sql(
            "INSERT INTO ledgers (name) VALUES ('demo'), ('other');
             INSERT INTO units (ledger, code, exponent) VALUES (1, 'POINTS', 0)",
        )
        .execute(&database)
        .await
        .unwrap();
        for (ledger, id, currency) in [
            ("demo", "world", "USD"),
            ("demo", "alice", "USD"),
            ("demo", "bob", "USD"),
            ("demo", "carol", "USD"),
            ("demo", "dora", "EUR"),
            ("demo", "eve", "USD"),
            ("demo", "shop", "POINTS"),
            ("demo", "member", "POINTS"),
            ("other", "world", "JPY"),
            ("other", "alice", "JPY"),
        ] {
            self.append(id, open(ledger, id, currency)).await;
        }
        self.work(url).await;
        for (ledger, key, debit, credit, amount, currency) in [
            ("demo", "f1", "world", "alice", "100.00", "USD"),
            ("demo", "f2", "world", "bob", "50", "USD"),
            ("demo", "f3", "world", "carol", "20.00", "USD"),
            ("demo", "f4", "shop", "member", "7", "POINTS"),
            ("other", "f1", "world", "alice", "500", "JPY"),
        ] {
            let line = transfer(ledger, key, debit, credit, amount, currency);
            self.append(debit, line.to_string()).await;
        }
        self.append("eve", change("freeze_account", "eve")).await;
        self.work(url).await;
        self.everything_else().await;
        self.work(url).await;
        self.append("eve", change("unfreeze_account", "eve")).await;
        self.append("dora", change("close_account", "dora")).await;
        self.append("bob", usd("k1", "bob", "carol", "1.00").to_string())
            .await;
        self.append("alice", usd("k9", "alice", "bob", "1.00").to_string())
            .await;
        self.append("bob", usd("k10", "bob", "carol", "3.00").to_string())
            .await;
        self.work(url).await;
        database.close().await;
    }

    async fn everything_else(&self) {
        let mut lunch = usd("k1", "alice", "bob", "12.34");
        lunch["description"] = json!("lunch");
        let other_amount = usd("k1", "alice", "bob", "12.35");
        let unknown = usd("k2", "alice", "nobody", "1.00");
        let too_much = usd("k3", "alice", "bob", "1000000.00");
        let euros = usd("k4", "alice", "dora", "1.00");
        let frozen = usd("k6", "alice", "eve", "1.00");
        let same = usd("k11", "alice", "alice", "1.00");
        let body = format!(
            "{lunch}\n\n{lunch}\n{other_amount}\nnot json\n{unknown}\n{too_much}\n{euros}\n{frozen}\n{same}\n"
        );
        self.append("alice", body).await;
        let mut dinner = usd("k5", "bob", "carol", "5.00");
        dinner["metadata"] = json!({ "table": 4, "at": "noon" });
        self.append("bob", dinner.to_string()).await;
        self.append(
            "carol",
            format!("{:#}", usd("k8", "carol", "alice", "2.00")),
        )
        .await;
        self.append("carol", " \n\n ").await;
        self.append("alice", open("demo", "alice", "USD")).await;
        self.append("alice", open("demo", "alice", "EUR")).await;
        self.append("alice", limit("alice", "-10.00")).await;
        self.append("bob", usd("k7", "alice", "bob", "1.00").to_string())
            .await;
        let mut headers = HeaderMap::new();
        headers.insert("Sluice-Schema", "cmd.v9");
        self.publish("sluice.cmd.0", &headers, "from the future")
            .await;
    }
}

pub(crate) struct Worker {
    shutdown: CancellationToken,
    role: JoinHandle<Result<(), worker::Error>>,
}

impl Worker {
    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.role.await.unwrap().unwrap();
    }
}

/// Where the commands of an account are decided.
pub(crate) fn partition(account: &str) -> Partition {
    partition_of(&AccountId::parse(account).unwrap(), PARTITIONS)
}

async fn until_applied(database: &PgPool, partition: Partition, sequence: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let row = sqlx::query(
            "SELECT applied & ((1::bigint << 48) - 1) AS sequence, stopped FROM partitions WHERE partition = $1",
        )
        .bind(i16::try_from(partition.0).unwrap())
        .fetch_one(database)
        .await
        .unwrap();
        let applied: i64 = row.get("sequence");
        let stopped: Option<String> = row.get("stopped");
        assert_eq!(stopped, None, "partition {partition} stopped");
        if u64::try_from(applied).unwrap() >= sequence {
            return;
        }
        assert!(
            Instant::now() < deadline,
            "partition {partition} stands at {applied} before {sequence}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn settings() -> Settings {
    Settings {
        partitions: PARTITIONS,
        ..Settings::default()
    }
}

fn open(ledger: &str, id: &str, currency: &str) -> String {
    let mut line =
        json!({ "command": "open_account", "ledger": ledger, "id": id, "currency": currency });
    if ["world", "shop"].contains(&id) {
        line["min_balance"] = Value::Null;
    }
    line.to_string()
}

fn change(command: &str, id: &str) -> String {
    json!({ "command": command, "ledger": "demo", "id": id }).to_string()
}

fn limit(id: &str, min_balance: &str) -> String {
    json!({ "command": "change_account", "ledger": "demo", "id": id, "min_balance": min_balance })
        .to_string()
}

fn transfer(
    ledger: &str,
    key: &str,
    debit: &str,
    credit: &str,
    amount: &str,
    currency: &str,
) -> Value {
    json!({
        "ledger": ledger,
        "idempotency_key": key,
        "accepted_at": "2026-01-02T03:04:05.678901234Z",
        "debit_account": debit,
        "credit_account": credit,
        "amount": amount,
        "currency": currency,
    })
}

pub(crate) fn usd(key: &str, debit: &str, credit: &str, amount: &str) -> Value {
    transfer("demo", key, debit, credit, amount, "USD")
}
