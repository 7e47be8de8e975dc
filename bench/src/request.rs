//! Requests, written straight into the buffer of a connection.
//!
//! Invariant: transfer `n` of a seed has the key `b<seed>-<n>`, and its two accounts differ.

use std::io::Write as _;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, Zipf};

use super::answer::text_after;

/// What every account gets from `world` before: no payer runs dry, whatever the accounts and the rate.
const FUNDS: &str = "1000000000.00";
/// Most cents of one transfer.
const CENTS_MAX: u32 = 10_000;

/// What requests ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// One transfer a request.
    Single { wait: bool },
    /// So many transfers a request.
    Batch(u64),
    /// Opens account `n`.
    Opening,
    /// Gives so many accounts a request their money.
    Funding(u64),
}

impl Kind {
    /// Transfers or accounts of one request.
    pub(super) fn lines(self) -> u64 {
        match self {
            Self::Single { .. } | Self::Opening => 1,
            Self::Batch(lines) | Self::Funding(lines) => lines,
        }
    }

    fn is_batch(self) -> bool {
        matches!(self, Self::Batch(_) | Self::Funding(_))
    }
}

/// Where requests go.
#[derive(Debug, Clone)]
pub(super) struct Target {
    /// `host:port`.
    pub(super) authority: String,
    pub(super) key: String,
}

/// Who pays whom.
#[derive(Debug, Clone)]
pub(super) struct Accounts {
    pub(super) count: u32,
    zipf: Option<Zipf<f64>>,
}

impl Accounts {
    /// Zipf's law with `exponent` for both sides; 0 is uniform.
    pub(super) fn new(count: u32, exponent: f64) -> anyhow::Result<Self> {
        let zipf = (exponent > 0.0)
            .then(|| Zipf::new(f64::from(count), exponent))
            .transpose()?;
        Ok(Self { count, zipf })
    }

    /// Two different ones.
    fn pair(&self, random: &mut StdRng) -> (u32, u32) {
        let payer = self.one(random);
        let receiver = self.one(random);
        if receiver == payer {
            // Uniform among the others, since drawing again could take for ever where one account is nearly all.
            let other = random.random_range(0..self.count - 1);
            return (payer, if other >= payer { other + 1 } else { other });
        }
        (payer, receiver)
    }

    fn one(&self, random: &mut StdRng) -> u32 {
        let Some(zipf) = &self.zipf else {
            return random.random_range(0..self.count);
        };
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank is a whole number between 1 and the number of accounts"
        )]
        let rank = zipf.sample(random) as u32;
        rank.clamp(1, self.count) - 1
    }
}

pub(super) fn account(number: u32) -> String {
    format!("acct_{number:07}")
}

/// The transfer of this run that `line` names by its key.
pub(super) fn number_of_key(line: &[u8], prefix: &str) -> Option<u64> {
    text_after(line, br#""idempotency_key":""#)?
        .strip_prefix(prefix)?
        .parse()
        .ok()
}

pub(super) fn key_prefix(seed: u64) -> String {
    format!("b{seed}-")
}

#[derive(Debug)]
pub(super) struct Requests {
    kind: Kind,
    accounts: Accounts,
    random: StdRng,
    /// Number of the first transfer.
    first: u64,
    key_prefix: String,
    seed: u64,
    head: Vec<u8>,
    body: Vec<u8>,
}

impl Requests {
    pub(super) fn new(
        target: &Target,
        kind: Kind,
        accounts: Accounts,
        seed: u64,
        first: u64,
    ) -> Self {
        let path = match kind {
            Kind::Single { .. } => "/v1/transfers",
            Kind::Batch(_) | Kind::Funding(_) => "/v1/transfers/batch",
            Kind::Opening => "/v1/accounts",
        };
        let content = if kind.is_batch() {
            "application/x-ndjson"
        } else {
            "application/json"
        };
        let prefer = if kind == (Kind::Single { wait: true }) {
            "Prefer: wait=10\r\n"
        } else {
            ""
        };
        let head = format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: {content}\r\n{prefer}",
            target.authority, target.key
        );
        Self {
            kind,
            accounts,
            random: StdRng::seed_from_u64(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ first),
            first,
            key_prefix: key_prefix(seed),
            seed,
            head: head.into_bytes(),
            body: Vec::new(),
        }
    }

    /// Replaces `out` with request `number`.
    pub(super) fn write(&mut self, number: u64, out: &mut Vec<u8>) {
        out.clear();
        out.extend_from_slice(&self.head);
        self.body.clear();
        let first = self.first + number * self.kind.lines();
        match self.kind {
            Kind::Single { .. } => {
                self.transfer(None);
                text(
                    out,
                    format_args!("Idempotency-Key: {}{first}\r\n", self.key_prefix),
                );
            }
            Kind::Batch(lines) => {
                for number in first..first + lines {
                    self.transfer(Some(number));
                    self.body.push(b'\n');
                }
            }
            Kind::Opening => {
                let id = account(u32::try_from(first).unwrap_or(u32::MAX));
                text(
                    &mut self.body,
                    format_args!(r#"{{"id":"{id}","currency":"USD"}}"#),
                );
            }
            Kind::Funding(lines) => {
                let end = (first + lines).min(self.accounts.count.into());
                for number in first..end {
                    self.funding(number);
                }
            }
        }
        text(
            out,
            format_args!("Content-Length: {}\r\n\r\n", self.body.len()),
        );
        out.extend_from_slice(&self.body);
    }

    fn transfer(&mut self, number: Option<u64>) {
        let (payer, receiver) = self.accounts.pair(&mut self.random);
        let cents = self.random.random_range(1..=CENTS_MAX);
        let body = &mut self.body;
        match number {
            Some(number) => text(
                body,
                format_args!(r#"{{"idempotency_key":"{}{number}","#, self.key_prefix),
            ),
            None => body.push(b'{'),
        }
        text(
            body,
            format_args!(
                r#""debit_account":"acct_{payer:07}","credit_account":"acct_{receiver:07}","amount":"{}.{:02}","currency":"USD"}}"#,
                cents / 100,
                cents % 100
            ),
        );
    }

    fn funding(&mut self, number: u64) {
        let id = account(u32::try_from(number).unwrap_or(u32::MAX));
        text(
            &mut self.body,
            format_args!(
                "{{\"idempotency_key\":\"bench-funds-{}-{id}\",\"debit_account\":\"world\",\"credit_account\":\"{id}\",\"amount\":\"{FUNDS}\",\"currency\":\"USD\"}}\n",
                self.seed
            ),
        );
    }
}

fn text(out: &mut Vec<u8>, text: std::fmt::Arguments) {
    out.write_fmt(text)
        .expect("memory does not fail to be written");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn requests(kind: Kind) -> Requests {
        let target = Target {
            authority: "127.0.0.1:1".to_owned(),
            key: "sk_1".to_owned(),
        };
        Requests::new(&target, kind, Accounts::new(3, 0.0).unwrap(), 7, 40)
    }

    fn written(kind: Kind, number: u64) -> (String, String) {
        let mut out = b"what was sent before".to_vec();
        requests(kind).write(number, &mut out);
        let text = String::from_utf8(out).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        (head.to_owned(), body.to_owned())
    }

    #[test]
    fn a_request_carries_its_number_in_its_key() {
        let (head, body) = written(Kind::Single { wait: true }, 2);
        assert!(head.starts_with(
            "POST /v1/transfers HTTP/1.1\r\nHost: 127.0.0.1:1\r\nAuthorization: Bearer sk_1\r\n"
        ));
        assert!(
            head.contains("\r\nIdempotency-Key: b7-42\r\n")
                && head.contains("\r\nPrefer: wait=10\r\n")
        );
        let body: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_ne!(body["debit_account"], body["credit_account"]);
    }

    #[test]
    fn a_batch_numbers_its_lines_on() {
        let (head, body) = written(Kind::Batch(3), 5);
        assert!(head.contains("/v1/transfers/batch") && !head.contains("Idempotency-Key"));
        let numbers: Vec<_> = body
            .lines()
            .map(|line| number_of_key(line.as_bytes(), "b7-"))
            .collect();
        assert_eq!(numbers, [Some(55), Some(56), Some(57)]);
    }

    #[test]
    fn funding_ends_with_the_last_account() {
        let mut requests = requests(Kind::Funding(2));
        requests.first = 0;
        let mut out = Vec::new();
        requests.write(1, &mut out);
        let text = String::from_utf8(out).unwrap();
        assert!(text.contains("acct_0000002") && !text.contains("acct_0000003"));
    }

    #[test]
    fn only_keys_of_this_run_have_numbers() {
        let line =
            br#"{"specversion":"1.0","data":{"id":"tr_1","idempotency_key":"b7-12","amount":"1"}}"#;
        assert_eq!(number_of_key(line, "b7-"), Some(12));
        assert_eq!(number_of_key(line, "b8-"), None);
        assert_eq!(number_of_key(b"{}", "b7-"), None);
    }

    #[test]
    fn nobody_pays_himself() {
        let mut random = StdRng::seed_from_u64(1);
        for (count, exponent) in [(2, 0.0), (10, 2.0), (2, 10.0), (100_000, 1.1)] {
            let accounts = Accounts::new(count, exponent).unwrap();
            for _ in 0..2000 {
                let (payer, receiver) = accounts.pair(&mut random);
                assert!(payer != receiver && payer < count && receiver < count);
            }
        }
    }

    #[test]
    fn the_first_account_of_a_steep_zipf_pays_most() {
        let mut random = StdRng::seed_from_u64(1);
        let accounts = Accounts::new(1000, 2.0).unwrap();
        let first = (0..10_000)
            .filter(|_| accounts.pair(&mut random).0 == 0)
            .count();
        assert!(
            (5500..6700).contains(&first),
            "{first} of 10,000, and 1/ζ(2) is 0.608"
        );
    }
}
