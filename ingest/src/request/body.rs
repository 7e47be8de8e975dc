//! Bodies: bounded in size and in time.
//!
//! Invariant: no body is held beyond its limit. What is too long is read and thrown away for a while, so that
//! the client hears why instead of finding its connection reset.

use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use tokio::time::Instant;

use crate::api::Api;
use crate::batches::{NoRoom, Share};
use crate::problem::Problem;

/// Most bytes of a refused body that are read for politeness.
const DISCARD_BYTES_MAX: u64 = 32 << 20;

/// A body of `application/json`, or of no declared type, and the headers that came with it.
pub(crate) struct JsonBytes {
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl FromRequest<Arc<Api>> for JsonBytes {
    type Rejection = Problem;

    async fn from_request(request: Request, api: &Arc<Api>) -> Result<Self, Problem> {
        let (parts, body) = request.into_parts();
        let headers = parts.headers;
        expect_type(&headers, &["application/json"])?;
        let body = read(&headers, body, api, api.limits.body_bytes_max, None).await?;
        Ok(Self { headers, body })
    }
}

/// A body of `application/x-ndjson`, or of no declared type, with its headers and its share of what batches may hold.
pub(crate) async fn ndjson(
    request: Request,
    api: &Api,
) -> Result<(HeaderMap, Bytes, Share), Problem> {
    let (parts, body) = request.into_parts();
    let headers = parts.headers;
    expect_type(
        &headers,
        &[
            "application/x-ndjson",
            "application/ndjson",
            "application/jsonl",
        ],
    )?;
    let (share, evicted) = api.batch_memory.begin();
    let body = tokio::select! {
        body = read(&headers, body, api, api.limits.batch_bytes_max, Some(&share)) => body?,
        _ = evicted => return Err(no_room()),
    };
    share.arrived().map_err(|NoRoom| no_room())?;
    Ok((headers, body, share))
}

fn expect_type(headers: &HeaderMap, accepted: &[&str]) -> Result<(), Problem> {
    let Some(given) = headers.get(header::CONTENT_TYPE) else {
        return Ok(());
    };
    let given = given.to_str().unwrap_or_default();
    let essence = given.split(';').next().unwrap_or_default().trim();
    if accepted
        .iter()
        .any(|accepted| accepted.eq_ignore_ascii_case(essence))
    {
        return Ok(());
    }
    Err(Problem::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "content_type_unsupported",
        format!("this route takes {}", accepted[0]),
    ))
}

async fn read(
    headers: &HeaderMap,
    mut body: Body,
    api: &Api,
    bytes_max: usize,
    share: Option<&Share>,
) -> Result<Bytes, Problem> {
    let deadline = Instant::now() + api.limits.body_time_max;
    let asks_first = headers.contains_key(header::EXPECT);
    let announced = body.size_hint().lower();
    if announced > bytes_max as u64 {
        if !asks_first {
            discard(body, deadline).await;
        }
        return Err(too_long(bytes_max));
    }
    match tokio::time::timeout_at(deadline, collect(&mut body, bytes_max, share)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        Ok(Err(Stop::TooLong)) => {
            discard(body, deadline).await;
            Err(too_long(bytes_max))
        }
        Ok(Err(Stop::NoRoom)) => {
            discard(body, deadline).await;
            Err(no_room())
        }
        Ok(Err(Stop::Broken(error))) => Err(Problem::bad_request(
            "body_malformed",
            format!("the body could not be read: {error}"),
        )),
        Err(_) => Err(Problem::new(
            StatusCode::REQUEST_TIMEOUT,
            "body_timeout",
            "the body did not arrive in time; nothing was done",
        )),
    }
}

/// Why a body is not collected to its end.
enum Stop {
    TooLong,
    NoRoom,
    Broken(axum::Error),
}

async fn collect(body: &mut Body, bytes_max: usize, share: Option<&Share>) -> Result<Bytes, Stop> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(0);
    let mut collected = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Stop::Broken)?.into_data() else {
            continue;
        };
        if collected.len() + data.len() > bytes_max {
            return Err(Stop::TooLong);
        }
        if let Some(share) = share {
            share
                .grow(data.len())
                .await
                .map_err(|NoRoom| Stop::NoRoom)?;
        }
        if collected.is_empty() {
            if body.is_end_stream() {
                return Ok(data);
            }
            // Memory that is not written to yet costs nothing.
            collected.reserve(announced);
        }
        collected.extend_from_slice(&data);
    }
    Ok(collected.freeze())
}

async fn discard(mut body: Body, deadline: Instant) {
    let mut left = DISCARD_BYTES_MAX;
    while let Ok(Some(Ok(frame))) = tokio::time::timeout_at(deadline, body.frame()).await {
        let length = frame.data_ref().map_or(0, Bytes::len) as u64;
        let Some(rest) = left.checked_sub(length) else {
            return;
        };
        left = rest;
    }
}

fn no_room() -> Problem {
    Problem::unavailable(
        "overloaded",
        "too many batches at a time, and this one did not come fast enough; nothing was sent, try again",
    )
}

fn too_long(bytes_max: usize) -> Problem {
    Problem::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "body_too_long",
        format!("the body of this request is at most {bytes_max} bytes"),
    )
}
