//! Real servers for tests: one Postgres for each test binary, with a database for each test; a nats-server for each
//! test that wants one.
//!
//! **Invariant:** nothing here belongs to the async runtime of the test that came first, and nothing stays behind when
//! the test process ends, however it ends.
//!
//! `SLUICE_NATS_SERVER` and `SLUICE_POSTGRES_BIN` name the servers to use; `SLUICE_INSTALL_SERVERS=1` hides the
//! machine's own. Missing ones are installed into `.sluice` of the workspace.
//!
//! # Panics
//! Everything here panics when it cannot deliver: a test has no use for the error.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Display;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::sync::OnceCell;

use crate::data::DataDir;
use crate::error::{Error, Result, blocking, chain};
use crate::find::{self, NatsServer, PostgresBinaries};
use crate::nats::{ClusterNode, Nats, NatsOptions};
use crate::postgres::{Postgres, PostgresOptions};
pub use crate::proxy::Proxy;
pub use crate::raw_nats::RawNats;
use crate::report::Report;
use crate::{ports, secret};

const SHARED_BUFFERS_MEBIBYTES: u32 = 128;

type Templates = Mutex<BTreeMap<String, Arc<OnceCell<String>>>>;

/// A database of this test's own on the shared server.
#[derive(Debug, Clone)]
pub struct TestDatabase {
    pub name: String,
    /// With user and password.
    pub url: String,
}

/// The server that all tests of this binary share; nobody may stop it.
pub async fn postgres() -> &'static Postgres {
    static SHARED: OnceLock<Postgres> = OnceLock::new();
    let started = blocking("starting Postgres", || {
        Ok(SHARED.get_or_init(start_postgres))
    })
    .await;
    delivered(started)
}

/// A server of this test's own, to kill and restart; removed when dropped.
pub async fn own_postgres() -> Postgres {
    delivered(blocking("starting Postgres", || Ok(start_postgres())).await)
}

/// An empty database.
pub async fn fresh_database() -> TestDatabase {
    let server = postgres().await;
    let name = unique_name("test");
    delivered(server.create_database(&name).await);
    TestDatabase {
        url: server.url(&name),
        name,
    }
}

/// A copy of a database that `prepare` made once in this test binary; `prepare` gets its URL. Use one `key` for each
/// `prepare`.
pub async fn fresh_database_from_template<Prepared, Problem>(
    key: &str,
    prepare: impl FnOnce(String) -> Prepared,
) -> TestDatabase
where
    Prepared: Future<Output = std::result::Result<(), Problem>>,
    Problem: Display,
{
    static TEMPLATES: Templates = Mutex::new(BTreeMap::new());
    let cell = {
        let mut templates = TEMPLATES.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(templates.entry(key.to_owned()).or_default())
    };
    let server = postgres().await;
    let template = cell
        .get_or_try_init(async || {
            let template = fresh_database().await;
            match prepare(template.url).await {
                Ok(()) => Ok(template.name),
                Err(problem) => Err(Error::Template(problem.to_string())),
            }
        })
        .await;
    let template = delivered(template);
    let name = unique_name("test");
    delivered(server.create_database_from(&name, template).await);
    TestDatabase {
        url: server.url(&name),
        name,
    }
}

/// A server of this test's own; removed when dropped.
pub async fn nats() -> Nats {
    nats_with(|options| options).await
}

/// As [`nats`], with options of this test's own.
pub async fn nats_with(adjust: impl FnOnce(NatsOptions) -> NatsOptions + Send + 'static) -> Nats {
    let started = blocking("starting nats-server", || {
        let options = NatsOptions::new(nats_server().program.clone(), DataDir::temporary()?);
        Nats::start_and_wait(&adjust(options), &Report::silent())
    });
    delivered(started.await)
}

/// Several servers that share their streams; `adjust` knows them by their number.
pub async fn nats_cluster(
    size: usize,
    adjust: impl Fn(usize, NatsOptions) -> NatsOptions + Send + Sync + 'static,
) -> Vec<Nats> {
    let started = blocking("starting nats-servers", move || {
        let password = secret::random_hex()?;
        let ports = (0..size)
            .map(|_| ports::resolve(0))
            .collect::<Result<Vec<u16>>>()?;
        let start = |number: usize| {
            let cluster = ClusterNode {
                port: ports[number],
                routes: ports.clone(),
                password: password.clone(),
            };
            let options = NatsOptions {
                cluster: Some(cluster),
                ..NatsOptions::new(nats_server().program.clone(), DataDir::temporary()?)
            };
            Nats::start_and_wait(&adjust(number, options), &Report::silent())
        };
        // None is ready before most of the others are there.
        std::thread::scope(|scope| {
            let starting: Vec<_> = (0..size)
                .map(|number| {
                    scope.spawn({
                        let start = &start;
                        move || start(number)
                    })
                })
                .collect();
            starting
                .into_iter()
                .map(|started| started.join().expect("starting a server does not panic"))
                .collect()
        })
    });
    delivered(started.await)
}

/// The nats-server that tests use. Blocks; minutes if it has to be installed.
pub fn nats_server() -> &'static NatsServer {
    static FOUND: OnceLock<NatsServer> = OnceLock::new();
    FOUND.get_or_init(|| delivered(find::nats_server(&find_options(), &progress())))
}

/// The Postgres that tests use. Blocks; minutes if it has to be installed.
pub fn postgres_binaries() -> &'static PostgresBinaries {
    static FOUND: OnceLock<PostgresBinaries> = OnceLock::new();
    FOUND.get_or_init(|| delivered(find::postgres(&find_options(), &progress())))
}

/// Where tests look for servers, for tests that start a whole stack.
pub fn find_options() -> find::Options {
    find::Options {
        nats_server: env::var_os("SLUICE_NATS_SERVER").map(PathBuf::from),
        postgres_bin: env::var_os("SLUICE_POSTGRES_BIN").map(PathBuf::from),
        install_dir: workspace().join(".sluice"),
        install_servers: env::var_os("SLUICE_INSTALL_SERVERS").is_some_and(|value| value == "1"),
        ..find::Options::default()
    }
}

fn start_postgres() -> Postgres {
    let start = || {
        let options = PostgresOptions {
            shared_buffers_mebibytes: SHARED_BUFFERS_MEBIBYTES,
            ..PostgresOptions::new(postgres_binaries().clone(), DataDir::temporary()?)
        };
        Postgres::start_and_wait(&options, &Report::silent())
    };
    delivered(start())
}

/// Tests run in their package's folder; the workspace is the nearest one above with a lock file.
fn workspace() -> PathBuf {
    let here = env::current_dir().unwrap_or_default();
    let found = here
        .ancestors()
        .find(|folder| folder.join("Cargo.lock").exists());
    found.unwrap_or(&here).to_owned()
}

/// Cargo shows what a test binary writes to stderr only for tests that fail, unless it is written past the capture.
fn progress() -> Report {
    Report::new(|line| {
        use std::io::Write as _;
        if let Err(error) = writeln!(std::io::stderr(), "{line}") {
            tracing::warn!(%error, line, "stderr is closed");
        }
    })
}

fn unique_name(kind: &str) -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    format!("{kind}_{}", LAST.fetch_add(1, Ordering::Relaxed))
}

#[track_caller]
fn delivered<T>(result: Result<T>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{}", chain(&error)),
    }
}
