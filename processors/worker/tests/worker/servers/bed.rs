//! A database and a log of one test's own, with what the tests ask of them beside the seam.

use std::time::Duration;

use async_nats::jetstream::{self, consumer::PullConsumer};
use schemas::{AccountId, partition_of};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use stack::testing::{self, Proxy};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use worker::simulation::Postgres;
use worker::{Config, Connections};

pub(crate) const LEDGER: &str = "sim";

/// Longest time that a condition is waited for.
const PATIENCE: Duration = Duration::from_mins(1);

pub(crate) struct Servers {
    /// With the sessions of a processor.
    pub(crate) pool: PgPool,
    /// With the sessions of an observer.
    pub(crate) admin: PgPool,
    pub(crate) log: streams::Log,
    pub(crate) client: async_nats::Client,
    /// Stopped when dropped.
    pub(crate) nats: stack::Nats,
}

impl Servers {
    pub(crate) async fn start(partitions: u16) -> Self {
        let database = testing::fresh_database_from_template("migrated", migrate).await;
        let options: PgConnectOptions = database.url.parse().unwrap();
        let nats = testing::nats_with(|options| stack::NatsOptions {
            lazy_sync: true,
            ..options
        })
        .await;
        let connection = streams::connect(&nats.url(), "test").await.unwrap();
        let client = connection.client();
        let settings = streams::Settings {
            partitions,
            ..streams::Settings::default()
        };
        let log = streams::Log::create(connection, &settings).await.unwrap();
        let admin = pool(options.clone()).await;
        sqlx::query("INSERT INTO ledgers (name) VALUES ($1)")
            .bind(LEDGER)
            .execute(&admin)
            .await
            .unwrap();
        sqlx::query("INSERT INTO partitions (partition) SELECT generate_series(0, $1 - 1)")
            .bind(i32::from(partitions))
            .execute(&admin)
            .await
            .unwrap();
        Self {
            pool: pool(worker::session_options(options)).await,
            admin,
            log,
            client,
            nats,
        }
    }

    /// With sessions and a memory of its own, as another process has it.
    pub(crate) fn store(&self, lease: Duration) -> Postgres {
        let config = Config {
            lease,
            ..Config::default()
        };
        Postgres::new(self.sessions(), &config)
    }

    /// Of a process that remembers nothing and locks what it reads.
    pub(crate) fn careful_store(&self) -> Postgres {
        let config = Config {
            accounts_remembered_bytes_max: 0,
            ..Config::default()
        };
        Postgres::new(self.sessions(), &config)
    }

    /// Sessions of another processor.
    pub(crate) fn sessions(&self) -> PgPool {
        let options = PgConnectOptions::clone(&self.pool.connect_options());
        let pool = PgPoolOptions::new().max_connections(12);
        pool.connect_lazy_with(options)
    }

    /// Starts the role; [`Role::stop`] gives its partitions back.
    pub(crate) fn process(&self, config: Config) -> Role {
        self.process_over(self.log.clone(), config)
    }

    /// The same, over a connection to the log of its own.
    pub(crate) fn process_over(&self, log: streams::Log, config: Config) -> Role {
        Role::start(log, self.pool.clone(), config)
    }

    /// Appends a record of these lines and gives its sequence.
    pub(crate) async fn append(&self, partition: u16, lines: &[String]) -> u64 {
        let record = lines.join("\n").into();
        let subject = format!("sluice.cmd.{partition}");
        let acknowledged = self.jetstream().publish(subject, record).await.unwrap();
        acknowledged.await.unwrap().sequence
    }

    /// With user and password.
    pub(crate) fn url(&self) -> String {
        self.nats.url()
    }

    /// A proxy in front of nats-server, and the log through it.
    pub(crate) async fn proxy(&self) -> (Proxy, streams::Log) {
        let url = self.url();
        let (login, address) = url.split_once('@').unwrap();
        let proxy = Proxy::start(address.to_owned()).await.unwrap();
        let url = format!("{login}@{}", proxy.address());
        let connection = streams::connect(&url, "through a proxy").await.unwrap();
        (proxy, streams::Log::open(connection).await.unwrap())
    }

    pub(crate) fn jetstream(&self) -> jetstream::Context {
        jetstream::new(self.client.clone())
    }

    /// A client of somebody else's, on our consumer.
    pub(crate) async fn consumer(&self, name: &str) -> PullConsumer {
        let stream = self
            .jetstream()
            .get_stream(streams::COMMANDS)
            .await
            .unwrap();
        stream.get_consumer(name).await.unwrap()
    }

    /// Waits until the partitions have applied these sequences.
    pub(crate) async fn applied(&self, sequences: &[(u16, u64)]) {
        for (partition, sequence) in sequences {
            let sql = "SELECT applied >= $2 FROM partitions WHERE partition = $1";
            until(async || {
                sqlx::query_scalar(sql)
                    .bind(i16::try_from(*partition).unwrap())
                    .bind(i64::try_from(*sequence).unwrap())
                    .fetch_one(&self.admin)
                    .await
                    .unwrap()
            })
            .await;
        }
    }

    pub(crate) async fn number(&self, sql: &'static str) -> i64 {
        sqlx::query_scalar(sql)
            .fetch_one(&self.admin)
            .await
            .unwrap()
    }

    pub(crate) async fn execute(&self, sql: &'static str) {
        sqlx::raw_sql(sql).execute(&self.admin).await.unwrap();
    }
}

/// The running role.
pub(crate) struct Role {
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), worker::Error>>,
}

impl Role {
    pub(crate) fn start(log: streams::Log, database: PgPool, config: Config) -> Self {
        let connections = Connections { log, database };
        let shutdown = CancellationToken::new();
        let (ready, _) = oneshot::channel();
        let role = worker::run(config, connections, shutdown.clone(), ready);
        Self {
            shutdown,
            running: tokio::spawn(role),
        }
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

/// Waits for a condition.
pub(crate) async fn until(mut holds: impl AsyncFnMut() -> bool) {
    let started = Instant::now();
    while !holds().await {
        assert!(started.elapsed() < PATIENCE, "waited too long");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

pub(crate) fn open(account: &str, unlimited: bool) -> String {
    let limit = if unlimited {
        r#","min_balance":null"#
    } else {
        ""
    };
    format!(
        r#"{{"command":"open_account","ledger":"{LEDGER}","id":"{account}","currency":"JPY"{limit}}}"#
    )
}

pub(crate) fn transfer(key: &str, debit: &str, credit: &str, amount: i64) -> String {
    described(key, debit, credit, amount, "")
}

pub(crate) fn described(key: &str, debit: &str, credit: &str, amount: i64, text: &str) -> String {
    let text = if text.is_empty() {
        String::new()
    } else {
        format!(r#","description":"{text}""#)
    };
    format!(
        r#"{{"ledger":"{LEDGER}","idempotency_key":"{key}","debit_account":"{debit}","credit_account":"{credit}","amount":"{amount}","currency":"JPY"{text}}}"#
    )
}

async fn migrate(url: String) -> Result<(), String> {
    let pool = PgPool::connect(&url)
        .await
        .map_err(|error| error.to_string())?;
    let migrated = migrations::MIGRATIONS.run(&pool).await;
    pool.close().await;
    migrated.map_err(|error| error.to_string())
}

async fn pool(options: PgConnectOptions) -> PgPool {
    PgPoolOptions::new()
        .max_connections(12)
        .connect_with(options)
        .await
        .unwrap()
}

/// Two accounts of this partition, of two.
pub(crate) fn accounts_of(partition: u16) -> Vec<String> {
    (0..)
        .map(|number| format!("account-{number}"))
        .filter(|id| partition_of(&AccountId::parse(id).unwrap(), 2).0 == partition)
        .take(2)
        .collect()
}
