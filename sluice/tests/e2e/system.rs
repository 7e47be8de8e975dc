//! A system of separate processes on servers of its own.

use std::path::{Path, PathBuf};

use sqlx::{Connection, PgConnection, PgPool};
use stack::{DataDir, Nats, NatsOptions, Postgres, PostgresOptions, Report};
use tempfile::TempDir;

use crate::http::Client;
use crate::process::{Role, eventually, run, run_ok};
use crate::restored::copy_dir;

pub(crate) struct System {
    pub(crate) dir: TempDir,
    pub(crate) nats: Nats,
    /// `None`: the server that all tests share.
    pub(crate) postgres: Option<Postgres>,
    pub(crate) database_url: String,
    pub(crate) database: PgPool,
    pub(crate) ingest: Option<Role>,
    pub(crate) processors: Vec<Role>,
    pub(crate) api_url: String,
    pub(crate) write_key: String,
    pub(crate) admin_key: String,
    /// Outlives its server.
    postgres_dir: Option<TempDir>,
    next_role: u32,
}

impl System {
    /// Servers, database, streams and keys of the ledger `demo`; no roles yet.
    pub(crate) async fn bare() -> Self {
        let database = stack::testing::fresh_database().await;
        Self::on(None, database.url, &[]).await
    }

    /// As [`System::bare`] with a Postgres of its own, to be killed.
    pub(crate) async fn with_own_postgres() -> Self {
        let binaries = tokio::task::spawn_blocking(stack::testing::postgres_binaries)
            .await
            .unwrap();
        let own = TempDir::new().unwrap();
        let data = DataDir::kept(own.path()).unwrap();
        let postgres = Postgres::start(
            PostgresOptions::new(binaries.clone(), data),
            &Report::silent(),
        )
        .await
        .unwrap();
        postgres.create_database("sluice").await.unwrap();
        let url = postgres.url("sluice");
        let mut system = Self::on(Some(postgres), url, &[]).await;
        system.postgres_dir = Some(own);
        system
    }

    pub(crate) async fn on(
        postgres: Option<Postgres>,
        database_url: String,
        migrate: &[&str],
    ) -> Self {
        let mut system = Self::unmigrated(TempDir::new().unwrap(), postgres, database_url).await;
        let nats_url = system.nats.url();
        let database_url = &system.database_url;
        let mut args = vec!["migrate", "--nats", &nats_url, "--database", database_url];
        args.extend(migrate);
        run_ok(&args).await;
        system.admit().await;
        system
    }

    /// Servers on what the version before left behind; not migrated, no keys, no roles.
    pub(crate) async fn of_the_version_before() -> Self {
        let before = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/e2e/before");
        let dir = TempDir::new().unwrap();
        let files = dir.path().join("data/nats");
        std::fs::create_dir_all(&files).unwrap();
        copy_dir(&before.join("jetstream"), &files);
        let database = stack::testing::fresh_database().await;
        let dump = std::fs::read_to_string(before.join("postgres.sql")).unwrap();
        let mut connection = PgConnection::connect(&database.url).await.unwrap();
        sqlx::raw_sql(sqlx::AssertSqlSafe(dump))
            .execute(&mut connection)
            .await
            .unwrap();
        connection.close().await.unwrap();
        Self::unmigrated(dir, None, database.url).await
    }

    async fn unmigrated(dir: TempDir, postgres: Option<Postgres>, database_url: String) -> Self {
        let data = DataDir::kept(&dir.path().join("data")).unwrap();
        let nats = stack::testing::nats_with(|options| NatsOptions { data, ..options }).await;
        let database = PgPool::connect_lazy(&database_url).unwrap();
        Self {
            dir,
            nats,
            postgres,
            database_url,
            database,
            ingest: None,
            processors: Vec::new(),
            api_url: String::new(),
            write_key: String::new(),
            admin_key: String::new(),
            postgres_dir: None,
            next_role: 0,
        }
    }

    /// Makes keys of the ledger `demo`.
    pub(crate) async fn admit(&mut self) {
        self.write_key = create_key(&self.database_url, "demo", "write").await;
        self.admin_key = create_key(&self.database_url, "demo", "admin").await;
    }

    /// A system with one ingest and one processor.
    pub(crate) async fn start() -> Self {
        Self::bare().await.with_roles().await
    }

    /// As [`System::start`], on a log with so many partitions.
    pub(crate) async fn with_partitions(partitions: usize) -> Self {
        let database = stack::testing::fresh_database().await;
        let migrate = ["--partitions", &partitions.to_string()];
        let system = Self::on(None, database.url, &migrate).await;
        system.with_roles().await
    }

    async fn with_roles(mut self) -> Self {
        self.start_ingest("127.0.0.1:0").await;
        self.start_processor(&[]).await;
        self
    }

    pub(crate) async fn start_ingest(&mut self, listen: &str) {
        let name = self.name("ingest");
        let (nats, monitor) = (self.nats.url(), self.nats.monitor_url());
        let args = [
            "ingest",
            "--nats",
            &nats,
            "--nats-monitor",
            &monitor,
            "--database",
            &self.database_url,
            "--listen",
            listen,
        ];
        let (role, ready) = Role::start(self.dir.path(), &name, &args).await;
        self.api_url = ready["api_url"].as_str().unwrap().to_owned();
        self.ingest = Some(role);
    }

    pub(crate) async fn start_processor(&mut self, more: &[&str]) -> &mut Role {
        let name = self.name("process");
        let nats = self.nats.url();
        let mut args = vec!["process", "--nats", &nats, "--database", &self.database_url];
        args.extend(more);
        let (role, _) = Role::start(self.dir.path(), &name, &args).await;
        self.processors.push(role);
        self.processors.last_mut().unwrap()
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&self.api_url, &self.write_key)
    }

    pub(crate) fn admin(&self) -> Client {
        Client::new(&self.api_url, &self.admin_key)
    }

    /// Where the server keeps the log.
    pub(crate) fn log_files(&self) -> PathBuf {
        self.path().join("data/nats/jetstream")
    }

    /// Where a Postgres of the system's own keeps everything.
    pub(crate) fn database_files(&self) -> PathBuf {
        self.postgres_dir
            .as_ref()
            .unwrap()
            .path()
            .join("postgres/cluster")
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// `world` without a limit, and accounts with money.
    pub(crate) async fn open(&self, accounts: &[&str]) {
        let mut admin = self.admin();
        let world = admin
            .post(
                "/v1/accounts",
                &[],
                r#"{"id":"world","currency":"USD","min_balance":null}"#,
            )
            .await;
        assert!([200, 201].contains(&world.status), "{world:?}");
        for id in accounts {
            let opened = admin
                .post(
                    "/v1/accounts",
                    &[],
                    &format!(r#"{{"id":"{id}","currency":"USD"}}"#),
                )
                .await;
            assert!([200, 201].contains(&opened.status), "{opened:?}");
            let funded = admin
                .transfer(&format!("funds-{id}"), "world", id, "1000.00", true)
                .await;
            assert_eq!(funded.json()["status"], "posted", "{funded:?}");
        }
    }

    /// Waits until every record on the log is applied and published.
    pub(crate) async fn drained(&self) {
        let log = self.log().await;
        eventually("the log is applied and published", async || {
            let partitions = worker::operate::partitions(&self.database).await.ok()?;
            for shown in partitions {
                if log
                    .next_after(shown.partition, shown.applied.sequence())
                    .await
                    .ok()?
                    .is_some()
                {
                    return None;
                }
                let last = log.last_published(shown.partition).await.ok()?;
                let commit: Option<i64> =
                    sqlx::query_scalar("SELECT max(position) FROM commits WHERE partition = $1")
                        .bind(i16::try_from(shown.partition.0).unwrap())
                        .fetch_one(&self.database)
                        .await
                        .ok()?;
                if last.position().map(schemas::Position::number) != commit {
                    return None;
                }
            }
            Some(())
        })
        .await;
    }

    pub(crate) async fn log(&self) -> streams::Log {
        let connection = streams::connect(&self.nats.url(), "test").await.unwrap();
        streams::Log::open(connection).await.unwrap()
    }

    pub(crate) async fn nats_client(&self) -> async_nats::Client {
        let connection = streams::connect(&self.nats.url(), "test").await.unwrap();
        connection.client()
    }

    /// Transfers in Postgres, once it answers.
    pub(crate) async fn transfers(&self) -> u64 {
        let count: i64 = eventually("Postgres counts", async || {
            let count = sqlx::query_scalar("SELECT count(*) FROM transfers");
            count.fetch_one(&self.database).await.ok()
        })
        .await;
        u64::try_from(count).unwrap()
    }

    /// Waits until so many more transfers are applied.
    pub(crate) async fn progress(&self, transfers: u64) {
        let target = self.transfers().await + transfers;
        eventually("more transfers are applied", async || {
            (self.transfers().await >= target).then_some(())
        })
        .await;
    }

    /// `sluice verify` finds nothing.
    pub(crate) async fn verify(&self) {
        self.drained().await;
        let output = self.run_verify().await;
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stdout)
        );
    }

    pub(crate) async fn run_verify(&self) -> std::process::Output {
        run(&[
            "verify",
            "--nats",
            &self.nats.url(),
            "--database",
            &self.database_url,
        ])
        .await
    }

    pub(crate) async fn partitions(&self) -> serde_json::Value {
        let shown = run_ok(&["partitions", "--json", "--database", &self.database_url]).await;
        serde_json::from_str(&shown).unwrap()
    }

    fn name(&mut self, role: &str) -> String {
        self.next_role += 1;
        format!("{role}-{}", self.next_role)
    }
}

pub(crate) async fn create_key(database: &str, ledger: &str, scope: &str) -> String {
    let created = run_ok(&[
        "keys",
        "create",
        "--ledger",
        ledger,
        "--scope",
        scope,
        "--json",
        "--database",
        database,
    ])
    .await;
    let created: serde_json::Value = serde_json::from_str(&created).unwrap();
    created["key"].as_str().unwrap().to_owned()
}
