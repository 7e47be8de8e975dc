//! `sluice keys` and `sluice ledgers`.
//!
//! Invariant: a key is printed once, when it is made.

use std::process::ExitCode;

use anyhow::{Context, bail};
use ingest::Scope;
use ingest::admin::{self, KeyInfo};
use schemas::{Currency, LedgerName};
use sqlx::PgPool;

use crate::cli::{Database, KeysArgs, KeysCommand, LedgersArgs, LedgersCommand, Servers};
use crate::connect;

const PAGE: i64 = 200;

pub(crate) async fn keys(args: KeysArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        KeysCommand::Create {
            database,
            ledger,
            scope,
            name,
            json,
        } => {
            let database = open(database).await?;
            let scope = Scope::parse(&scope).context("a scope is read, write or admin")?;
            let created =
                admin::create_key(&database, &ledger_name(&ledger)?, scope, name.as_deref())
                    .await?;
            if json {
                println!("{}", serde_json::to_string(&created)?);
            } else {
                println!("{}", created.key);
                eprintln!(
                    "key {} for ledger {ledger}, scope {scope}; it is shown only this once",
                    created.id
                );
            }
        }
        KeysCommand::List {
            database,
            ledger,
            json,
        } => {
            let database = open(database).await?;
            let keys = all_keys(&database, &ledger_name(&ledger)?).await?;
            if json {
                println!("{}", serde_json::to_string_pretty(&keys)?);
            } else {
                print_keys(&keys);
            }
        }
        KeysCommand::Revoke {
            database,
            ledger,
            id,
        } => {
            let database = open(database).await?;
            if !admin::revoke_key(&database, Some(&ledger_name(&ledger)?), &id).await? {
                bail!(
                    "ledger {ledger} has no active key {id}: `sluice keys list --ledger {ledger}` shows them"
                );
            }
            println!("key {id} is revoked; running APIs refuse it within 5 s");
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn ledgers(args: LedgersArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        LedgersCommand::Create { database, name } => {
            let created =
                admin::create_ledger(&open(database).await?, &ledger_name(&name)?).await?;
            println!(
                "ledger {name} {}",
                if created { "created" } else { "exists already" }
            );
        }
        LedgersCommand::List { database } => {
            for ledger in admin::list_ledgers(&open(database).await?).await? {
                let units: Vec<String> = ledger
                    .units
                    .declared()
                    .map(|(unit, exponent)| format!("{unit}:{exponent}"))
                    .collect();
                println!("{}  {}", ledger.name, units.join(" "));
            }
        }
        LedgersCommand::Set {
            database,
            name,
            units,
        } => {
            let database = open(database).await?;
            let name = ledger_name(&name)?;
            for unit in &units {
                let (code, exponent) = unit
                    .split_once(':')
                    .context("a unit is CODE:DECIMALS, such as POINTS:0")?;
                let exponent = exponent
                    .parse()
                    .context("the decimals of a unit are a number from 0 to 12")?;
                admin::declare_unit(&database, &name, Currency::parse(code)?, exponent).await?;
                println!("ledger {name} has the unit {code} with {exponent} decimals");
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A new key in place of the ones with the same name and scope.
pub(crate) async fn renew_key(
    database: &PgPool,
    ledger: &str,
    scope: Scope,
    name: &str,
) -> anyhow::Result<String> {
    let ledger = ledger_name(ledger)?;
    let created = admin::create_key(database, &ledger, scope, Some(name)).await?;
    for old in all_keys(database, &ledger).await? {
        let replaced = old.name.as_deref() == Some(name)
            && old.scope == scope
            && old.id != created.id
            && old.revoked_at.is_none();
        if replaced {
            admin::revoke_key(database, Some(&ledger), &old.id).await?;
        }
    }
    Ok(created.key)
}

async fn all_keys(database: &PgPool, ledger: &LedgerName) -> anyhow::Result<Vec<KeyInfo>> {
    let mut keys: Vec<KeyInfo> = Vec::new();
    loop {
        let after = keys.last().map_or(String::new(), |key| key.id.clone());
        let page = admin::list_keys(database, Some(ledger), &after, PAGE).await?;
        if page.is_empty() {
            return Ok(keys);
        }
        keys.extend(page);
    }
}

fn print_keys(keys: &[KeyInfo]) {
    println!(
        "{:<18}  {:<6}  {:<32}  {:<32}  NAME",
        "ID", "SCOPE", "CREATED", "REVOKED"
    );
    for key in keys {
        println!(
            "{:<18}  {:<6}  {:<32}  {:<32}  {}",
            key.id,
            key.scope.as_str(),
            key.created_at.to_string(),
            key.revoked_at
                .map_or_else(|| "-".to_owned(), |at| at.to_string()),
            key.name.as_deref().unwrap_or("-")
        );
    }
}

fn ledger_name(name: &str) -> anyhow::Result<LedgerName> {
    Ok(LedgerName::parse(name)?)
}

async fn open(database: Database) -> anyhow::Result<PgPool> {
    let servers = Servers {
        nats: None,
        nats_monitor: None,
        database: database.database,
    };
    let database = connect::open_database(servers.database()?, "admin").await?;
    connect::check_migrated(&database).await?;
    Ok(database)
}
