//! What was checked and what was found.
//!
//! Invariant: every finding is counted; the text of the first few is kept.

use std::collections::BTreeMap;

/// What `verify` found.
#[derive(Debug, Clone)]
pub struct Report {
    pub checks: Vec<CheckResult>,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.checks.iter().all(CheckResult::is_clean)
    }
}

/// One check.
#[derive(Debug, Clone)]
pub struct CheckResult {
    pub name: &'static str,
    /// What it checks, as a sentence that is true when nothing was found.
    pub holds: &'static str,
    /// How many of `unit` were looked at.
    pub checked: u64,
    pub unit: &'static str,
    /// Whether it was left out.
    pub skipped: bool,
    /// The first findings, each with its place, what was expected and what is there.
    pub findings: Vec<String>,
    /// All findings, those without text too.
    pub findings_total: u64,
    /// What could not be decided again though nothing is wrong: what it is, and how often.
    pub not_decidable: BTreeMap<&'static str, u64>,
    findings_max: usize,
}

impl CheckResult {
    pub fn is_clean(&self) -> bool {
        self.findings_total == 0
    }

    pub(crate) fn found(&mut self, finding: String) {
        self.findings_total += 1;
        if self.findings.len() < self.findings_max {
            self.findings.push(finding);
        }
    }

    pub(crate) fn not_decidable(&mut self, what: &'static str) {
        *self.not_decidable.entry(what).or_default() += 1;
    }
}

/// The seven, in the order of the report.
pub(crate) struct Checks {
    pub(crate) money: CheckResult,
    pub(crate) outcomes: CheckResult,
    pub(crate) accounts: CheckResult,
    pub(crate) chain: CheckResult,
    pub(crate) events: CheckResult,
    pub(crate) decisions: CheckResult,
    pub(crate) dead_letters: CheckResult,
}

impl Checks {
    pub(crate) fn new(findings_max: usize) -> Self {
        let check = |name, unit, holds| CheckResult {
            name,
            holds,
            checked: 0,
            unit,
            skipped: false,
            findings: Vec::new(),
            findings_total: 0,
            not_decidable: BTreeMap::new(),
            findings_max,
        };
        Self {
            money: check(
                "money",
                "accounts",
                "In each ledger and currency the balances sum to zero, and each balance is what the account's postings give.",
            ),
            outcomes: check(
                "outcomes",
                "commands",
                "Every command on the log up to the applied position has exactly one outcome, and the outcome is about that command.",
            ),
            accounts: check(
                "accounts",
                "postings",
                "No account is below its min_balance, and each account's postings are numbered without a gap and follow from one another.",
            ),
            chain: check(
                "chain",
                "commits",
                "Each partition's commits hold every outcome once, are linked by their hashes, and the rows give the record that was hashed.",
            ),
            events: check(
                "events",
                "event records",
                "Every published commit stands on EVENTS exactly once, in order and byte for byte.",
            ),
            decisions: check(
                "decisions",
                "commands",
                "Every command, decided again from its line and the rows as they were, comes out the same, and every account is what follows from that.",
            ),
            dead_letters: check(
                "dead_letters",
                "dead letters",
                "Every dead letter is undecidable still, and stands on DLQ.",
            ),
        }
    }

    pub(crate) fn into_report(self) -> Report {
        Report {
            checks: vec![
                self.money,
                self.outcomes,
                self.accounts,
                self.chain,
                self.events,
                self.decisions,
                self.dead_letters,
            ],
        }
    }
}
