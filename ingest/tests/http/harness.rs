//! One ingest with a log and a database of its own, and a small HTTP client.

use std::fmt::Display;
use std::net::SocketAddr;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::rt::TokioIo;
use ingest::{Config, Connections, Scope};
use metrics_exporter_prometheus::PrometheusBuilder;
use schemas::{LedgerName, Partition};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use stack::{Nats, testing};
use streams::{Log, Settings};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio_util::sync::{CancellationToken, DropGuard};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Api {
    pub(crate) address: SocketAddr,
    pub(crate) log: Log,
    pub(crate) pool: PgPool,
    pub(crate) database_url: String,
    pub(crate) nats: Nats,
    pub(crate) admin_key: String,
    pub(crate) write_key: String,
    pub(crate) read_key: String,
    stop: DropGuard,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Api {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(adjust: impl FnOnce(&mut Config)) -> Self {
        let database = testing::fresh_database_from_template("migrated", migrate).await;
        Self::start_on(&database.url, adjust).await
    }

    /// On a database that is migrated already.
    pub(crate) async fn start_on(database_url: &str, adjust: impl FnOnce(&mut Config)) -> Self {
        Self::start_with_nats(testing::nats().await, database_url, adjust).await
    }

    pub(crate) async fn start_with_nats(
        nats: Nats,
        database_url: &str,
        adjust: impl FnOnce(&mut Config),
    ) -> Self {
        let connection = streams::connect(&nats.url(), "test").await.unwrap();
        let log = Log::create(connection, &Settings::default()).await.unwrap();
        let pool = pool(database_url).await;
        let ledger = LedgerName::parse("demo").unwrap();
        let key = async |scope| {
            ingest::admin::create_key(&pool, &ledger, scope, None)
                .await
                .unwrap()
                .key
        };
        let (admin_key, write_key, read_key) = (
            key(Scope::Admin).await,
            key(Scope::Write).await,
            key(Scope::Read).await,
        );
        let mut config = Config {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            monitor_url: Some(nats.monitor_url()),
            ..Config::default()
        };
        adjust(&mut config);
        let connections = Connections {
            log: log.clone(),
            database: pool.clone(),
            metrics: PrometheusBuilder::new().build_recorder().handle(),
        };
        let stop = CancellationToken::new();
        let (ready, address) = oneshot::channel();
        tokio::spawn(ingest::run(config, connections, stop.clone(), ready));
        Self {
            address: address.await.unwrap(),
            log,
            pool,
            database_url: database_url.to_owned(),
            nats,
            admin_key,
            write_key,
            read_key,
            stop: stop.drop_guard(),
        }
    }

    /// Asks it to stop, and goes on talking to it.
    pub(crate) fn stopping(self) -> Self {
        let stop = self.stop.disarm();
        stop.cancel();
        Self {
            stop: stop.drop_guard(),
            ..self
        }
    }

    pub(crate) async fn get(&self, key: &str, path: impl Display) -> Answer {
        self.send(Method::GET, path, key, &[], Bytes::new()).await
    }

    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let body = Bytes::from(body.to_owned());
        self.send(Method::POST, path, &self.write_key, headers, body)
            .await
    }

    /// Asks for a transfer of 1 USD with the key `idempotency_key`.
    pub(crate) async fn transfer(
        &self,
        idempotency_key: &str,
        debit: &str,
        credit: &str,
    ) -> Answer {
        let body = transfer_body(debit, credit, "1.00").to_string();
        let headers = [("idempotency-key", idempotency_key)];
        self.post("/v1/transfers", &headers, &body).await
    }

    pub(crate) async fn send(
        &self,
        method: Method,
        path: impl Display,
        key: &str,
        headers: &[(&str, &str)],
        body: Bytes,
    ) -> Answer {
        let mut request = Request::builder()
            .method(method)
            .uri(path.to_string())
            .header("host", "test");
        if !key.is_empty() {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        exchange(self.address, request.body(Full::new(body)).unwrap()).await
    }

    /// The lines of every record on the log, record by record.
    pub(crate) async fn records(&self) -> Vec<Vec<Value>> {
        let mut records = Vec::new();
        for partition in 0..self.log.partitions() {
            let mut scan = self
                .log
                .scan_commands(Partition(partition), 0)
                .await
                .unwrap();
            while let Some(record) = scan.next().await.unwrap() {
                let lines = record.body.split(|byte| *byte == b'\n');
                records.push(
                    lines
                        .map(|line| serde_json::from_slice(line).unwrap())
                        .collect(),
                );
            }
        }
        records
    }

    pub(crate) async fn commands(&self) -> Vec<Value> {
        self.records().await.into_iter().flatten().collect()
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|_| panic!("no JSON: {}", String::from_utf8_lossy(&self.body)))
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// Status, code and pointer of a problem, which is checked to be a whole one.
    #[track_caller]
    pub(crate) fn problem(&self) -> (u16, String, String) {
        let problem = self.json();
        let text = |field: &str| problem[field].as_str().unwrap_or_default().to_owned();
        assert_eq!(
            self.header("content-type"),
            "application/problem+json",
            "{problem}"
        );
        assert_eq!(problem["status"], self.status.as_u16(), "{problem}");
        assert_eq!(text("request_id"), self.header("x-request-id"), "{problem}");
        assert_eq!(text("type"), format!("urn:sluice:problem:{}", text("code")));
        for field in ["title", "detail", "code", "request_id"] {
            assert!(!text(field).is_empty(), "{field} is missing in {problem}");
        }
        (self.status.as_u16(), text("code"), text("pointer"))
    }

    #[track_caller]
    pub(crate) fn expect_problem(&self, status: u16, code: &str) {
        let (found_status, found_code, _) = self.problem();
        assert_eq!(
            (found_status, found_code.as_str()),
            (status, code),
            "{}",
            self.json()
        );
    }

    #[track_caller]
    pub(crate) fn expect(&self, status: u16) -> Value {
        assert_eq!(
            self.status.as_u16(),
            status,
            "{}",
            String::from_utf8_lossy(&self.body)
        );
        self.json()
    }
}

/// One request on a connection of its own.
pub(crate) async fn exchange(address: SocketAddr, request: Request<Full<Bytes>>) -> Answer {
    let exchange = async {
        let stream = TcpStream::connect(address).await.unwrap();
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        let response = sender.send_request(request).await.unwrap();
        let (head, body) = response.into_parts();
        Answer {
            status: head.status,
            headers: head.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    };
    tokio::time::timeout(PATIENCE, exchange)
        .await
        .expect("an answer comes in time")
}

pub(crate) fn transfer_body(debit: &str, credit: &str, amount: &str) -> Value {
    json!({"debit_account": debit, "credit_account": credit, "amount": amount, "currency": "USD"})
}

pub(crate) async fn migrate(url: String) -> Result<(), String> {
    let pool = pool(&url).await;
    migrations::MIGRATIONS
        .run(&pool)
        .await
        .map_err(|error| error.to_string())?;
    pool.close().await;
    Ok(())
}

pub(crate) async fn pool(url: &str) -> PgPool {
    PgPoolOptions::new()
        .max_connections(4)
        .connect(url)
        .await
        .unwrap()
}

/// Asks until the answer is yes.
pub(crate) async fn eventually(what: &str, mut ask: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !ask().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let is_true = tokio::time::timeout(PATIENCE, asking).await.is_ok();
    assert!(is_true, "this did not come true in time: {what}");
}
