//! How full the log is.
//!
//! Invariant: an operator hears of a filling stream long before it refuses transfers.

use std::time::Duration;

use streams::{Log, Usage};

use crate::metrics::{STREAM_BYTES, STREAM_BYTES_MAX};

/// From here on it is worth a warning.
const WARN_PERCENT: u64 = 70;

/// Looks every so often, for ever.
pub(crate) async fn watch(log: Log, every: Duration) {
    let mut warned = false;
    loop {
        match log.usage().await {
            Ok(streams) => {
                let fullest = streams.iter().max_by_key(|(_, usage)| percent(usage));
                let is_filling = fullest.is_some_and(|(_, usage)| percent(usage) >= WARN_PERCENT);
                if let (Some((stream, usage)), true, false) = (fullest, is_filling, warned) {
                    tracing::warn!(
                        stream,
                        percent = percent(usage),
                        "a stream of the log fills up; when it is full, transfers are refused"
                    );
                }
                warned = is_filling;
                for (stream, usage) in &streams {
                    record(stream, usage);
                }
            }
            Err(error) => {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "the log was not asked how full it is"
                );
            }
        }
        tokio::time::sleep(every).await;
    }
}

fn percent(usage: &Usage) -> u64 {
    usage
        .bytes_max
        .map_or(0, |max| usage.bytes.saturating_mul(100) / max.max(1))
}

fn record(stream: &'static str, usage: &Usage) {
    metrics::gauge!(STREAM_BYTES, "stream" => stream).set(bytes(usage.bytes));
    if let Some(max) = usage.bytes_max {
        metrics::gauge!(STREAM_BYTES_MAX, "stream" => stream).set(bytes(max));
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a gauge is a float; nobody reads its last byte"
)]
fn bytes(bytes: u64) -> f64 {
    bytes as f64
}
