//! Transfers of the user's own, one JSON object a line.
//!
//! Invariant: a bad line is reported with its number and stops nothing; lines are sent in their order.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use hyper::StatusCode;
use schemas::{Amount, RawTransfer, Shape, Units, format_minor};
use serde_json::Value;

use crate::client::Client;
use system::Progress;
use system::System;

const CHUNK_LINES: usize = 1000;
const CHUNK_BYTES_MAX: usize = 4 << 20;
const SHOWN_PROBLEMS_MAX: usize = 20;
const TRIES_MAX: u32 = 5;
/// The outside world in US dollars; other currencies have one each, `world:EUR`.
const WORLD: &str = "world";

/// The lines, from a file or kept aside from standard input, to be read twice.
pub(crate) struct Lines {
    file: File,
}

/// What became of the lines.
#[derive(Debug, Default)]
pub(crate) struct FileSent {
    pub(crate) lines: u64,
    /// By `posted`, or the reason of the refusal, or `pending`.
    pub(crate) decided: BTreeMap<String, u64>,
    pub(crate) replayed: u64,
    /// By problem code.
    pub(crate) problems: BTreeMap<String, u64>,
    pub(crate) first_problems: Vec<(u64, String)>,
    pub(crate) took: Duration,
}

impl Lines {
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        if path != Path::new("-") {
            let file = File::open(path).with_context(|| format!("opening {}", path.display()))?;
            return Ok(Self { file });
        }
        let mut file = tempfile::tempfile().context("keeping standard input aside")?;
        std::io::copy(&mut std::io::stdin().lock(), &mut file).context("reading standard input")?;
        file.flush().context("keeping standard input aside")?;
        Ok(Self { file })
    }

    /// From the beginning, with line numbers from 1; blank lines are left out.
    fn read(&self) -> anyhow::Result<impl Iterator<Item = std::io::Result<(u64, Vec<u8>)>>> {
        let mut file = self.file.try_clone().context("reading the transfers")?;
        file.rewind()
            .context("reading the transfers from the beginning")?;
        let lines = BufReader::new(file).split(b'\n').zip(1..);
        Ok(lines
            .map(|(line, number)| line.map(|line| (number, line)))
            .filter(|line| !matches!(line, Ok((_, line)) if line.trim_ascii().is_empty())))
    }
}

/// Opens every account that the lines name, in the currency of its first line, and gives those that pay what
/// they will pay.
pub(crate) async fn open_accounts(lines: &Lines, system: &System) -> anyhow::Result<()> {
    let mut accounts: BTreeMap<String, (String, i64)> = BTreeMap::new();
    for line in lines.read()? {
        let (_, line) = line.context("reading the transfers")?;
        // What cannot be read is reported when it is sent.
        let Ok(raw) = RawTransfer::parse(&line, Shape::Line) else {
            continue;
        };
        let Some(key) = raw
            .idempotency_key
            .as_ref()
            .and_then(|key| schemas::IdempotencyKey::parse(&key.0).ok())
        else {
            continue;
        };
        let Ok(order) = raw.validate(key, &Units::default()) else {
            continue;
        };
        let currency = order.currency.to_string();
        accounts
            .entry(order.credit_account.to_string())
            .or_insert((currency.clone(), 0));
        let payer = accounts
            .entry(order.debit_account.to_string())
            .or_insert((currency.clone(), 0));
        if payer.0 == currency {
            payer.1 = payer.1.saturating_add(order.amount.minor());
        }
    }
    let progress = Progress::new("opening accounts", accounts.len() as u64);
    let mut client = Client::new(&system.api_url, &system.admin_key)?;
    for (id, (currency, pays)) in &accounts {
        let world = world(currency);
        if id.as_str() != world {
            open(&mut client, &world, currency, r#","min_balance":null"#).await?;
            open(&mut client, id, currency, "").await?;
            fund(&mut client, &world, id, currency, *pays).await?;
        }
        progress.add(1);
    }
    progress.finish();
    Ok(())
}

fn world(currency: &str) -> String {
    if currency == "USD" {
        WORLD.to_owned()
    } else {
        format!("{WORLD}:{currency}")
    }
}

/// An account that is there already stays as it is.
async fn open(client: &mut Client, id: &str, currency: &str, rest: &str) -> anyhow::Result<()> {
    let body = format!(r#"{{"id":"{id}","currency":"{currency}"{rest}}}"#);
    let answer = client.post("/v1/accounts", &[], body).await?;
    if !answer.status.is_success() && answer.status != StatusCode::CONFLICT {
        bail!(
            "opening account {id} answered {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
    }
    Ok(())
}

async fn fund(
    client: &mut Client,
    world: &str,
    id: &str,
    currency: &str,
    pays: i64,
) -> anyhow::Result<()> {
    let Some(pays) = Amount::from_minor(pays) else {
        return Ok(());
    };
    let exponent = Units::default().exponent(schemas::Currency::parse(currency)?)?;
    let body = format!(
        r#"{{"debit_account":"{world}","credit_account":"{id}","amount":"{}","currency":"{currency}","description":"opening funds"}}"#,
        format_minor(pays.minor(), exponent)
    );
    client
        .expect_ok(
            "/v1/transfers",
            Some(&format!("demo-file-funds-{id}-{}", pays.minor())),
            body,
        )
        .await
}

/// Sends the lines in batches and waits for their outcomes.
pub(crate) async fn send(lines: &Lines, api: &str, key: &str) -> anyhow::Result<FileSent> {
    let total = lines.read()?.count() as u64;
    let progress = Progress::new("sending the file", total);
    let mut client = Client::new(api, key)?;
    let mut sent = FileSent::default();
    let started = Instant::now();
    let (mut body, mut numbers) = (Vec::new(), Vec::new());
    for line in lines.read()? {
        let (number, line) = line.context("reading the transfers")?;
        if numbers.len() == CHUNK_LINES || body.len() + line.len() > CHUNK_BYTES_MAX {
            send_chunk(&mut client, &mut sent, &mut body, &mut numbers).await?;
            progress.add(CHUNK_LINES as u64);
        }
        numbers.push(number);
        body.extend_from_slice(&line);
        body.push(b'\n');
    }
    send_chunk(&mut client, &mut sent, &mut body, &mut numbers).await?;
    progress.finish();
    sent.took = started.elapsed();
    Ok(sent)
}

async fn send_chunk(
    client: &mut Client,
    sent: &mut FileSent,
    body: &mut Vec<u8>,
    numbers: &mut Vec<u64>,
) -> anyhow::Result<()> {
    if numbers.is_empty() {
        return Ok(());
    }
    let headers = [
        ("Prefer", "wait=30"),
        ("Content-Type", "application/x-ndjson"),
    ];
    let mut tries = 0;
    let answer = loop {
        tries += 1;
        let answer = client
            .post("/v1/transfers/batch", &headers, body.clone())
            .await?;
        if answer.status != StatusCode::SERVICE_UNAVAILABLE || tries == TRIES_MAX {
            break answer;
        }
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    if answer.status != StatusCode::OK {
        bail!(
            "the batch was answered {}: {}",
            answer.status,
            String::from_utf8_lossy(&answer.body)
        );
    }
    for (result, number) in answer
        .body
        .split(|byte| *byte == b'\n')
        .filter(|line| !line.is_empty())
        .zip(numbers.iter())
    {
        let result: Value =
            serde_json::from_slice(result).context("reading the answer to a batch")?;
        sent.count(*number, &result);
    }
    sent.lines += numbers.len() as u64;
    body.clear();
    numbers.clear();
    Ok(())
}

impl FileSent {
    fn count(&mut self, number: u64, result: &Value) {
        if let Some(problem) = result.get("problem") {
            let text = |field: &str| {
                problem
                    .get(field)
                    .and_then(Value::as_str)
                    .unwrap_or("unknown")
                    .to_owned()
            };
            *self.problems.entry(text("code")).or_default() += 1;
            if self.first_problems.len() < SHOWN_PROBLEMS_MAX {
                self.first_problems.push((number, text("detail")));
            }
            return;
        }
        if result.get("replayed") == Some(&Value::Bool(true)) {
            self.replayed += 1;
        }
        let find = |field: &str| {
            result
                .get(field)
                .or_else(|| result.get("transfer")?.get(field))
                .and_then(Value::as_str)
        };
        let decided = match find("status") {
            Some("refused") => find("reason").unwrap_or("refused"),
            Some(status) => status,
            None => "unknown",
        };
        *self.decided.entry(decided.to_owned()).or_default() += 1;
    }
}
