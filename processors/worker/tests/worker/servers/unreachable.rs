//! A processor that reaches Postgres but not the log leaves its partitions to others.

use std::time::Duration;

use tokio::time::Instant;
use worker::Config;

use super::bed::{Servers, until};

const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_processor_without_the_log_gives_up_what_it_cannot_read() {
    let servers = Servers::start(2).await;
    let (proxy, log) = servers.proxy().await;
    let cut_off = servers.process_over(log, Config::default());
    let other = servers.process(Config::default());
    let owners = async || {
        let sql = "SELECT count(DISTINCT owner) FROM partitions WHERE lease_until > now()";
        servers.number(sql).await
    };
    until(async || owners().await == 2).await;

    proxy.silence();
    let started = Instant::now();
    let mut sequences = Vec::new();
    for partition in 0..2 {
        let sequence = servers.append(partition, &["{".to_owned()]).await;
        sequences.push((partition, sequence));
    }
    servers.applied(&sequences).await;
    let took = started.elapsed();
    assert!(took < TAKEN_OVER_WITHIN, "{took:?}");
    assert_eq!(owners().await, 1);
    let counted = "SELECT count(*) FROM processors";
    assert_eq!(servers.number(counted).await, 1);

    proxy.pass();
    until(async || owners().await == 2).await;
    cut_off.stop().await;
    other.stop().await;
}
