//! Three servers that share their streams.
#![cfg(test)]

use std::time::Duration;

use bytes::Bytes;
use schemas::Partition;
use stack::Nats;
use stack::testing::nats_cluster;
use streams::{AppendError, COMMANDS, CommandRecord, Durability, Error, Log, RecordIds, Settings};

const PARTITION: Partition = Partition(0);

struct Cluster {
    nodes: Vec<Nats>,
    /// Which of them leads COMMANDS.
    leader: usize,
}

impl Cluster {
    async fn start() -> Self {
        let nodes = nats_cluster(3, |_, options| stack::NatsOptions {
            lazy_sync: true,
            ..options
        })
        .await;
        let settings = Settings {
            partitions: 1,
            replicas: 3,
            ..Settings::default()
        };
        let connection = streams::connect(&nodes[0].url(), "test").await.unwrap();
        Log::create(connection.clone(), &settings).await.unwrap();
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
    let cluster = Cluster::start().await;
    let (log, client) = cluster.log().await;
    let record = |ids: &RecordIds| CommandRecord {
        partition: PARTITION,
        id: ids.next(),
        body: Bytes::from_static(b"{}"),
        count: 1,
        reply_to: None,
    };
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
    let settings = |replicas| Settings {
        partitions: 1,
        replicas,
        ..Settings::default()
    };
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
    let ids = RecordIds::random();
    let record = CommandRecord {
        partition: PARTITION,
        id: ids.next(),
        body: Bytes::from_static(b"{}"),
        count: 1,
        reply_to: None,
    };
    let refused = log.append(&record).await.unwrap_err();
    assert!(matches!(refused, AppendError::NotDurable), "{refused}");
}
