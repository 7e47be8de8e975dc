//! Accounts as their outcomes leave them, and as Postgres has them.
//!
//! Invariant: at most the given number of bytes of them is in memory; the rest lies in a file without a name, which is
//! gone with this process.

use ledger::{AccountKey, AccountRow};
use redb::backends::FileBackend;
use redb::{Database, ReadableTable, Table, TableDefinition, WriteTransaction};
use schemas::{
    Account, AccountId, AccountStatus, Currency, Metadata, Money, Opening, Timestamp, format_minor,
};

use sqlx::Row as _;
use sqlx::postgres::PgRow;

use crate::Error;

type Key = (i32, &'static str);
/// Balance, version, limit and opening limit, opened and changed at, exponent, status, currency, type, metadata and
/// opening metadata.
type Row = (
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    i64,
    i64,
    u8,
    &'static str,
    &'static str,
    Option<&'static str>,
    Option<&'static str>,
    Option<&'static str>,
);
type RowOf<'a> = <Row as redb::Value>::SelfType<'a>;
type Accounts<'a> = Table<'a, Key, Row>;

/// As the outcomes leave them.
const DECIDED: TableDefinition<Key, Row> = TableDefinition::new("decided");
/// As the table `accounts` has them.
const STORED: TableDefinition<Key, Row> = TableDefinition::new("stored");

/// One transaction that never ends: nothing in the file is for later.
pub(crate) struct Book {
    transaction: WriteTransaction,
}

impl Book {
    /// # Errors
    /// When there is no room for temporary files.
    pub(crate) fn open(memory_bytes: usize) -> Result<Self, Error> {
        let file = tempfile::tempfile().map_err(Error::TemporaryFile)?;
        let database = Database::builder()
            .set_cache_size(memory_bytes)
            .create_with_backend(FileBackend::new(file).map_err(spilled)?)
            .map_err(spilled)?;
        let transaction = database.begin_write().map_err(spilled)?;
        Ok(Self { transaction })
    }

    /// Place by place what the accounts are now; `None` for those that were never opened.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub(crate) fn get<'k>(
        &self,
        keys: impl IntoIterator<Item = &'k AccountKey>,
    ) -> Result<Vec<Option<AccountRow>>, Error> {
        let table = self.table(DECIDED)?;
        keys.into_iter()
            .map(|key| {
                let found = table.get((key.ledger, key.id.as_str())).map_err(spilled)?;
                found.map(|row| read(&key.id, row.value())).transpose()
            })
            .collect()
    }

    /// # Errors
    /// When the temporary file cannot be written.
    pub(crate) fn put<'r>(
        &self,
        rows: impl IntoIterator<Item = (&'r AccountKey, &'r AccountRow)>,
    ) -> Result<(), Error> {
        let mut table = self.table(DECIDED)?;
        rows.into_iter()
            .try_for_each(|(key, row)| insert(&mut table, key, row))
    }

    /// Notes rows of the table `accounts`, with the columns of [`ACCOUNTS`].
    ///
    /// # Errors
    /// When the temporary file cannot be written.
    pub(crate) fn note_stored(&self, rows: &[PgRow]) -> Result<(), Error> {
        let mut table = self.table(STORED)?;
        for row in rows {
            let (key, row) = columns(row).map_err(Error::postgres("reading accounts"))?;
            table.insert(key, row).map_err(spilled)?;
        }
        Ok(())
    }

    /// Compares every account that stands in one of the two, in the order of the keys: number of the ledger, id, and
    /// how what is stored differs from what follows from the outcomes.
    ///
    /// # Errors
    /// When the temporary file cannot be read.
    pub(crate) fn compare(&self, mut differs: impl FnMut(i32, &str, String)) -> Result<(), Error> {
        let (decided, stored) = (self.table(DECIDED)?, self.table(STORED)?);
        for entry in decided.iter().map_err(spilled)? {
            let (key, decided) = entry.map_err(spilled)?;
            let (ledger, id) = key.value();
            match stored.get((ledger, id)).map_err(spilled)? {
                None => differs(ledger, id, "it is gone".to_owned()),
                Some(stored) if stored.value() == decided.value() => {}
                Some(stored) => differs(ledger, id, difference(stored.value(), decided.value())),
            }
        }
        for entry in stored.iter().map_err(spilled)? {
            let (key, _) = entry.map_err(spilled)?;
            let (ledger, id) = key.value();
            if decided.get((ledger, id)).map_err(spilled)?.is_none() {
                differs(ledger, id, "no outcome opened it".to_owned());
            }
        }
        Ok(())
    }

    fn table(&self, of: TableDefinition<Key, Row>) -> Result<Accounts<'_>, Error> {
        self.transaction.open_table(of).map_err(spilled)
    }
}

fn insert(table: &mut Accounts, key: &AccountKey, row: &AccountRow) -> Result<(), Error> {
    let AccountRow {
        account,
        opening,
        changed_at,
    } = row;
    let row: RowOf = (
        account.balance.minor,
        account.version,
        account.min_balance.map(|limit| limit.minor),
        opening.min_balance,
        account.opened_at.nanoseconds(),
        changed_at.nanoseconds(),
        account.balance.exponent,
        account.status.as_str(),
        account.currency.as_str(),
        account.kind.as_deref(),
        account.metadata.as_ref().map(Metadata::as_str),
        opening.metadata.as_ref().map(Metadata::as_str),
    );
    table
        .insert((key.ledger, key.id.as_str()), row)
        .map(drop)
        .map_err(spilled)
}

/// What [`Book::note_stored`] is given.
pub(crate) const ACCOUNTS: &str = "
    SELECT ledger, id, balance, version, min_balance, opening_min_balance, opened_at, changed_at, exponent, status,
           currency, type, metadata, opening_metadata
      FROM accounts
     ORDER BY ledger, id";

fn columns(row: &PgRow) -> Result<((i32, &str), RowOf<'_>), sqlx::Error> {
    let key = (row.try_get(0)?, row.try_get(1)?);
    let values = (
        row.try_get(2)?,
        row.try_get(3)?,
        row.try_get(4)?,
        row.try_get(5)?,
        row.try_get(6)?,
        row.try_get(7)?,
        journal::columns::exponent(row.try_get(8)?)?,
        row.try_get(9)?,
        row.try_get(10)?,
        row.try_get(11)?,
        row.try_get(12)?,
        row.try_get(13)?,
    );
    Ok((key, values))
}

/// Field by field, in words.
fn difference(stored: RowOf, decided: RowOf) -> String {
    let fields = |row: RowOf| {
        let (balance, version, least, opening_least, opened_at, changed_at, exponent, ..) = row;
        let (.., status, currency, kind, metadata, opening_metadata) = row;
        let money = |minor| format_minor(minor, exponent);
        let limit = |limit: Option<i64>| limit.map_or("unlimited".to_owned(), money);
        let text = |text: Option<&str>| text.unwrap_or("absent").to_owned();
        let time = |at| Timestamp::from_nanoseconds(at).to_string();
        [
            ("balance", money(balance)),
            ("version", version.to_string()),
            ("min_balance", limit(least)),
            ("min_balance when it was opened", limit(opening_least)),
            ("opened_at", time(opened_at)),
            ("changed_at", time(changed_at)),
            ("exponent", exponent.to_string()),
            ("status", status.to_owned()),
            ("currency", currency.to_owned()),
            ("type", text(kind)),
            ("metadata", text(metadata)),
            ("metadata when it was opened", text(opening_metadata)),
        ]
    };
    let differing: Vec<String> = fields(stored)
        .into_iter()
        .zip(fields(decided))
        .filter(|((_, stored), (_, decided))| stored != decided)
        .map(|((name, stored), (_, decided))| format!("{name} is {stored}, expected {decided}"))
        .collect();
    differing.join(", ")
}

fn read(id: &AccountId, row: RowOf) -> Result<AccountRow, Error> {
    let (
        balance,
        version,
        min_balance,
        opening_min_balance,
        opened_at,
        changed_at,
        exponent,
        status,
        currency,
        kind,
        metadata,
        opening_metadata,
    ) = row;
    let money = |minor| Money { minor, exponent };
    let json = |text: Option<&str>| {
        text.map(|text| Metadata::from_stored(text.to_owned()))
            .transpose()
            .map_err(Error::Spoiled)
    };
    let currency = Currency::parse(currency).map_err(Error::Spoiled)?;
    let kind = kind.map(str::to_owned);
    Ok(AccountRow {
        opening: Opening {
            currency,
            kind: kind.clone(),
            min_balance: opening_min_balance,
            metadata: json(opening_metadata)?,
        },
        account: Account {
            id: id.clone(),
            currency,
            kind,
            status: AccountStatus::parse(status).expect("it was written from a status"),
            balance: money(balance),
            min_balance: min_balance.map(money),
            version,
            metadata: json(metadata)?,
            opened_at: Timestamp::from_nanoseconds(opened_at),
        },
        changed_at: Timestamp::from_nanoseconds(changed_at),
    })
}

fn spilled(source: impl Into<redb::Error>) -> Error {
    Error::Spill(Box::new(source.into()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn accounts_that_memory_does_not_hold_are_read_back_as_they_were() {
        let book = Book::open(64 << 10).unwrap();
        let mut expected = BTreeMap::new();
        // About 2 MB; every third one twice.
        for number in (0..10_000).chain((0..10_000).step_by(3)) {
            let (key, row) = account(number, expected.len());
            book.put([(&key, &row)]).unwrap();
            expected.insert(key, row);
        }
        for (key, row) in &expected {
            assert_eq!(book.get([key]).unwrap(), [Some(row.clone())]);
        }
        let (unknown, _) = account(10_000, 0);
        assert_eq!(book.get([&unknown]).unwrap(), [None]);
        let mut gone = 0;
        book.compare(|_, _, differs| gone += usize::from(differs == "it is gone"))
            .unwrap();
        assert_eq!(gone, expected.len());
    }

    fn account(number: usize, version: usize) -> (AccountKey, AccountRow) {
        let id = AccountId::parse(&format!("account-{number}")).unwrap();
        let currency = Currency::parse("USD").unwrap();
        let minor = i64::try_from(number).unwrap();
        let money = Money { minor, exponent: 2 };
        let metadata = Some(Metadata::parse(&format!(r#"{{"number":{number}}}"#)).unwrap());
        let account = Account {
            id: id.clone(),
            currency,
            kind: number.is_multiple_of(2).then(|| "even".to_owned()),
            status: AccountStatus::Frozen,
            balance: money,
            min_balance: number.is_multiple_of(5).then_some(money),
            version: i64::try_from(version).unwrap(),
            metadata: metadata.clone(),
            opened_at: Timestamp::from_nanoseconds(minor),
        };
        let row = AccountRow {
            opening: Opening {
                currency,
                kind: account.kind.clone(),
                min_balance: Some(-minor),
                metadata: None,
            },
            account,
            changed_at: Timestamp::from_nanoseconds(minor + 1),
        };
        let ledger = i32::try_from(number % 3).unwrap();
        (AccountKey { ledger, id }, row)
    }
}
