//! Three servers that share their streams.
#![cfg(test)]

use std::time::Duration;

use bytes::Bytes;
use schemas::Partition;
use stack::Nats;
use stack::testing::{Proxy, nats_cluster};
use streams::{AppendError, COMMANDS, CommandRecord, Durability, Error, Log, RecordIds, Settings};

const PARTITION: Partition = Partition(0);
const PATIENCE: Duration = Duration::from_secs(20);

fn settings(replicas: usize) -> Settings {
    Settings {
        partitions: 1,
        replicas,
        ..Settings::default()
    }
}

fn record(ids: &RecordIds) -> CommandRecord {
    CommandRecord {
        partition: PARTITION,
        id: ids.next(),
        body: Bytes::from_static(b"{}"),
        count: 1,
        reply_to: None,
    }
}

fn monitors(nodes: &[Nats]) -> String {
    let urls: Vec<String> = nodes.iter().map(Nats::monitor_url).collect();
    urls.join(",")
}

/// Asks again and again, as ingest does, until an append is acknowledged.
async fn goes_on(log: &Log, monitors: &str) {
    let ids = RecordIds::random();
    let appended = async {
        loop {
            let found = log.check_durability(monitors).await;
            let Err(error) = log.append(&record(&ids)).await else {
                return;
            };
            eprintln!("not yet: {error}; {found:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let appended = tokio::time::timeout(PATIENCE, appended).await;
    appended.expect("appends go on within seconds");
}

struct Cluster {
    nodes: Vec<Nats>,
    /// Which of them leads COMMANDS.
    leader: usize,
}

impl Cluster {
    async fn start(lazy_sync: bool) -> Self {
        let nodes = nats_cluster(3, move |_, options| stack::NatsOptions {
            lazy_sync,
            ..options
        })
        .await;
        let connection = streams::connect(&nodes[0].url(), "test").await.unwrap();
        Log::create(connection.clone(), &settings(3)).await.unwrap();
        let jetstream = async_nats::jetstream::new(connection.client());
        let stream = jetstream.get_stream(COMMANDS).await.unwrap();
        let cluster = stream.cached_info().cluster.clone().unwrap();
        let mut leader = None;
        for (number, node) in nodes.iter().enumerate() {
            let connection = streams::connect(&node.url(), "test").await.unwrap();
            if Some(connection.client().server_info().server_name) == cluster.leader {
                leader = Some(number);
            }
        }
        Self {
            nodes,
            leader: leader.expect("one of them leads"),
        }
    }

    fn followers(&self) -> impl Iterator<Item = &Nats> {
        let others = self.nodes.iter().enumerate();
        others
            .filter(|(number, _)| *number != self.leader)
            .map(|(_, node)| node)
    }

    /// Connected to the leader first.
    async fn log(&self) -> (Log, async_nats::Client) {
        let urls: Vec<String> = std::iter::once(&self.nodes[self.leader])
            .chain(self.followers())
            .map(Nats::url)
            .collect();
        let leader = streams::connect(&urls[0], "test").await.unwrap();
        let name = leader.client().server_info().server_name;
        loop {
            let connection = streams::connect(&urls.join(","), "test").await.unwrap();
            if connection.client().server_info().server_name == name {
                let client = connection.client();
                return (Log::open(connection).await.unwrap(), client);
            }
        }
    }
}

#[tokio::test]
async fn an_append_whose_first_try_may_have_arrived_is_never_called_certainly_not_sent() {
    let cluster = Cluster::start(true).await;
    let (log, client) = cluster.log().await;
    let ids = RecordIds::random();
    log.append(&record(&ids)).await.unwrap();

    for follower in cluster.followers() {
        follower.freeze().unwrap();
    }
    let sent = client.statistics();
    let before = sent.out_messages.load(std::sync::atomic::Ordering::Relaxed);
    let appended = tokio::spawn({
        let (log, record) = (log.clone(), record(&ids));
        async move { log.append(&record).await }
    });
    while sent.out_messages.load(std::sync::atomic::Ordering::Relaxed) == before {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // The leader has it, nobody acknowledges it.
    client.flush().await.unwrap();
    assert!(!appended.is_finished());
    cluster.nodes[cluster.leader].kill().unwrap();
    for follower in cluster.followers() {
        follower.thaw().unwrap();
    }
    match appended.await.unwrap() {
        Ok(_) | Err(AppendError::Unknown) => {}
        Err(error) => panic!("it may be on the log: {error}"),
    }
}

#[tokio::test]
async fn every_replica_must_be_known_to_sync_always() {
    let nodes = nats_cluster(3, |number, options| stack::NatsOptions {
        lazy_sync: number == 2,
        ..options
    })
    .await;
    let monitors = |numbers: &[usize]| {
        let urls: Vec<String> = numbers
            .iter()
            .map(|number| nodes[*number].monitor_url())
            .collect();
        urls.join(",")
    };
    let connection = streams::connect(&nodes[0].url(), "test").await.unwrap();
    let log = Log::create(connection, &settings(3)).await.unwrap();
    let log = log.durable_only();
    assert!(!log.is_durable());
    let found = log.check_durability(&monitors(&[0, 1, 2])).await.unwrap();
    assert_eq!(found, Durability::SyncLazily);
    for too_few in [&[0, 1][..], &[1, 2], &[0]] {
        let error = log.check_durability(&monitors(too_few)).await.unwrap_err();
        assert!(matches!(error, Error::Misconfigured(_)), "{error}");
    }
    assert!(!log.is_durable());
    let refused = log.append(&record(&RecordIds::random())).await.unwrap_err();
    assert!(matches!(refused, AppendError::NotDurable), "{refused}");
}

#[tokio::test]
async fn appends_go_on_without_the_server_that_we_talked_to() {
    let cluster = Cluster::start(false).await;
    let monitors = monitors(&cluster.nodes);
    let (log, _) = cluster.log().await;
    let log = log.durable_only();
    let found = log.check_durability(&monitors).await.unwrap();
    assert_eq!(found, Durability::SyncAlways);
    goes_on(&log, &monitors).await;

    cluster.nodes[cluster.leader].kill().unwrap();
    goes_on(&log, &monitors).await;

    // Nor does who starts now need it.
    for node in cluster.followers() {
        let connection = streams::connect(&node.url(), "test").await.unwrap();
        let log = Log::open(connection).await.unwrap().durable_only();
        let found = log.check_durability(&monitors).await.unwrap();
        assert_eq!(found, Durability::SyncAlways);
        assert!(log.is_durable());
    }
}

#[tokio::test]
async fn a_replica_that_was_started_anew_behind_a_silent_port_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let data = stack::DataDir::kept(folder.path()).unwrap();
    let nodes = nats_cluster(3, move |number, options| {
        let data = if number == 2 {
            data.clone()
        } else {
            options.data
        };
        stack::NatsOptions { data, ..options }
    })
    .await;
    let port = nodes[2].monitor_url().replace("http://", "");
    let proxy = Proxy::start(port.clone()).await.unwrap();
    let port_of_proxy = proxy.address().to_string();
    let monitors = monitors(&nodes).replace(&port, &port_of_proxy);
    let connection = streams::connect(&nodes[0].url(), "test").await.unwrap();
    let log = Log::create(connection, &settings(3)).await.unwrap();
    let log = log.durable_only();
    goes_on(&log, &monitors).await;

    // The port is closed, the server is the one that said how it syncs.
    drop(proxy);
    assert!(
        tokio::net::TcpStream::connect(&port_of_proxy)
            .await
            .is_err()
    );
    let found = log.check_durability(&monitors).await.unwrap();
    assert_eq!(found, Durability::SyncAlways);
    goes_on(&log, &monitors).await;

    nodes[2].kill().unwrap();
    goes_on(&log, &monitors).await;

    let configuration = folder.path().join("nats/nats.conf");
    let text = std::fs::read_to_string(&configuration).unwrap();
    let lazy = text.replace("sync_interval: always", "sync_interval: 2m");
    assert_ne!(lazy, text);
    std::fs::write(&configuration, lazy).unwrap();
    nodes[2].restart().await.unwrap();
    let noticed = async {
        while log.check_durability(&monitors).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(PATIENCE, noticed).await.unwrap();
    // And so it stays.
    for _ in 0..5 {
        let error = log.check_durability(&monitors).await.unwrap_err();
        assert!(matches!(error, Error::Unavailable { .. }), "{error}");
        let refused = log.append(&record(&RecordIds::random())).await;
        assert!(matches!(refused, Err(AppendError::NotDurable)));
    }
}
