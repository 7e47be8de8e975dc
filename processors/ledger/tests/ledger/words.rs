//! Commands and outcomes in the short words of the scripts.

use schemas::{
    AccountChange, AccountId, Amount, Currency, IdempotencyKey, Metadata, Opening, Order, Outcome,
    Transfer, TransferOrder, Units, Verdict, format_minor, parse_signed,
};

/// Reads `transfer KEY DEBIT CREDIT AMOUNT CURRENCY`, `open ID CURRENCY`, `change ID`, `freeze ID`,
/// `unfreeze ID` or `close ID`, each followed by options such as `unlimited`, `min=5.00` or `metadata={}`.
pub(crate) fn read(line: &str) -> Order {
    let words: Vec<&str> = line.split_whitespace().collect();
    match words[..] {
        [
            "transfer",
            key,
            debit,
            credit,
            amount,
            currency,
            ref options @ ..,
        ] => Order::Transfer(transfer([key, debit, credit, amount, currency], options)),
        ["open", account, currency, ref options @ ..] => {
            Order::Account(id(account), open(currency, options))
        }
        ["change", account, ref options @ ..] => Order::Account(id(account), change(options)),
        ["freeze", account] => Order::Account(id(account), AccountChange::Freeze),
        ["unfreeze", account] => Order::Account(id(account), AccountChange::Unfreeze),
        ["close", account] => Order::Account(id(account), AccountChange::Close),
        _ => panic!("no command: {line}"),
    }
}

fn transfer([key, debit, credit, amount, currency]: [&str; 5], options: &[&str]) -> TransferOrder {
    let (currency, exponent) = money_of(currency);
    TransferOrder {
        idempotency_key: IdempotencyKey::parse(key).unwrap(),
        debit_account: id(debit),
        credit_account: id(credit),
        amount: Amount::parse(amount, exponent).unwrap(),
        currency,
        exponent,
        description: option(options, "description=").map(str::to_owned),
        metadata: option(options, "metadata=").map(metadata),
    }
}

fn open(currency: &str, options: &[&str]) -> AccountChange {
    let (currency, exponent) = money_of(currency);
    let min_balance =
        option(options, "min=").map_or(0, |text| parse_signed(text, exponent, "").unwrap());
    AccountChange::Open {
        opening: Opening {
            currency,
            kind: option(options, "type=").map(str::to_owned),
            min_balance: (!options.contains(&"unlimited")).then_some(min_balance),
            metadata: option(options, "metadata=").map(metadata),
        },
        exponent,
    }
}

fn change(options: &[&str]) -> AccountChange {
    let min_balance = if options.contains(&"unlimited") {
        Some(None)
    } else {
        option(options, "min=").map(|text| Some(text.to_owned()))
    };
    AccountChange::Change {
        min_balance,
        metadata: option(options, "metadata=").map(|text| (text != "null").then(|| metadata(text))),
    }
}

fn option<'a>(options: &[&'a str], name: &str) -> Option<&'a str> {
    options.iter().find_map(|option| option.strip_prefix(name))
}

fn metadata(json: &str) -> Metadata {
    Metadata::parse(json).unwrap()
}

fn id(text: &str) -> AccountId {
    AccountId::parse(text).unwrap()
}

fn money_of(currency: &str) -> (Currency, u8) {
    let currency = Currency::parse(currency).unwrap();
    (currency, Units::default().exponent(currency).unwrap())
}

/// Says an outcome in the words of a script's right side.
pub(crate) fn say(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Decided(transfer) => say_transfer(transfer),
        Outcome::Replayed(replayed) => format!("replayed {}", say_transfer(&replayed.transfer)),
        Outcome::KeyReused(reused) => format!("key_reused {}", reused.differs.join(",")),
        Outcome::AccountOpened(_) => "opened".to_owned(),
        Outcome::AccountChanged(account) => {
            let limit = account
                .min_balance
                .map_or("unlimited".to_owned(), |least| format!("min={least}"));
            let metadata = account
                .metadata
                .as_ref()
                .map(|json| format!(" metadata={}", json.as_str()));
            format!("changed {limit}{}", metadata.unwrap_or_default())
        }
        Outcome::AccountFrozen(_) => "frozen".to_owned(),
        Outcome::AccountUnfrozen(_) => "unfrozen".to_owned(),
        Outcome::AccountClosed(_) => "closed".to_owned(),
        Outcome::AccountUnchanged(_) => "unchanged".to_owned(),
        Outcome::AccountRefused(refused) => {
            format!("refused {} {}", refused.reason, refused.differs.join(","))
                .trim_end()
                .to_owned()
        }
        Outcome::DeadLettered(_) => "dead_lettered".to_owned(),
    }
}

fn say_transfer(transfer: &Transfer) -> String {
    match &transfer.verdict {
        Verdict::Posted { debit, credit } => say_posted(
            [debit.version, credit.version],
            [debit.balance, credit.balance].map(i128::from),
            transfer.order.exponent,
        ),
        Verdict::Refused { refusal, .. } => {
            assert!(
                !refusal.detail.is_empty(),
                "a refusal comes with a sentence"
            );
            format!("refused {}", refusal.reason)
        }
    }
}

/// `posted 1/1 -10.00/10.00`: versions and balances of debit and credit account after it.
pub(crate) fn say_posted(versions: [i64; 2], balances: [i128; 2], exponent: u8) -> String {
    let [debit, credit] =
        balances.map(|minor| format_minor(i64::try_from(minor).unwrap(), exponent));
    format!("posted {}/{} {debit}/{credit}", versions[0], versions[1])
}
