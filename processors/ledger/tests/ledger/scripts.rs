//! One behaviour per script: a command a line, and what comes of it.

use std::collections::BTreeSet;

use ledger::Item;
use schemas::{RefusalReason, Timestamp};

use crate::book::{Book, item};
use crate::words::{read, say};

macro_rules! scripts {
    ($($name:ident: $script:literal)*) => {
        $(#[test] fn $name() { check($script); })*

        const SCRIPTS: &[&str] = &[$($script),*];
    };
}

scripts! {
    money_moves_from_the_debit_to_the_credit_account: "
        open world USD unlimited                  => opened
        open alice USD                            => opened
        open bob USD                              => opened
        transfer k1 world alice 10.00 USD         => posted 1/1 -10.00/10.00
        transfer k2 alice bob 4 USD               => posted 2/1 6.00/4.00
        transfer k3 bob world 0.01 USD            => posted 2/2 3.99/-9.99
        transfer k4 alice bob 6.00 USD            => posted 3/3 0.00/9.99
    "
    every_currency_keeps_its_decimals: "
        open world JPY unlimited                  => opened
        open w3 KWD unlimited                     => opened
        open yen JPY                              => opened
        open dinar KWD                            => opened
        transfer k1 world yen 5000 JPY            => posted 1/1 -5000/5000
        transfer k2 w3 dinar 0.001 KWD            => posted 1/1 -0.001/0.001
    "
    a_retry_gets_the_first_answer: "
        open world USD unlimited                  => opened
        open alice USD                            => opened
        transfer k1 alice world 10.00 USD         => refused insufficient_funds
        transfer k2 world alice 10.00 USD         => posted 1/1 -10.00/10.00
        transfer k2 world alice 10 USD            => replayed posted 1/1 -10.00/10.00
        transfer k1 alice world 10.00 USD         => replayed refused insufficient_funds
        freeze alice                              => frozen
        transfer k2 world alice 10.00 USD         => replayed posted 1/1 -10.00/10.00
        transfer k3 world alice 1.00 USD metadata={\"a\":1,\"b\":2} => refused account_frozen
        transfer k3 world alice 1.00 USD metadata={\"b\":2,\"a\":1} => replayed refused account_frozen
    "
    a_number_that_a_version_before_stored_with_other_last_digits_is_a_retry: "
        open world USD unlimited                  => opened
        open alice USD metadata={\"x\":9.999999999999999e-26} => opened
        open alice USD metadata={\"x\":1e-25}     => unchanged
        open alice USD metadata={\"x\":1.1e-25}   => refused account_exists metadata
        transfer k1 world alice 1.00 USD metadata={\"x\":0.4167768076651964} => posted 1/1 -1.00/1.00
        transfer k1 world alice 1.00 USD metadata={\"x\":0.416776807665196328} => replayed posted 1/1 -1.00/1.00
        transfer k1 world alice 1.00 USD metadata={\"x\":0.41677680766519} => key_reused metadata
    "
    another_request_under_a_used_key_is_told_what_differs: "
        open world USD unlimited                  => opened
        open alice USD                            => opened
        transfer k1 world alice 10.00 USD         => posted 1/1 -10.00/10.00
        transfer k1 world alice 11.00 USD         => key_reused amount
        transfer k1 alice world 10.00 USD         => key_reused debit_account,credit_account
        transfer k1 world alice 10.00 EUR         => key_reused currency
        transfer k1 world alice 10.00 USD description=x => key_reused description
        transfer k1 world alice 10.00 USD metadata={} => key_reused metadata
        transfer k1 nobody none 1 JPY description=x metadata={} => key_reused debit_account,credit_account,amount,currency,description,metadata
        transfer k1 world alice 10.00 USD         => replayed posted 1/1 -10.00/10.00
    "
    a_refused_transfer_owns_its_key_too: "
        transfer k1 world alice 1.00 USD          => refused account_unknown
        open world USD unlimited                  => opened
        open alice USD                            => opened
        transfer k1 world alice 1.00 USD          => replayed refused account_unknown
        transfer k1 world alice 2.00 USD          => key_reused amount
        transfer k2 world alice 1.00 USD          => posted 1/1 -1.00/1.00
    "
    an_account_may_not_fall_below_its_minimum: "
        open world USD unlimited                  => opened
        open alice USD min=-5.00                  => opened
        transfer k1 alice world 5.01 USD          => refused insufficient_funds
        transfer k2 alice world 5.00 USD          => posted 1/1 -5.00/5.00
        transfer k3 alice world 0.01 USD          => refused insufficient_funds
        change alice min=-5.01                    => changed min=-5.01
        transfer k4 alice world 0.01 USD          => posted 2/2 -5.01/5.01
        change alice unlimited                    => changed unlimited
        transfer k5 alice world 100.00 USD        => posted 3/3 -105.01/105.01
    "
    both_sides_must_differ_and_exist: "
        transfer k1 alice alice 1.00 USD          => refused accounts_must_differ
        open alice USD unlimited                  => opened
        transfer k2 alice alice 1.00 USD          => refused accounts_must_differ
        transfer k3 alice nobody 1.00 USD         => refused account_unknown
        transfer k4 nobody alice 1.00 USD         => refused account_unknown
    "
    a_frozen_account_neither_gives_nor_takes: "
        open alice USD unlimited                  => opened
        open bob USD unlimited                    => opened
        freeze alice                              => frozen
        freeze alice                              => unchanged
        transfer k1 alice bob 1.00 USD            => refused account_frozen
        transfer k2 bob alice 1.00 USD            => refused account_frozen
        change alice min=0                        => changed min=0.00
        unfreeze alice                            => unfrozen
        unfreeze alice                            => unchanged
        transfer k3 bob alice 1.00 USD            => posted 1/1 -1.00/1.00
    "
    a_closed_account_stays_closed: "
        open alice USD unlimited                  => opened
        open bob USD unlimited                    => opened
        transfer k1 alice bob 1.00 USD            => posted 1/1 -1.00/1.00
        close alice                               => refused balance_not_zero
        transfer k2 bob alice 1.00 USD            => posted 2/2 0.00/0.00
        freeze alice                              => frozen
        close alice                               => closed
        close alice                               => unchanged
        transfer k3 alice bob 1.00 USD            => refused account_closed
        transfer k4 bob alice 1.00 USD            => refused account_closed
        freeze alice                              => refused account_closed
        unfreeze alice                            => refused account_closed
        change alice min=0                        => refused account_closed
        open alice USD unlimited                  => unchanged
    "
    the_currency_is_that_of_both_accounts: "
        open world USD unlimited                  => opened
        open euro EUR unlimited                   => opened
        transfer k1 world euro 1.00 USD           => refused currency_differs
        transfer k2 world euro 1.00 EUR           => refused currency_differs
        transfer k3 world euro 1 JPY              => refused currency_differs
    "
    a_balance_that_does_not_fit_is_refused_on_either_side: "
        open a USD unlimited                      => opened
        open b USD unlimited                      => opened
        open c USD unlimited                      => opened
        transfer k1 a b 92233720368547758.07 USD  => posted 1/1 -92233720368547758.07/92233720368547758.07
        transfer k2 c b 0.01 USD                  => refused balance_overflow
        transfer k3 a c 0.01 USD                  => posted 2/1 -92233720368547758.08/0.01
        transfer k4 a c 0.01 USD                  => refused balance_overflow
        transfer k5 b a 92233720368547758.07 USD  => posted 2/3 0.00/-0.01
    "
    an_account_is_opened_once: "
        open alice USD type=wallet metadata={\"a\":1} => opened
        open alice USD type=wallet metadata={\"a\":1} => unchanged
        open alice EUR                            => refused account_exists currency,type,metadata
        open alice USD type=wallet metadata={\"a\":1} unlimited => refused account_exists min_balance
        change alice min=-1.00 metadata=null      => changed min=-1.00
        open alice USD type=wallet metadata={\"a\":1} => unchanged
        open alice USD min=-1.00                  => refused account_exists type,min_balance,metadata
    "
    limits_change_within_the_currency_and_the_balance: "
        open world USD unlimited                  => opened
        open alice USD                            => opened
        open yen JPY                              => opened
        change alice min=1.001                    => refused min_balance_invalid
        change yen min=0.5                        => refused min_balance_invalid
        change alice min=92233720368547758.08     => refused min_balance_invalid
        change alice min=0.01                     => refused balance_below_minimum
        change alice min=0.01 metadata={}         => refused balance_below_minimum
        change alice min=0                        => unchanged
        transfer k1 world alice 1.00 USD          => posted 1/1 -1.00/1.00
        change alice min=1                        => changed min=1.00
        transfer k2 alice world 0.01 USD          => refused insufficient_funds
        change alice metadata={\"b\":[1,2]}       => changed min=1.00 metadata={\"b\":[1,2]}
        change alice metadata=null                => changed min=1.00
        change alice metadata=null                => unchanged
        change alice unlimited                    => changed unlimited
        change alice unlimited                    => unchanged
    "
    only_an_account_that_exists_can_change: "
        change alice unlimited                    => refused account_unknown
        freeze alice                              => refused account_unknown
        unfreeze alice                            => refused account_unknown
        close alice                               => refused account_unknown
    "
}

#[test]
fn every_reason_to_refuse_has_a_script() {
    let said: BTreeSet<&str> = SCRIPTS
        .iter()
        .flat_map(|script| lines(script))
        .filter_map(|(_, expected)| expected.strip_prefix("refused ")?.split(' ').next())
        .collect();
    let all: BTreeSet<&str> = RefusalReason::ALL
        .iter()
        .map(|reason| reason.as_str())
        .collect();
    assert_eq!(said, all);
}

/// Runs a script command by command, and once more as a single batch.
fn check(script: &str) {
    let now = Timestamp::from_nanoseconds(1_000);
    let items: Vec<Item> = (0..)
        .zip(lines(script))
        .map(|(line, (command, _))| item(1, line, read(command)))
        .collect();
    let (mut one_by_one, mut at_once) = (Book::default(), Book::default());
    let together = at_once.commit(&items, now).outcomes;
    for ((item, (command, expected)), batched) in items.iter().zip(lines(script)).zip(&together) {
        let decided = one_by_one.commit(std::slice::from_ref(item), now).outcomes;
        assert_eq!(say(&decided[0].1), expected, "{command}");
        assert_eq!(decided[0], *batched, "{command}, in one batch");
    }
    assert_eq!(one_by_one, at_once);
}

fn lines(script: &str) -> impl Iterator<Item = (&str, &str)> {
    let lines = script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty());
    lines.map(|line| {
        let (command, expected) = line.split_once("=>").expect("a line is COMMAND => OUTCOME");
        (command.trim(), expected.trim())
    })
}
