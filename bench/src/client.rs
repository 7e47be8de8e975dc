//! One HTTP connection to the API.
//!
//! Invariant: a connection that broke is opened again for the next request, and a request is never sent twice
//! without its sender knowing.

use std::time::Duration;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::http::request::Builder;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Longer than any wait that the API grants.
const ANSWER_MAX: Duration = Duration::from_mins(1);

pub(crate) struct Client {
    authority: String,
    authorization: String,
    connection: Option<SendRequest<Full<Bytes>>>,
}

pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// `Idempotent-Replayed: true`.
    pub(crate) replayed: bool,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The stable code of a problem.
    pub(crate) fn problem_code(&self) -> String {
        serde_json::from_slice::<serde_json::Value>(&self.body)
            .ok()
            .and_then(|problem| problem.get("code")?.as_str().map(str::to_owned))
            .unwrap_or_else(|| self.status.to_string())
    }
}

impl Client {
    pub(crate) fn new(url: &str, key: &str) -> anyhow::Result<Self> {
        let authority = authority(url)?;
        Ok(Self {
            authority,
            authorization: format!("Bearer {key}"),
            connection: None,
        })
    }

    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<Answer> {
        let request = self.request(Method::GET, path);
        self.answer(
            request
                .body(Full::default())
                .context("building a request")?,
        )
        .await
    }

    /// Posts JSON, or whatever `headers` say.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> anyhow::Result<Answer> {
        let mut request = self.request(Method::POST, path);
        if !headers
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(body.into()))
            .context("building a request")?;
        self.answer(request).await
    }

    fn request(&self, method: Method, path: &str) -> Builder {
        let request = Request::builder().method(method).uri(path);
        request
            .header(HOST, &self.authority)
            .header(AUTHORIZATION, &self.authorization)
    }

    async fn answer(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let answered = tokio::time::timeout(ANSWER_MAX, self.send(request)).await;
        match answered {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => {
                self.connection = None;
                Err(error).with_context(|| format!("sending a request to {}", self.authority))
            }
            Err(_) => {
                self.connection = None;
                bail!(
                    "{} did not answer within {} s",
                    self.authority,
                    ANSWER_MAX.as_secs()
                )
            }
        }
    }

    /// Posts what must succeed, waiting until it is decided.
    pub(crate) async fn expect_ok(
        &mut self,
        path: &str,
        key: Option<&str>,
        body: String,
    ) -> anyhow::Result<()> {
        let mut headers = vec![("Prefer", "wait=10")];
        headers.extend(key.map(|key| ("Idempotency-Key", key)));
        let answer = self.post(path, &headers, body).await?;
        if !answer.status.is_success() {
            bail!(
                "{path} answered {}: {}",
                answer.status,
                String::from_utf8_lossy(&answer.body)
            );
        }
        Ok(())
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> anyhow::Result<Answer> {
        let sender = match &mut self.connection {
            Some(sender) if !sender.is_closed() => sender,
            closed => closed.insert(connect(&self.authority).await?),
        };
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        let status = answer.status();
        let replayed = answer.headers().contains_key("idempotent-replayed");
        let body = answer.into_body().collect().await?.to_bytes();
        Ok(Answer {
            status,
            replayed,
            body,
        })
    }
}

/// Host and port of the API.
pub(crate) fn authority(url: &str) -> anyhow::Result<String> {
    let authority = url
        .strip_prefix("http://")
        .with_context(|| format!("the API's address begins with http://, not {url}; where it stands behind TLS, use the address behind that"))?;
    Ok(authority.trim_end_matches('/').to_owned())
}

async fn connect(authority: &str) -> anyhow::Result<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(authority).await?;
    stream.set_nodelay(true)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to the API broke");
        }
    });
    Ok(sender)
}
