//! Load that notes what it was promised.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::http::{Client, transfer};
use crate::process::eventually;
use crate::system::System;

/// A 202: the transfer, and where its command stands.
#[derive(Debug, Clone)]
pub(crate) struct Promise {
    pub(crate) id: String,
    pub(crate) key: String,
}

/// Clients that send until they are stopped, each transfer under a key of its own.
pub(crate) struct Load {
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
    senders: Vec<JoinHandle<Vec<Promise>>>,
}

const TRANSFERS_MAX: u32 = 20_000;

impl Load {
    /// `clients` send from and to the `accounts`, a cent at a time.
    pub(crate) fn start(system: &System, clients: u32, accounts: &[&str]) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let accepted = Arc::new(AtomicU64::new(0));
        let accounts: Arc<[String]> = accounts.iter().map(|id| (*id).to_owned()).collect();
        let senders = (0..clients)
            .map(|number| {
                let client = system.client();
                tokio::spawn(send(
                    client,
                    number,
                    Arc::clone(&accounts),
                    Arc::clone(&stop),
                    Arc::clone(&accepted),
                ))
            })
            .collect();
        Self {
            stop,
            accepted,
            senders,
        }
    }

    /// Waits until so many more transfers were accepted.
    pub(crate) async fn progress(&self, transfers: u64) {
        let target = self.accepted.load(Ordering::Relaxed) + transfers;
        eventually(
            &format!("{transfers} more transfers are accepted"),
            async || (self.accepted.load(Ordering::Relaxed) >= target).then_some(()),
        )
        .await;
    }

    /// Every promise that was made.
    pub(crate) async fn stop(self) -> Vec<Promise> {
        self.stop.store(true, Ordering::Relaxed);
        let mut promises = Vec::new();
        for sender in self.senders {
            promises.extend(sender.await.unwrap());
        }
        promises
    }
}

/// Sends each transfer until it has an answer, under the same key.
async fn send(
    mut client: Client,
    number: u32,
    accounts: Arc<[String]>,
    stop: Arc<AtomicBool>,
    accepted: Arc<AtomicU64>,
) -> Vec<Promise> {
    let mut promises = Vec::new();
    for n in 0..TRANSFERS_MAX {
        let key = format!("load-{number}-{n}");
        let turn = (number + n) as usize;
        let (from, to) = (
            &accounts[turn % accounts.len()],
            &accounts[(turn + 1) % accounts.len()],
        );
        let body = transfer(from, to, "0.01");
        loop {
            if stop.load(Ordering::Relaxed) {
                return promises;
            }
            let headers = [("idempotency-key", key.as_str())];
            let sent = client.send("POST", "/v1/transfers", &headers, &body);
            match tokio::time::timeout(Duration::from_secs(20), sent).await {
                Ok(Ok(answer)) if answer.status == 202 || answer.status == 200 => {
                    let id = answer.json()["id"].as_str().unwrap().to_owned();
                    promises.push(Promise { id, key });
                    accepted.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                Ok(Ok(answer)) => assert_eq!(answer.status, 503, "{answer:?}"),
                Ok(Err(_)) | Err(_) => {}
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
    promises
}

/// Every promise was kept: one transfer, decided once, published once; nothing is left over and `verify` agrees.
pub(crate) async fn check_promises(system: &System, promises: &[Promise]) {
    assert!(!promises.is_empty());
    system.verify().await;
    let keys: Vec<&str> = promises
        .iter()
        .map(|promise| promise.key.as_str())
        .collect();
    let decided: Vec<(String, uuid::Uuid)> = sqlx::query_as(
        "SELECT idempotency_key, id FROM transfers WHERE idempotency_key = ANY ($1)",
    )
    .bind(keys)
    .fetch_all(&system.database)
    .await
    .unwrap();
    assert_eq!(decided.len(), promises.len(), "every 202 has one outcome");
    let decided: std::collections::HashMap<_, _> = decided.into_iter().collect();
    for promise in promises {
        assert_eq!(format!("tr_{}", decided[&promise.key].simple()), promise.id);
    }
}
