//! What Sluice is measured against: the same route, with one synchronous SQL transaction per transfer behind it.
//!
//! Invariant: it does the same work, and its answer means that the transfer is applied and synced.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::str::FromStr;
use std::sync::Arc;

use anyhow::Context;
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::serve::ListenerExt as _;
use schemas::{IdempotencyKey, RawTransfer, Shape, TransferOrder, Units};
use serde_json::json;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{PgConnection, PgPool, Row};
use tokio::net::TcpListener;

use super::request::account;
use crate::args::BaselineServerArgs;
use system::{ready, shutdown};

/// What every account has at the start.
const FUNDS: i64 = 100_000_000_000;

struct Api {
    database: PgPool,
    /// By the key's text, as the API knows them in memory.
    keys: BTreeMap<String, &'static str>,
    units: Units,
}

pub(super) async fn run(args: &BaselineServerArgs) -> anyhow::Result<ExitCode> {
    let shutdown = shutdown::on_signal()?;
    let options = PgConnectOptions::from_str(args.servers.database()?)
        .context("reading the address of Postgres")?
        .application_name("sluice baseline")
        .options([("jit", "off"), ("synchronous_commit", "on")]);
    let database = PgPoolOptions::new()
        .min_connections(args.pool)
        .max_connections(args.pool)
        .test_before_acquire(false)
        .connect_with(options)
        .await
        .context("connecting to Postgres")?;
    create_tables(&database, args.accounts).await?;
    let api = Arc::new(Api {
        database,
        keys: BTreeMap::from([(args.key.clone(), "bench")]),
        units: Units::default(),
    });
    let app = Router::new()
        .route("/v1/transfers", post(create))
        .with_state(api);
    let listener = TcpListener::bind(args.listen)
        .await
        .context("listening for the baseline's API")?;
    let api_url = format!("http://{}", listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a connection keeps Nagle's delay");
        }
    });
    ready::write(
        &args.ready_file,
        &json!({ "api_url": api_url, "pid": std::process::id() }),
    )?;
    tokio::select! {
        served = async { axum::serve(listener, app).await } => served.context("serving the baseline")?,
        () = shutdown.cancelled() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Tables as small as the work allows, with what idempotency and look-ups by account need.
async fn create_tables(database: &PgPool, accounts: u32) -> anyhow::Result<()> {
    let ids: Vec<String> = (0..accounts).map(account).collect();
    for statement in [
        "DROP SCHEMA IF EXISTS baseline CASCADE",
        "CREATE SCHEMA baseline",
        "CREATE TABLE baseline.accounts (
            id          text PRIMARY KEY,
            currency    text NOT NULL,
            balance     bigint NOT NULL,
            min_balance bigint,
            version     bigint NOT NULL DEFAULT 0,
            CHECK (balance >= min_balance))",
        "CREATE TABLE baseline.transfers (
            id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
            idempotency_key text NOT NULL UNIQUE,
            debit_account   text NOT NULL,
            credit_account  text NOT NULL,
            amount          bigint NOT NULL CHECK (amount > 0),
            currency        text NOT NULL,
            debit_balance   bigint NOT NULL,
            credit_balance  bigint NOT NULL,
            created_at      timestamptz NOT NULL DEFAULT clock_timestamp())",
        "CREATE INDEX ON baseline.transfers (debit_account, id)",
        "CREATE INDEX ON baseline.transfers (credit_account, id)",
    ] {
        sqlx::query(statement)
            .execute(database)
            .await
            .context("creating the baseline's tables")?;
    }
    sqlx::query(
        "INSERT INTO baseline.accounts (id, currency, balance, min_balance)
         SELECT id, 'USD', $2, 0
           FROM unnest($1::text[]) AS id",
    )
    .bind(&ids)
    .bind(FUNDS)
    .execute(database)
    .await
    .context("opening the baseline's accounts")?;
    sqlx::query("ANALYZE baseline.accounts")
        .execute(database)
        .await
        .context("analysing the baseline's accounts")?;
    Ok(())
}

async fn create(State(api): State<Arc<Api>>, headers: HeaderMap, body: Bytes) -> Response {
    let is_known = text(&headers, header::AUTHORIZATION.as_str())
        .and_then(|value| value.strip_prefix("Bearer "))
        .is_some_and(|key| api.keys.contains_key(key));
    if !is_known {
        return problem(StatusCode::UNAUTHORIZED, "key_unknown");
    }
    let Some(Ok(key)) = text(&headers, "idempotency-key").map(IdempotencyKey::parse) else {
        return problem(StatusCode::BAD_REQUEST, "idempotency_key_missing");
    };
    let order =
        RawTransfer::parse(&body, Shape::Request).and_then(|raw| raw.validate(key, &api.units));
    match order {
        Ok(order) => match transfer(&api.database, &order).await {
            Ok(answer) => answer,
            Err(error) => {
                tracing::warn!(%error, "a transfer failed");
                problem(StatusCode::SERVICE_UNAVAILABLE, "database_unavailable")
            }
        },
        Err(_) => problem(StatusCode::BAD_REQUEST, "request_malformed"),
    }
}

/// Locks both rows in the order of their ids, so that no two transfers wait for each other.
async fn transfer(database: &PgPool, order: &TransferOrder) -> Result<Response, sqlx::Error> {
    let (debit, credit) = (order.debit_account.as_str(), order.credit_account.as_str());
    let amount = order.amount.minor();
    let mut transaction = database.begin().await?;
    let balances = lock(&mut transaction, debit, credit).await?;
    let (Some((paid_from, least)), Some((paid_to, _))) =
        (balances.get(debit), balances.get(credit))
    else {
        return Ok(problem(StatusCode::UNPROCESSABLE_ENTITY, "account_unknown"));
    };
    let (debit_balance, credit_balance) = (paid_from - amount, paid_to + amount);
    if least.is_some_and(|least| debit_balance < least) {
        return Ok(problem(
            StatusCode::UNPROCESSABLE_ENTITY,
            "insufficient_funds",
        ));
    }
    let inserted: Option<i64> = sqlx::query_scalar(
        "INSERT INTO baseline.transfers
                (idempotency_key, debit_account, credit_account, amount, currency, debit_balance, credit_balance)
         VALUES ($1, $2, $3, $4, $5, $6, $7)
             ON CONFLICT (idempotency_key) DO NOTHING
      RETURNING id",
    )
    .bind(order.idempotency_key.as_str())
    .bind(debit)
    .bind(credit)
    .bind(amount)
    .bind(order.currency.as_str())
    .bind(debit_balance)
    .bind(credit_balance)
    .fetch_optional(&mut *transaction)
    .await?;
    let Some(id) = inserted else {
        return Ok(problem(StatusCode::CONFLICT, "idempotency_key_reused"));
    };
    for (account, balance) in [(debit, debit_balance), (credit, credit_balance)] {
        sqlx::query(
            "UPDATE baseline.accounts
                SET balance = $2, version = version + 1
              WHERE id = $1",
        )
        .bind(account)
        .bind(balance)
        .execute(&mut *transaction)
        .await?;
    }
    transaction.commit().await?;
    let answer = json!({
        "id": id,
        "status": "posted",
        "debit_account": debit,
        "credit_account": credit,
        "idempotency_key": order.idempotency_key.as_str(),
    });
    Ok(answered(StatusCode::OK, "application/json", &answer))
}

/// Balance and least balance of both, by account.
async fn lock(
    transaction: &mut PgConnection,
    debit: &str,
    credit: &str,
) -> Result<BTreeMap<String, (i64, Option<i64>)>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT id, balance, min_balance
           FROM baseline.accounts
          WHERE id IN ($1, $2)
          ORDER BY id
            FOR NO KEY UPDATE",
    )
    .bind(debit)
    .bind(credit)
    .fetch_all(transaction)
    .await?;
    let mut balances = BTreeMap::new();
    for row in &rows {
        let (balance, least): (i64, Option<i64>) = (row.try_get(1)?, row.try_get(2)?);
        balances.insert(row.try_get::<String, _>(0)?, (balance, least));
    }
    Ok(balances)
}

fn text<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn problem(status: StatusCode, code: &str) -> Response {
    let body = json!({ "status": status.as_u16(), "code": code });
    answered(status, "application/problem+json", &body)
}

fn answered(status: StatusCode, kind: &'static str, body: &serde_json::Value) -> Response {
    (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}
