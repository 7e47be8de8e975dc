//! Requests over a number of connections, with their latencies.
//!
//! Invariant: each connection has one request at a time, and every answer is counted.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context;
use hyper::StatusCode;
use tokio::task::JoinSet;

use super::traffic::{FUNDS, Plan, Transfer};
use crate::client::{Answer, Client};
use system::Progress;
use system::System;

/// Every so many requests one waits until it is applied, to see how long that takes.
const WAIT_EVERY: u64 = 10;
/// How often a request that got no clear answer is sent again, with the same key.
const TRIES_MAX: u32 = 5;
const FUNDING_LINES: u32 = 1000;

/// What the senders saw.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) started: Option<Instant>,
    pub(crate) took: Duration,
    pub(crate) requests: u64,
    /// Answered 202, or 200 after waiting.
    pub(crate) accepted: u64,
    /// Recognised as a repeat before the log.
    pub(crate) replayed: u64,
    /// Refused at the door, by problem code.
    pub(crate) problems: BTreeMap<String, u64>,
    /// Microseconds to the 202, and to the 200 of those that waited.
    pub(crate) logged: Vec<u32>,
    pub(crate) applied: Vec<u32>,
}

impl Sent {
    fn add(&mut self, other: Self) {
        self.requests += other.requests;
        self.accepted += other.accepted;
        self.replayed += other.replayed;
        for (code, count) in other.problems {
            *self.problems.entry(code).or_default() += count;
        }
        self.logged.extend(other.logged);
        self.applied.extend(other.applied);
    }

    fn count(&mut self, answer: &Answer, took: Duration) {
        let microseconds = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        match answer.status {
            _ if answer.replayed => self.replayed += 1,
            StatusCode::ACCEPTED => {
                self.accepted += 1;
                self.logged.push(microseconds);
            }
            StatusCode::OK => {
                self.accepted += 1;
                self.applied.push(microseconds);
            }
            _ => *self.problems.entry(answer.problem_code()).or_default() += 1,
        }
    }
}

/// Opens the plan's accounts, freezes some and funds all from `world`.
pub(crate) async fn open_accounts(
    system: &System,
    plan: &Plan,
    connections: u16,
) -> anyhow::Result<()> {
    let progress = Arc::new(Progress::new("opening accounts", u64::from(plan.accounts)));
    let next = Arc::new(AtomicU64::new(0));
    let (frozen_from, accounts) = (u64::from(plan.frozen_from()), u64::from(plan.accounts));
    let mut openers = JoinSet::new();
    for _ in 0..connections {
        let mut client = Client::new(&system.api_url, &system.admin_key)?;
        let (progress, next) = (Arc::clone(&progress), Arc::clone(&next));
        openers.spawn(async move {
            loop {
                let n = next.fetch_add(1, Ordering::Relaxed);
                if n >= accounts {
                    return anyhow::Ok(());
                }
                let id = Plan::account(u32::try_from(n).context("numbering accounts")?);
                client
                    .expect_ok(
                        "/v1/accounts",
                        None,
                        format!(r#"{{"id":"{id}","currency":"USD","type":"wallet"}}"#),
                    )
                    .await?;
                if n >= frozen_from {
                    client
                        .expect_ok(&format!("/v1/accounts/{id}/freeze"), None, String::new())
                        .await?;
                }
                progress.add(1);
            }
        });
    }
    while let Some(opened) = openers.join_next().await {
        opened??;
    }
    progress.finish();
    fund(system, plan).await
}

async fn fund(system: &System, plan: &Plan) -> anyhow::Result<()> {
    let mut client = Client::new(&system.api_url, &system.admin_key)?;
    let open: Vec<u32> = (0..plan.frozen_from()).collect();
    for chunk in open.chunks(FUNDING_LINES as usize) {
        let lines: Vec<String> = chunk
            .iter()
            .map(|number| {
                let id = Plan::account(*number);
                format!("{{\"idempotency_key\":\"demo-funds-{id}\",\"debit_account\":\"world\",\"credit_account\":\"{id}\",\"amount\":\"{FUNDS}\",\"currency\":\"USD\",\"description\":\"opening funds\"}}\n")
            })
            .collect();
        let headers = [
            ("Prefer", "wait=30"),
            ("Content-Type", "application/x-ndjson"),
        ];
        let answer = client
            .post("/v1/transfers/batch", &headers, lines.concat())
            .await?;
        anyhow::ensure!(
            answer.status == StatusCode::OK,
            "funding answered {}",
            answer.status
        );
    }
    Ok(())
}

/// Sends the plan's transfers.
pub(crate) async fn send(system: &System, plan: &Plan, connections: u16) -> anyhow::Result<Sent> {
    let progress = Arc::new(Progress::new("sending transfers", plan.transfers));
    let next = Arc::new(AtomicU64::new(0));
    let mut senders = JoinSet::new();
    let started = Instant::now();
    for _ in 0..connections {
        let client = Client::new(&system.api_url, &system.api_key)?;
        senders.spawn(send_some(
            client,
            *plan,
            Arc::clone(&next),
            Arc::clone(&progress),
        ));
    }
    let mut all = Sent {
        started: Some(started),
        ..Sent::default()
    };
    while let Some(sent) = senders.join_next().await {
        all.add(sent??);
    }
    all.took = started.elapsed();
    progress.finish();
    Ok(all)
}

async fn send_some(
    mut client: Client,
    plan: Plan,
    next: Arc<AtomicU64>,
    progress: Arc<Progress>,
) -> anyhow::Result<Sent> {
    let mut sent = Sent::default();
    loop {
        let n = next.fetch_add(1, Ordering::Relaxed);
        if n >= plan.transfers {
            return Ok(sent);
        }
        let transfer = plan.request(n);
        let wait = n.is_multiple_of(WAIT_EVERY);
        let started = Instant::now();
        let answer = send_one(&mut client, &transfer, wait).await?;
        sent.requests += 1;
        sent.count(&answer, started.elapsed());
        progress.add(1);
    }
}

/// The same key makes it safe to send again what got no clear answer.
async fn send_one(client: &mut Client, transfer: &Transfer, wait: bool) -> anyhow::Result<Answer> {
    let mut headers = vec![("Idempotency-Key", transfer.key.as_str())];
    if wait {
        headers.push(("Prefer", "wait=10"));
    }
    let mut tries = 0;
    loop {
        tries += 1;
        match client
            .post("/v1/transfers", &headers, transfer.body.clone())
            .await
        {
            Ok(answer)
                if answer.status != StatusCode::SERVICE_UNAVAILABLE || tries == TRIES_MAX =>
            {
                return Ok(answer);
            }
            Err(error) if tries == TRIES_MAX => return Err(error),
            _ => tokio::time::sleep(Duration::from_millis(200)).await,
        }
    }
}
