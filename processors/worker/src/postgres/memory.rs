//! Accounts that this process read or wrote last.
//!
//! Invariant: what is remembered was written, but may be stale, or never be committed: whoever believes it writes only once
//! the one who wrote it has committed ([`Held::end`]), and has it confirmed in the same transaction by [`Held::version`] and
//! the key, which are of no row where it is stale. Batches take what they use out and put it back once they have written it.

mod confidence;

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use journal::RowVersion;
use ledger::{AccountKey, AccountRow};

use confidence::Confidence;

use crate::metrics;

/// Which start of which server: another may have other rows under the same numbers.
pub(super) type ServerStart = i64;

/// An account in a batch's hands, and which version of its row that is.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub(super) key: AccountKey,
    pub(super) version: RowVersion,
    pub(super) end: End,
    pub(super) row: AccountRow,
}

/// Whether the transaction that wrote a row version is known to be committed. A crash of Postgres gives the numbers of those
/// that were not on disk out again.
#[derive(Debug, Clone)]
pub(super) struct End(Option<Arc<AtomicBool>>);

impl End {
    /// Of a row that was read.
    pub(super) const COMMITTED: Self = Self(None);

    pub(super) fn open() -> Self {
        Self(Some(Arc::default()))
    }

    pub(super) fn is_committed(&self) -> bool {
        let Self(end) = self;
        end.as_ref().is_none_or(|end| end.load(Ordering::Acquire))
    }

    pub(super) fn set_committed(&self) {
        if let Self(Some(end)) = self {
            end.store(true, Ordering::Release);
        }
    }
}

/// Shared by all partitions of a process.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    accounts: Arc<Mutex<Accounts>>,
}

/// What is used goes to the young; when those take half of the bytes that may be here they become the old, and the old that
/// nobody used meanwhile are forgotten.
#[derive(Debug)]
struct Accounts {
    server: Option<ServerStart>,
    young: Rows,
    old: Rows,
    young_bytes: usize,
    old_bytes: usize,
    bytes_max: usize,
    confidence: Confidence,
}

/// An account without metadata.
const ACCOUNT_BYTES: usize = 512;

type Rows = HashMap<AccountKey, (RowVersion, End, AccountRow)>;

impl Memory {
    /// About so many bytes of accounts; none at all, and nothing is believed.
    pub(super) fn new(bytes_max: usize) -> Self {
        let accounts = Accounts {
            server: None,
            young: HashMap::new(),
            old: HashMap::new(),
            young_bytes: 0,
            old_bytes: 0,
            bytes_max,
            confidence: Confidence::default(),
        };
        Self {
            accounts: Arc::new(Mutex::new(accounts)),
        }
    }

    /// Those of these accounts that are here, one for each key; `None` when what is here is not worth believing, or
    /// nothing may be. None of them is here afterwards.
    pub(super) fn take(
        &self,
        server: ServerStart,
        keys: &[AccountKey],
    ) -> Option<Vec<Option<Held>>> {
        let mut accounts = self.lock();
        accounts.at(server);
        let taken = keys.iter().map(|key| accounts.take(key)).collect();
        (accounts.bytes_max > 0 && accounts.confidence.believes()).then_some(taken)
    }

    /// What a batch leaves behind.
    pub(super) fn put(&self, server: ServerStart, left: impl Iterator<Item = Held>) {
        let mut accounts = self.lock();
        let forgotten = accounts.put(server, left);
        metrics::accounts_memory(accounts.young_bytes + accounts.old_bytes);
        drop(accounts);
        if !forgotten.is_empty() {
            // Takes milliseconds when they are many.
            tokio::task::spawn_blocking(move || drop(forgotten));
        }
    }

    /// What a batch believed was so.
    pub(super) fn confirmed(&self) {
        self.lock().confidence.confirmed();
    }

    /// What a batch believed was not so any more.
    pub(super) fn refuted(&self) {
        self.lock().confidence.refuted();
    }

    fn lock(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    fn at(&mut self, server: ServerStart) {
        if self.server != Some(server) {
            self.young.clear();
            self.old.clear();
            (self.young_bytes, self.old_bytes) = (0, 0);
            self.server = Some(server);
        }
    }

    fn take(&mut self, key: &AccountKey) -> Option<Held> {
        let (key, (version, end, row)) = if let Some(young) = self.young.remove_entry(key) {
            self.young_bytes -= bytes_of(&young.1.2);
            young
        } else {
            let old = self.old.remove_entry(key)?;
            self.old_bytes -= bytes_of(&old.1.2);
            old
        };
        Some(Held {
            key,
            version,
            end,
            row,
        })
    }

    /// Gives what is forgotten for it.
    fn put(&mut self, server: ServerStart, left: impl Iterator<Item = Held>) -> Rows {
        if self.server == Some(server) {
            for Held {
                key,
                version,
                end,
                row,
            } in left
            {
                self.young_bytes += bytes_of(&row);
                if let Some((_, _, before)) = self.young.insert(key, (version, end, row)) {
                    self.young_bytes -= bytes_of(&before);
                }
            }
        }
        if self.young_bytes <= self.bytes_max / 2 {
            return Rows::new();
        }
        self.old_bytes = mem::take(&mut self.young_bytes);
        let young = mem::take(&mut self.young);
        mem::replace(&mut self.old, young)
    }
}

/// What an account takes here, about: all of it but its metadata was measured together, with the table around it.
fn bytes_of(row: &AccountRow) -> usize {
    let metadata = [&row.account.metadata, &row.opening.metadata];
    let metadata = metadata.map(|text| text.as_ref().map_or(0, |text| text.as_str().len()));
    ACCOUNT_BYTES + metadata.iter().sum::<usize>()
}

#[cfg(test)]
mod tests {
    use schemas::{
        Account, AccountId, AccountStatus, Currency, Metadata, Money, Opening, Timestamp,
    };

    use super::*;

    const SERVER: ServerStart = 7;

    fn key(id: &str) -> AccountKey {
        AccountKey {
            ledger: 1,
            id: AccountId::parse(id).unwrap(),
        }
    }

    fn held(id: &str, version: i64) -> Held {
        let currency = Currency::parse("JPY").unwrap();
        Held {
            key: key(id),
            version: RowVersion::default(),
            end: End::COMMITTED,
            row: AccountRow {
                account: Account {
                    id: AccountId::parse(id).unwrap(),
                    currency,
                    kind: None,
                    status: AccountStatus::Open,
                    balance: Money {
                        minor: 0,
                        exponent: 0,
                    },
                    min_balance: None,
                    version,
                    metadata: None,
                    opened_at: Timestamp::default(),
                },
                opening: Opening {
                    currency,
                    kind: None,
                    min_balance: None,
                    metadata: None,
                },
                changed_at: Timestamp::default(),
            },
        }
    }

    /// Those that are here; `None` when they are not believed.
    fn versions(taken: Option<Vec<Option<Held>>>) -> Option<Vec<i64>> {
        let version = |held: Held| held.row.account.version;
        taken.map(|taken| taken.into_iter().flatten().map(version).collect())
    }

    fn memory() -> Memory {
        let memory = Memory::new(10 * ACCOUNT_BYTES);
        assert_eq!(versions(memory.take(SERVER, &[])), Some(vec![]));
        memory
    }

    /// Puts accounts as a commit does.
    fn put(memory: &Memory, accounts: &[(&str, i64)]) {
        let accounts = accounts.iter().map(|(id, version)| held(id, *version));
        drop(memory.lock().put(SERVER, accounts));
    }

    #[test]
    fn a_batch_has_from_memory_what_is_there() {
        let memory = memory();
        put(&memory, &[("a", 1), ("b", 2), ("a", 3)]);
        let both = [key("a"), key("b")];
        assert_eq!(versions(memory.take(SERVER, &both)), Some(vec![3, 2]));
        assert_eq!(
            versions(memory.take(SERVER, &both)),
            Some(vec![]),
            "they were taken"
        );
        put(&memory, &[("b", 4)]);
        let taken = memory.take(SERVER, &both).unwrap();
        assert!(taken[0].is_none() && taken[1].is_some(), "one for each key");
    }

    #[test]
    fn what_was_not_used_for_longest_is_forgotten() {
        let memory = memory();
        put(&memory, &[("rare", 0)]);
        for round in 0..40 {
            put(&memory, &[("often", round), (&format!("once-{round}"), 0)]);
            let often = memory.take(SERVER, &[key("often")]);
            assert_eq!(versions(often), Some(vec![round]));
            let accounts = memory.lock();
            assert!(accounts.young.len() + accounts.old.len() <= 10);
        }
        assert_eq!(versions(memory.take(SERVER, &[key("rare")])), Some(vec![]));
        assert_eq!(
            versions(memory.take(SERVER, &[key("once-39")])),
            Some(vec![0])
        );
    }

    #[test]
    fn another_server_or_another_start_of_it_has_other_rows() {
        let memory = memory();
        put(&memory, &[("a", 1)]);
        assert_eq!(versions(memory.take(SERVER + 1, &[key("a")])), Some(vec![]));
        // A commit on the server before, whose end was learnt late.
        put(&memory, &[("a", 2)]);
        assert_eq!(versions(memory.take(SERVER + 1, &[key("a")])), Some(vec![]));
        assert_eq!(versions(memory.take(SERVER, &[key("a")])), Some(vec![]));
    }

    #[test]
    fn after_a_belief_in_vain_the_next_batches_read_everything() {
        let memory = memory();
        memory.refuted();
        for believed in [None, None, Some(vec![1])] {
            put(&memory, &[("a", 1)]);
            assert_eq!(versions(memory.take(SERVER, &[key("a")])), believed);
        }
    }

    /// As the client opened it.
    fn described(id: &str, metadata_bytes: usize) -> Held {
        let text = format!(r#"{{"m":"{}"}}"#, "x".repeat(metadata_bytes - 8));
        let metadata = Metadata::parse(&text).unwrap();
        assert_eq!(metadata.as_str().len(), metadata_bytes);
        let mut described = held(id, 0);
        described.row.opening.metadata = Some(metadata.clone());
        described.row.account.metadata = Some(metadata);
        described
    }

    /// Ids of a batch that nobody uses again.
    fn batch(number: usize) -> impl Iterator<Item = String> {
        (0..BATCH).map(move |account| format!("{number}-{account}"))
    }

    const BATCH: usize = 10;

    /// Puts batches of such accounts; gives after how many of them an account before them was forgotten.
    fn forgotten_after(bytes_max: usize, metadata_bytes: usize) -> usize {
        let memory = Memory::new(bytes_max);
        assert!(memory.take(SERVER, &[]).is_some());
        put(&memory, &[("before", 0)]);
        let account = |id: String| match metadata_bytes {
            0 => held(&id, 0),
            bytes => described(&id, bytes),
        };
        let batch_bytes: usize = batch(0).map(|id| bytes_of(&account(id).row)).sum();
        assert!(batch_bytes >= BATCH * (ACCOUNT_BYTES + 2 * metadata_bytes));
        let mut forgotten = None;
        for number in 0..2 * bytes_max / batch_bytes + 2 {
            drop(memory.lock().put(SERVER, batch(number).map(account)));
            let accounts = memory.lock();
            let rows = accounts.young.values().chain(accounts.old.values());
            let bytes: usize = rows.map(|(_, _, row)| bytes_of(row)).sum();
            assert!(
                bytes <= bytes_max + batch_bytes,
                "{bytes} of {bytes_max} bytes are taken"
            );
            let young = accounts.young.values().map(|(_, _, row)| bytes_of(row));
            assert_eq!(young.sum::<usize>(), accounts.young_bytes);
            let has = |rows: &Rows| rows.contains_key(&key("before"));
            if forgotten.is_none() && !has(&accounts.young) && !has(&accounts.old) {
                forgotten = Some((number + 1) * BATCH);
            }
        }
        forgotten.expect("it was used once, before everything else")
    }

    #[test]
    fn metadata_is_counted_so_that_what_is_remembered_stays_within_its_bytes() {
        const BYTES_MAX: usize = 2 << 20;
        const METADATA: usize = 10 << 10;
        let without = forgotten_after(BYTES_MAX, 0);
        let with = forgotten_after(BYTES_MAX, METADATA);
        // The text is there twice: as the account has it now, and as it was opened.
        let times_as_large = (ACCOUNT_BYTES + 2 * METADATA) / ACCOUNT_BYTES;
        assert!(without >= BYTES_MAX / ACCOUNT_BYTES / 2, "{without}");
        assert!(
            with * times_as_large / 2 <= without,
            "{with} accounts with metadata displace what {without} without do"
        );
    }
}
