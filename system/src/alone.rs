//! One role alone, as its own process against given servers.
//!
//! Invariant: what the ready file names has answered.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;
use axum::Router;
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use serde_json::json;
use tokio::net::TcpListener;

use crate::flags::OneRole;
use crate::role::Host;
use crate::{connect, ready, shutdown};

pub async fn run_alone(role: OneRole) -> anyhow::Result<ExitCode> {
    let OneRole { chosen, alone } = role;
    let shutdown = shutdown::on_signal()?;
    let host = Host {
        servers: alone.servers,
        metrics: connect::metrics()?,
    };
    let metrics = serve_metrics(alone.metrics_listen, host.metrics.clone()).await?;
    let mut running = match chosen.start(&host, shutdown.clone()).await {
        Err(error) if shutdown.is_cancelled() => {
            tracing::info!("stopped before it was ready: {error:#}");
            return Ok(ExitCode::SUCCESS);
        }
        started => started?,
    };
    if let Some(address) = running.api {
        tracing::info!("listening on http://{address}");
    }
    if let Some(path) = &alone.ready_file {
        let mut content = json!({
            "metrics_url": format!("http://{metrics}/metrics"),
            "pid": std::process::id(),
        });
        if let Some(address) = running.api {
            content["api_url"] = json!(format!("http://{address}"));
        }
        ready::write(path, &content)?;
    }
    running.ended().await?;
    Ok(ExitCode::SUCCESS)
}

/// Answers until the process ends.
async fn serve_metrics(
    address: SocketAddr,
    metrics: PrometheusHandle,
) -> anyhow::Result<SocketAddr> {
    let serving = || {
        format!(
            "/metrics cannot be served on {address}: choose another address with --metrics-listen"
        )
    };
    let listener = TcpListener::bind(address).await.with_context(serving)?;
    let bound = listener.local_addr().with_context(serving)?;
    let routes = Router::new()
        .route("/metrics", get(async move || metrics.render()))
        .route("/healthz", get(async || "ok"));
    tokio::spawn(async move {
        if let Err(error) = axum::serve(listener, routes).await {
            tracing::error!(%error, "/metrics is not served any more");
        }
    });
    Ok(bound)
}
