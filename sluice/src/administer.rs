//! `sluice keys` and `sluice ledgers`.
//!
//! Invariant: a key is printed once, when it is made.

use std::process::ExitCode;

use anyhow::{Context, bail};
use ingest::admin::{self, KeyInfo};
use schemas::Currency;
use sqlx::PgPool;

use system::{Servers, connect};

use crate::cli::{KeysArgs, KeysCommand, LedgersArgs, LedgersCommand};

pub(crate) async fn keys(args: KeysArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        KeysCommand::Create {
            servers,
            ledger,
            scope,
            name,
            json,
        } => {
            let database = open(&servers).await?;
            let created = admin::create_key(&database, &ledger, scope, name.as_deref()).await?;
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
            servers,
            ledger,
            json,
        } => {
            let database = open(&servers).await?;
            let keys = admin::all_keys(&database, &ledger).await?;
            if json {
                println!("{}", serde_json::to_string_pretty(&keys)?);
            } else {
                print_keys(&keys);
            }
        }
        KeysCommand::Revoke {
            servers,
            ledger,
            id,
        } => {
            let database = open(&servers).await?;
            if !admin::revoke_key(&database, Some(&ledger), &id).await? {
                bail!(
                    "ledger {ledger} has no active key {id}: `sluice keys list --ledger {ledger}` shows them"
                );
            }
            println!(
                "key {id} is revoked; running APIs refuse it within {} s",
                ingest::Limits::default().key_refresh.as_secs()
            );
        }
    }
    Ok(ExitCode::SUCCESS)
}

pub(crate) async fn ledgers(args: LedgersArgs) -> anyhow::Result<ExitCode> {
    match args.command {
        LedgersCommand::Create { servers, name } => {
            let created = admin::create_ledger(&open(&servers).await?, &name).await?;
            println!(
                "ledger {name} {}",
                if created { "created" } else { "exists already" }
            );
        }
        LedgersCommand::List { servers } => {
            for ledger in admin::list_ledgers(&open(&servers).await?).await? {
                let units: Vec<String> = ledger
                    .units
                    .declared()
                    .map(|(unit, exponent)| format!("{unit}:{exponent}"))
                    .collect();
                println!("{}  {}", ledger.name, units.join(" "));
            }
        }
        LedgersCommand::Set {
            servers,
            name,
            units,
        } => {
            let database = open(&servers).await?;
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

async fn open(servers: &Servers) -> anyhow::Result<PgPool> {
    let database = connect::open_database(servers.database()?, "admin").await?;
    connect::check_migrated(&database).await?;
    Ok(database)
}
