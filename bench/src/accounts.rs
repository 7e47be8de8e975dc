//! Accounts, opened and given money before anything is measured.
//!
//! Invariant: nothing is measured before every account is open and can pay.

use anyhow::{Context, bail};
use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use schemas::{AccountId, Partition, partition_of};
use streams::{CommandRecord, Log, RecordIds};

use super::generator::send;
use super::landed;
use super::load::{Pace, Plan, Sent};
use super::measured::{LEDGER, System};
use super::request::{Accounts, Kind, Requests, account};
use crate::client::Client;

const RECORD_LINES: usize = 500;
const RECORDS_IN_FLIGHT: usize = 8;
const FUNDING_LINES: u64 = 1000;
/// As many batches as the API works on at a time.
pub(super) const BATCH_CONNECTIONS: u16 = 8;
const OPENING_CONNECTIONS: u16 = 64;

/// Opens `world` and the accounts, and gives each its money.
pub(super) async fn prepare(system: &System, accounts: &Accounts) -> anyhow::Result<()> {
    eprintln!("opening {} accounts", accounts.count);
    let mut client = Client::new(
        &format!("http://{}", system.target.authority),
        &system.target.key,
    )?;
    let world = r#"{"id":"world","currency":"USD","min_balance":null}"#;
    client
        .expect_ok("/v1/accounts", None, world.to_owned())
        .await
        .context("opening the outside world's account, for which the key needs scope admin")?;
    match &system.log {
        Some(log) if system.is_ours => {
            append_openings(log, accounts.count).await?;
            landed::wait(log).await?;
        }
        _ => {
            let pace = Pace::Count(accounts.count.into());
            let opened = run(system, accounts, Kind::Opening, pace, OPENING_CONNECTIONS).await?;
            // An account that is there from an earlier run is as good.
            expect_all(&opened, &["account_exists"])?;
        }
    }
    let batches = u64::from(accounts.count).div_ceil(FUNDING_LINES);
    let funding = Kind::Funding(FUNDING_LINES);
    let funded = run(
        system,
        accounts,
        funding,
        Pace::Count(batches),
        BATCH_CONNECTIONS,
    )
    .await?;
    expect_all(&funded, &[])?;
    if let Some(log) = &system.log {
        landed::wait(log).await?;
    }
    Ok(())
}

async fn run(
    system: &System,
    accounts: &Accounts,
    kind: Kind,
    pace: Pace,
    connections: u16,
) -> anyhow::Result<Sent> {
    let plan = Plan {
        target: system.target.clone(),
        kind,
        pace,
        connections,
        first: 0,
        requests: Requests::new(&system.target, kind, accounts.clone(), system.seed, 0),
    };
    send(plan).await
}

fn expect_all(sent: &Sent, allowed: &[&str]) -> anyhow::Result<()> {
    let refused: Vec<_> = sent
        .errors
        .iter()
        .filter(|(code, _)| !allowed.contains(&code.as_str()))
        .collect();
    if !refused.is_empty() {
        bail!("preparing the accounts was answered with {refused:?}");
    }
    Ok(())
}

/// What is published on the log is validated like a request, and needs no request per account.
async fn append_openings(log: &Log, count: u32) -> anyhow::Result<()> {
    let ids = RecordIds::random();
    let mut lines: Vec<Vec<String>> = vec![Vec::new(); usize::from(log.partitions())];
    for number in 0..count {
        let id = account(number);
        let partition = partition_of(&AccountId::parse(&id)?, log.partitions());
        lines[usize::from(partition.0)].push(format!(
            "{{\"command\":\"open_account\",\"ledger\":\"{LEDGER}\",\"id\":\"{id}\",\"currency\":\"USD\",\"actor\":\"sluice\"}}\n"
        ));
    }
    let mut records = Vec::new();
    for (partition, lines) in (0..).zip(&lines) {
        for chunk in lines.chunks(RECORD_LINES) {
            records.push(CommandRecord {
                partition: Partition(partition),
                id: ids.next(),
                count: u32::try_from(chunk.len()).context("lines of a record")?,
                body: Bytes::from(chunk.concat()),
                reply_to: None,
            });
        }
    }
    stream::iter(records)
        .map(async |record| log.append(&record).await.context("opening accounts"))
        .buffer_unordered(RECORDS_IN_FLIGHT)
        .try_for_each(async |_| Ok(()))
        .await
}
