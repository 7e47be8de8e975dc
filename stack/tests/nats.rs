//! A real nats-server through restarts and kills.
#![cfg(test)]

use async_nats::jetstream::{self, stream};
use stack::{DataDir, Error, Nats, NatsOptions, Report, testing};

async fn jetstream(nats: &Nats) -> jetstream::Context {
    jetstream::new(connect(&nats.url()).await.unwrap())
}

/// The client leaves out what the URL says about the user.
async fn connect(url: &str) -> Result<async_nats::Client, async_nats::ConnectError> {
    let address: async_nats::ServerAddr = url.parse().unwrap();
    let (user, password) = (address.username().unwrap(), address.password().unwrap());
    async_nats::ConnectOptions::with_user_and_password(user.into(), password.into())
        .connect(address)
        .await
}

async fn append(nats: &Nats, record: &'static str) {
    let log = jetstream(nats).await;
    let config = stream::Config {
        name: "KEPT".into(),
        subjects: vec!["kept".into()],
        ..stream::Config::default()
    };
    log.get_or_create_stream(config).await.unwrap();
    log.publish("kept", record.into())
        .await
        .unwrap()
        .await
        .unwrap();
}

async fn last_record(nats: &Nats) -> String {
    let stream = jetstream(nats).await.get_stream("KEPT").await.unwrap();
    let record = stream
        .get_last_raw_message_by_subject("kept")
        .await
        .unwrap();
    String::from_utf8(record.payload.to_vec()).unwrap()
}

#[tokio::test]
async fn a_restart_keeps_url_and_records() {
    let nats = testing::nats().await;
    append(&nats, "before").await;
    let (url, pid) = (nats.url(), nats.pid());
    nats.restart().await.unwrap();
    assert_eq!(nats.url(), url);
    assert_ne!(nats.pid(), pid);
    assert_eq!(last_record(&nats).await, "before");
}

#[tokio::test]
async fn an_acknowledged_record_survives_a_kill() {
    let nats = testing::nats().await;
    append(&nats, "acknowledged").await;
    nats.kill().unwrap();
    assert_eq!(nats.pid(), None);
    assert!(connect(&nats.url()).await.is_err());
    nats.restart().await.unwrap();
    assert_eq!(last_record(&nats).await, "acknowledged");
}

#[tokio::test]
async fn strangers_are_not_let_in() {
    let nats = testing::nats().await;
    let without_password = nats.url().split_once('@').unwrap().1.to_owned();
    assert!(async_nats::connect(without_password).await.is_err());
}

#[tokio::test]
async fn acknowledgements_wait_for_the_disk_unless_asked_otherwise() {
    for lazy_sync in [false, true] {
        let nats = testing::nats_with(move |options| NatsOptions {
            lazy_sync,
            ..options
        })
        .await;
        let url = format!("{}/varz", nats.monitor_url());
        let varz = tokio::task::spawn_blocking(move || {
            ureq::get(&url)
                .call()
                .unwrap()
                .into_body()
                .read_to_string()
                .unwrap()
        });
        let varz: serde_json::Value = serde_json::from_str(&varz.await.unwrap()).unwrap();
        let always = varz["jetstream"]["config"]["sync_always"] == true;
        assert_eq!(always, !lazy_sync, "{}", varz["jetstream"]["config"]);
        assert_eq!(varz["max_payload"], 8 << 20);
    }
}

#[tokio::test]
async fn a_kept_folder_keeps_its_password_and_a_temporary_one_goes() {
    let folder = tempfile::tempdir().unwrap();
    let start = || async {
        let program = tokio::task::spawn_blocking(|| testing::nats_server().program.clone());
        let data = DataDir::kept(folder.path()).unwrap();
        let options = NatsOptions::new(program.await.unwrap(), data);
        Nats::start(options, &Report::silent()).await.unwrap()
    };
    let password = |nats: &Nats| nats.url().split_once('@').unwrap().0.to_owned();
    let first = start().await;
    let first_password = password(&first);
    append(&first, "kept").await;
    drop(first);
    let second = start().await;
    assert_eq!(password(&second), first_password);
    assert_eq!(last_record(&second).await, "kept");

    let temporary = DataDir::temporary().unwrap();
    let path = temporary.path().to_owned();
    let data = temporary.clone();
    let nats = testing::nats_with(move |options| NatsOptions { data, ..options }).await;
    drop(temporary);
    assert!(path.exists());
    drop(nats);
    assert!(!path.exists());
}

#[tokio::test]
async fn a_server_that_cannot_start_shows_what_it_logged() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("nats")).unwrap();
    std::fs::write(folder.path().join("nats/jetstream"), "not a folder").unwrap();
    let program = tokio::task::spawn_blocking(|| testing::nats_server().program.clone());
    let data = DataDir::kept(folder.path()).unwrap();
    let options = NatsOptions::new(program.await.unwrap(), data);
    match Nats::start(options, &Report::silent()).await {
        Err(Error::NotStarted { log, .. }) => assert!(log.contains("JetStream"), "{log}"),
        other => panic!("{other:?}"),
    }
}
