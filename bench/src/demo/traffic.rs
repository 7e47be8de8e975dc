//! A day of transfers, made up.
//!
//! Invariant: request `n` is a pure function of the plan and of `n`, so that the same seed gives the same
//! traffic whatever the concurrency.

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use rand_distr::{Distribution, LogNormal, Zipf};

/// What is sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) accounts: u32,
    pub(crate) transfers: u64,
}

/// One request to `POST /v1/transfers`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) key: String,
    pub(crate) body: String,
}

/// Of a thousand requests, so many are …
const RETRIES: u32 = 20;
const REUSED_KEYS: u32 = 3;
const TOO_LARGE: u32 = 25;
const FROZEN: u32 = 5;
const UNKNOWN: u32 = 5;
const MALFORMED: u32 = 5;

/// Frozen accounts at the end of the list.
pub(crate) const FROZEN_ACCOUNTS: u32 = 10;
/// What every account gets from `world` at the start.
pub(crate) const FUNDS: &str = "5000.00";

/// Receivers follow Zipf's law with this exponent: few get much.
const RECEIVER_EXPONENT: f64 = 1.1;
/// Logarithm of the median amount in cents (about 20.00), and the spread around it.
const AMOUNT_LOG_MEDIAN: f64 = 7.6;
const AMOUNT_LOG_SPREAD: f64 = 1.0;

impl Plan {
    pub(crate) fn account(number: u32) -> String {
        format!("acct_{number:06}")
    }

    /// Whether an account is one of the frozen ones.
    pub(crate) fn frozen_from(&self) -> u32 {
        self.accounts - FROZEN_ACCOUNTS.min(self.accounts / 2)
    }

    pub(crate) fn request(&self, n: u64) -> Transfer {
        let mut random = StdRng::seed_from_u64(
            self.seed
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .wrapping_add(n),
        );
        let kind = random.random_range(0..1000);
        let [retries, reused, large, frozen, unknown, malformed] =
            cumulative([RETRIES, REUSED_KEYS, TOO_LARGE, FROZEN, UNKNOWN, MALFORMED]);
        let before = n.saturating_sub(random.random_range(1..200));
        let payer = random.random_range(0..self.frozen_from());
        let receiver = self.receiver(&mut random, payer);
        let cents = amount(&mut random);
        let (payer, receiver) = (Self::account(payer), Self::account(receiver));
        let body = match kind {
            kind if kind < retries && n > 0 => return self.request(before),
            kind if kind < reused && n > 0 => {
                let other = self.request(before);
                return Transfer {
                    body: transfer(&payer, &receiver, cents),
                    ..other
                };
            }
            kind if kind < large => transfer(&payer, &receiver, 100_000_000 + cents),
            kind if kind < frozen => transfer(&Self::account(self.accounts - 1), &receiver, cents),
            kind if kind < unknown => transfer(&payer, "acct_nobody", cents),
            kind if kind < malformed => malformed_body(&mut random, &payer, &receiver),
            _ => transfer(&payer, &receiver, cents),
        };
        Transfer {
            key: format!("demo-{}-{n}", self.seed),
            body,
        }
    }

    fn receiver(&self, random: &mut StdRng, payer: u32) -> u32 {
        let open = self.frozen_from();
        let zipf = Zipf::new(f64::from(open), RECEIVER_EXPONENT)
            .expect("there are accounts, and the exponent is positive");
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank is a whole number between 1 and the number of accounts"
        )]
        let rank = zipf.sample(random) as u32 - 1;
        // The most popular receivers are spread over the list.
        let receiver = rank.wrapping_mul(7919) % open;
        if receiver == payer {
            (receiver + 1) % open
        } else {
            receiver
        }
    }
}

fn cumulative(parts: [u32; 6]) -> [u32; 6] {
    let mut sum = 0;
    parts.map(|part| {
        sum += part;
        sum
    })
}

/// Cents, at least one.
fn amount(random: &mut StdRng) -> u64 {
    let spread =
        LogNormal::new(AMOUNT_LOG_MEDIAN, AMOUNT_LOG_SPREAD).expect("the spread is positive");
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "made-up traffic: an amount is drawn, not computed with"
    )]
    let cents = spread.sample(random) as u64;
    cents.clamp(1, 500_000)
}

fn transfer(payer: &str, receiver: &str, cents: u64) -> String {
    format!(
        r#"{{"debit_account":"{payer}","credit_account":"{receiver}","amount":"{}.{:02}","currency":"USD"}}"#,
        cents / 100,
        cents % 100
    )
}

fn malformed_body(random: &mut StdRng, payer: &str, receiver: &str) -> String {
    match random.random_range(0..4) {
        0 => format!(
            r#"{{"debit_account":"{payer}","credit_account":"{receiver}","amount":12.34,"currency":"USD"}}"#
        ),
        1 => format!(
            r#"{{"debit_account":"{payer}","credit_account":"{receiver}","amount":"1.234","currency":"USD"}}"#
        ),
        2 => format!(
            r#"{{"debit_account":"{payer}","credit_account":"{receiver}","amount":"1.00","currency":"DOGE"}}"#
        ),
        _ => format!(r#"{{"debit_account":"{payer}","credit_account""#),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_traffic() {
        let plan = Plan {
            seed: 7,
            accounts: 1000,
            transfers: 1000,
        };
        let all: Vec<Transfer> = (0..1000).map(|n| plan.request(n)).collect();
        assert_eq!(all, (0..1000).map(|n| plan.request(n)).collect::<Vec<_>>());
        let keys: std::collections::BTreeSet<_> =
            all.iter().map(|transfer| &transfer.key).collect();
        assert!((940..1000).contains(&keys.len()), "{} keys", keys.len());
        let other = Plan { seed: 8, ..plan };
        assert_ne!(all[0], other.request(0));
    }

    #[test]
    fn small_plans_still_have_somebody_to_pay() {
        let plan = Plan {
            seed: 1,
            accounts: 2,
            transfers: 100,
        };
        for n in 0..100 {
            let transfer = plan.request(n);
            assert!(!transfer.body.is_empty());
        }
    }
}
