//! A real Postgres through restarts and kills.
#![cfg(test)]

use std::fs;

use futures::future::join_all;
use sqlx::{Connection as _, PgConnection};
use stack::{DataDir, Error, Postgres, PostgresOptions, Report, testing};

async fn write(postgres: &Postgres, value: &str) {
    let mut connection = connect(&postgres.url("postgres")).await;
    sqlx::query("CREATE TABLE kept (value text)")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::query("INSERT INTO kept VALUES ($1)")
        .bind(value)
        .execute(&mut connection)
        .await
        .unwrap();
}

async fn read(postgres: &Postgres) -> String {
    let mut connection = connect(&postgres.url("postgres")).await;
    sqlx::query_scalar("SELECT value FROM kept")
        .fetch_one(&mut connection)
        .await
        .unwrap()
}

async fn connect(url: &str) -> PgConnection {
    PgConnection::connect(url).await.unwrap()
}

async fn start_in(folder: &std::path::Path) -> Result<Postgres, Error> {
    let binaries = tokio::task::spawn_blocking(|| testing::postgres_binaries().clone());
    let data = DataDir::kept(folder).unwrap();
    let options = PostgresOptions::new(binaries.await.unwrap(), data);
    Postgres::start(options, &Report::silent()).await
}

/// As root, Postgres is another user and has to pass through.
fn open_folder() -> tempfile::TempDir {
    use std::os::unix::fs::PermissionsExt as _;
    tempfile::Builder::new()
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .unwrap()
}

#[tokio::test]
async fn committed_rows_survive_restart_and_kill() {
    let postgres = testing::own_postgres().await;
    write(&postgres, "committed").await;
    let url = postgres.url("postgres");
    postgres.restart().await.unwrap();
    assert_eq!(read(&postgres).await, "committed");
    let session = connect(&url).await;
    postgres.kill().unwrap();
    assert_eq!(postgres.pid(), None);
    postgres.restart().await.unwrap();
    assert_eq!(postgres.url("postgres"), url);
    assert_eq!(read(&postgres).await, "committed");
    drop(session);
}

#[tokio::test]
async fn settings_keep_what_is_committed() {
    let mut connection = connect(&testing::fresh_database().await.url).await;
    for (setting, expected) in [
        ("fsync", "on"),
        ("synchronous_commit", "on"),
        ("full_page_writes", "on"),
        ("TimeZone", "UTC"),
        ("server_encoding", "UTF8"),
        ("jit", "off"),
        ("listen_addresses", "127.0.0.1"),
        ("password_encryption", "scram-sha-256"),
    ] {
        let value: String = sqlx::query_scalar("SELECT current_setting($1)")
            .bind(setting)
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(value, expected, "{setting}");
    }
}

#[tokio::test]
async fn strangers_are_not_let_in() {
    let url = testing::postgres().await.url("postgres");
    let (_, address) = url.split_once('@').unwrap();
    let refused = PgConnection::connect(&format!("postgres://sluice:wrong@{address}")).await;
    assert_eq!(
        refused
            .unwrap_err()
            .into_database_error()
            .unwrap()
            .code()
            .unwrap(),
        "28P01"
    );
}

#[tokio::test]
async fn an_interrupted_creation_is_done_again() {
    let folder = open_folder();
    fs::create_dir_all(folder.path().join("postgres/cluster.new/base")).unwrap();
    fs::write(folder.path().join("postgres/cluster.new/PG_VERSION"), "").unwrap();
    let postgres = start_in(folder.path()).await.unwrap();
    write(&postgres, "created").await;
    assert_eq!(read(&postgres).await, "created");
}

#[tokio::test]
async fn a_folder_whose_process_id_is_anothers_now_starts_again() {
    let folder = open_folder();
    let postgres = start_in(folder.path()).await.unwrap();
    write(&postgres, "kept").await;
    postgres.kill().unwrap();
    drop(postgres);
    let file = folder.path().join("postgres/cluster/postmaster.pid");
    let stale = fs::read_to_string(&file).unwrap();
    let (_, rest) = stale.split_once('\n').unwrap();
    fs::write(&file, format!("{}\n{rest}", std::process::id())).unwrap();
    let postgres = start_in(folder.path()).await.unwrap();
    assert_eq!(read(&postgres).await, "kept");
}

#[tokio::test]
async fn a_folder_of_another_postgres_is_refused() {
    let folder = open_folder();
    fs::create_dir_all(folder.path().join("postgres/cluster")).unwrap();
    fs::write(folder.path().join("postgres/cluster/PG_VERSION"), "9.6\n").unwrap();
    let refused = start_in(folder.path()).await.unwrap_err();
    assert!(matches!(refused, Error::OtherPostgres { .. }), "{refused}");
}

#[tokio::test]
async fn databases_are_apart_and_templates_are_prepared_once() {
    let copies = join_all((0..5).map(|_| {
        testing::fresh_database_from_template("numbers", async |url| {
            let mut connection = connect(&url).await;
            sqlx::query("CREATE TABLE numbers AS SELECT random() AS drawn")
                .execute(&mut connection)
                .await?;
            Ok::<_, sqlx::Error>(())
        })
    }))
    .await;
    let mut drawn: Vec<f64> = Vec::new();
    for copy in &copies {
        let mut connection = connect(&copy.url).await;
        drawn.push(
            sqlx::query_scalar("SELECT drawn FROM numbers")
                .fetch_one(&mut connection)
                .await
                .unwrap(),
        );
        sqlx::query("DROP TABLE numbers")
            .execute(&mut connection)
            .await
            .unwrap();
    }
    assert_eq!(drawn.len(), 5);
    assert!(
        drawn
            .iter()
            .all(|value| value.to_bits() == drawn[0].to_bits()),
        "{drawn:?}"
    );
}

#[tokio::test]
async fn creating_a_database_again_changes_nothing_and_odd_names_are_refused() {
    let postgres = testing::postgres().await;
    postgres.create_database("twice").await.unwrap();
    postgres.create_database("twice").await.unwrap();
    for name in ["", "Upper", "quo\"te", "x; DROP TABLE y"] {
        let refused = postgres.create_database(name).await.unwrap_err();
        assert!(matches!(refused, Error::DatabaseName(_)), "{name}");
    }
}
