//! Servers that go away and come back while ingest stays.

use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::Method;
use ingest::{Config, Connections};
use metrics_exporter_prometheus::PrometheusBuilder;
use serde_json::json;
use stack::{Postgres, testing};
use streams::{Log, Settings};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use crate::harness::{Api, eventually, migrate, transfer_body};

/// Far below the time that an append is tried again.
const AT_ONCE: Duration = Duration::from_secs(2);

async fn with_own_postgres() -> (Postgres, Api) {
    let postgres = testing::own_postgres().await;
    let url = postgres.url("postgres");
    migrate(url.clone()).await.unwrap();
    let api = Api::start_on(&url, |config| {
        config.limits.database_time_max = Duration::from_millis(500);
        config.limits.key_refresh = Duration::from_millis(100);
    })
    .await;
    (postgres, api)
}

#[tokio::test]
async fn without_the_log_transfers_are_refused_at_once_until_it_is_back() {
    let api = Api::start().await;
    api.transfer("k1", "alice", "bob").await.expect(202);
    api.nats.kill().unwrap();
    eventually("the connection is known to be lost", async || {
        !api.log.is_connected()
    })
    .await;
    let started = Instant::now();
    let refused = api.transfer("k2", "alice", "bob").await;
    refused.expect_problem(503, "log_unavailable");
    assert!(!refused.header("retry-after").is_empty());
    let refused = api.post("/v1/accounts", &[], r#"{"currency":"USD"}"#).await;
    refused.expect_problem(503, "log_unavailable");
    let readiness = api.get("", "/readyz").await;
    readiness.expect_problem(503, "log_unavailable");
    assert!(started.elapsed() < AT_ONCE, "{:?}", started.elapsed());
    // What needs only Postgres goes on.
    api.get(&api.read_key, "/v1/accounts").await.expect(200);
    assert_eq!(api.get("", "/healthz").await.status, 200);

    api.nats.restart().await.unwrap();
    eventually("transfers are accepted again", async || {
        api.transfer("k2", "alice", "bob").await.status == 202
    })
    .await;
    let keys: Vec<_> = api
        .commands()
        .await
        .iter()
        .map(|command| command["idempotency_key"].clone())
        .collect();
    assert_eq!(keys, ["k1", "k2"]);
}

#[tokio::test]
async fn requests_under_way_when_the_log_dies_all_end_and_none_is_doubled() {
    let api = Api::start().await;
    let keys: Vec<String> = (0..300).map(|number| format!("k{number}")).collect();
    let load = async {
        futures::future::join_all(keys.iter().map(|key| api.transfer(key, "alice", "bob"))).await
    };
    let fault = async {
        eventually("something is on the log", async || {
            !api.commands().await.is_empty()
        })
        .await;
        api.nats.kill().unwrap();
        api.nats.restart().await.unwrap();
    };
    let (answers, ()) = tokio::join!(load, fault);
    let on_log: Vec<String> = api
        .commands()
        .await
        .iter()
        .map(|command| command["idempotency_key"].as_str().unwrap().to_owned())
        .collect();
    for (key, answer) in keys.iter().zip(&answers) {
        let copies = on_log.iter().filter(|logged| *logged == key).count();
        match answer.status.as_u16() {
            202 => assert_eq!(copies, 1, "{key}"),
            503 => assert!(copies <= 1, "{key}"),
            other => panic!("{key} was answered {other}"),
        }
    }
}

#[tokio::test]
async fn a_full_log_says_so_and_takes_more_once_there_is_room() {
    let api = Api::start().await;
    let limit = async |commands_bytes_max| {
        let client = streams::connect(&api.nats.url(), "operator").await.unwrap();
        let settings = Settings {
            commands_bytes_max: Some(commands_bytes_max),
            ..Settings::default()
        };
        Log::create(client, &settings).await.unwrap();
    };
    limit(1024).await;
    let mut number = 0;
    eventually("the log is full", async || {
        number += 1;
        let answer = api.transfer(&format!("k{number}"), "alice", "bob").await;
        if answer.status == 503 {
            answer.expect_problem(503, "log_full");
        }
        answer.status == 503
    })
    .await;
    limit(1 << 20).await;
    api.transfer("k", "alice", "bob").await.expect(202);
}

#[tokio::test]
async fn a_full_queue_says_so() {
    let api = Api::start_with(|config| {
        config.limits.queue_commands_max = 4;
        config.limits.record_commands_max = 1;
        config.limits.records_in_flight_max = 1;
    })
    .await;
    let keys: Vec<String> = (0..200).map(|number| format!("k{number}")).collect();
    let load = keys.iter().map(|key| api.transfer(key, "alice", "bob"));
    let answers = futures::future::join_all(load).await;
    let full: Vec<_> = answers
        .iter()
        .filter(|answer| answer.status == 503)
        .collect();
    assert!(!full.is_empty());
    for answer in &full {
        answer.expect_problem(503, "queue_full");
        assert!(!answer.header("retry-after").is_empty());
    }
    let accepted = answers.len() - full.len();
    assert_eq!(api.commands().await.len(), accepted);
}

#[tokio::test]
async fn without_postgres_transfers_are_accepted_and_reads_come_back() {
    let (postgres, api) = with_own_postgres().await;
    api.transfer("k1", "alice", "bob").await.expect(202);
    postgres.kill().unwrap();
    api.transfer("k2", "alice", "bob").await.expect(202);
    let replay = api.transfer("k2", "alice", "bob").await;
    assert_eq!(replay.expect(202)["status"], "pending");
    assert_eq!(replay.header("idempotent-replayed"), "true");
    // Another request under that key: nobody can say yet, so the processor decides.
    api.transfer("k2", "alice", "carol").await.expect(202);
    for path in [
        "/v1/accounts",
        "/v1/accounts/alice",
        "/v1/accounts/alice/balance",
        "/v1/transfers",
        "/v1/events",
        "/v1/keys",
    ] {
        let answer = api.get(&api.admin_key, path).await;
        answer.expect_problem(503, "database_unavailable");
    }
    let ready = api.get("", "/readyz").await.expect(200);
    assert_eq!(ready["degraded"], serde_json::json!(["postgres"]));
    let unknown = api.get("sk_unknown_0", "/v1/accounts").await;
    unknown.expect_problem(503, "keys_unavailable");

    postgres.restart().await.unwrap();
    eventually("reads work again", async || {
        api.get(&api.read_key, "/v1/accounts").await.status == 200
    })
    .await;
    eventually("unknown keys are unknown again", async || {
        api.get("sk_unknown_0", "/v1/accounts").await.status == 401
    })
    .await;
    let ready = api.get("", "/readyz").await.expect(200);
    assert_eq!(ready["degraded"], serde_json::json!([]));
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_only_its_own_answer() {
    let api = Api::start_with(|config| {
        config.limits.database_time_max = Duration::from_secs(1);
    })
    .await;
    let other = crate::harness::pool(&api.database_url).await;
    let mut lock = other.begin().await.unwrap();
    sqlx::query("LOCK TABLE transfers IN ACCESS EXCLUSIVE MODE")
        .execute(&mut *lock)
        .await
        .unwrap();
    let slow = api.get(&api.read_key, "/v1/transfers").await;
    slow.expect_problem(503, "database_unavailable");
    // Neither is the database away, nor do others get less time for that.
    let unknown = api.get("sk_unknown_0", "/v1/accounts").await;
    unknown.expect_problem(401, "key_unknown");
    let ready = api.get("", "/readyz").await.expect(200);
    assert_eq!(ready["degraded"], serde_json::json!([]));
    lock.rollback().await.unwrap();
    api.get(&api.read_key, "/v1/transfers").await.expect(200);
}

#[tokio::test]
async fn known_keys_expire_when_postgres_stays_away() {
    let postgres = testing::own_postgres().await;
    let url = postgres.url("postgres");
    migrate(url.clone()).await.unwrap();
    let api = Api::start_on(&url, |config| {
        config.limits.key_grace = Duration::from_secs(1);
        config.limits.key_refresh = Duration::from_millis(100);
    })
    .await;
    postgres.kill().unwrap();
    eventually("the keys are too old", async || {
        let answer = api.transfer("k", "alice", "bob").await;
        answer.status == 503 && answer.problem().1 == "keys_unavailable"
    })
    .await;
}

#[tokio::test]
async fn a_log_that_syncs_lazily_is_refused_or_confessed() {
    let nats = testing::nats_with(|mut options| {
        options.lazy_sync = true;
        options
    })
    .await;
    let client = streams::connect(&nats.url(), "test").await.unwrap();
    let log = Log::create(client, &Settings::default()).await.unwrap();
    let database = testing::fresh_database_from_template("migrated", migrate).await;
    let run = async |monitor_url: Option<String>| {
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            monitor_url,
            ..Config::default()
        };
        let connections = Connections {
            log: log.clone(),
            database: crate::harness::pool(&database.url).await,
            metrics: PrometheusBuilder::new().build_recorder().handle(),
        };
        let (ready, _) = oneshot::channel();
        ingest::run(config, connections, CancellationToken::new(), ready).await
    };
    let error = run(Some(nats.monitor_url())).await.unwrap_err();
    assert!(matches!(error, ingest::Error::SyncsLazily));
    let error = run(None).await.unwrap_err();
    assert!(matches!(error, ingest::Error::MonitorUnknown));

    let api = Api::start_with(|config| {
        config.monitor_url = Some(nats.monitor_url());
        config.allow_lazy_sync = true;
    })
    .await;
    let answer = api.transfer("k", "alice", "bob").await;
    answer.expect(202);
    assert_eq!(answer.header("sluice-durability"), "lazy");
}

#[tokio::test]
async fn nothing_is_accepted_from_another_server_until_it_is_known_to_sync_always() {
    let folder = tempfile::tempdir().unwrap();
    let server = async |ports: [u16; 2], lazy_sync: bool| {
        let data = stack::DataDir::kept(folder.path()).unwrap();
        testing::nats_with(move |options| stack::NatsOptions {
            data,
            port: ports[0],
            monitor_port: ports[1],
            lazy_sync,
            ..options
        })
        .await
    };
    let port = |url: &str| -> u16 { url.rsplit_once(':').unwrap().1.parse().unwrap() };
    let database = testing::fresh_database_from_template("migrated", migrate).await;
    let first = server([0, 0], false).await;
    let ports = [port(&first.url()), port(&first.monitor_url())];
    let mut api = Api::start_with_nats(first, &database.url, |_| {}).await;
    api.transfer("k1", "alice", "bob").await.expect(202);

    for (number, lazily) in [(2, true), (3, false)] {
        api.nats.stop().await.unwrap();
        api.nats = testing::nats().await;
        api.nats = server(ports, lazily).await;
        let key = format!("k{number}");
        eventually("the server is known", async || {
            let answer = api.transfer(&key, "alice", "bob").await;
            if !lazily {
                return answer.status == 202;
            }
            assert_eq!(answer.status, 503, "{}", answer.json());
            answer.problem().1 == "log_not_durable"
        })
        .await;
        if lazily {
            // Nothing changes however often it is asked.
            for _ in 0..20 {
                let answer = api.transfer(&key, "alice", "bob").await;
                answer.expect_problem(503, "log_not_durable");
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

#[tokio::test]
async fn batches_above_the_limit_come_back_later() {
    let api = Api::start_with(|config| config.limits.batches_max = 0).await;
    let answer = api.post("/v1/transfers/batch", &[], "{}").await;
    answer.expect_problem(503, "overloaded");
    let headers = [("idempotency-key", "k")];
    let body = Bytes::from_static(b"{}");
    let answer = api
        .send(
            Method::POST,
            "/v1/transfers",
            &api.write_key,
            &headers,
            body,
        )
        .await;
    answer.expect_problem(400, "missing_field");
}

#[tokio::test]
async fn a_batch_that_waits_for_its_outcomes_takes_nobodys_turn() {
    let api = Api::start_with(|config| config.limits.batches_max = 1).await;
    let line = |key: &str| {
        let mut line = transfer_body("alice", "bob", "1.00");
        line["idempotency_key"] = json!(key);
        line.to_string()
    };
    let headers = [("prefer", "wait=30")];
    let (first, second) = (line("k1"), line("k2"));
    let waits = api.post("/v1/transfers/batch", &headers, &first);
    let meanwhile = async {
        eventually("the first batch is on the log", async || {
            api.commands().await.len() == 1
        })
        .await;
        eventually("the second has its turn", async || {
            let answer = api.post("/v1/transfers/batch", &[], &second).await;
            answer.status == 200
        })
        .await;
    };
    tokio::select! {
        answer = waits => panic!("nobody decides, and yet: {answer:?}"),
        () = meanwhile => {}
    }
}
