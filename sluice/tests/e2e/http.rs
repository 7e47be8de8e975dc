//! A client of the API.

use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

pub(crate) struct Client {
    authority: String,
    key: String,
    connection: Option<SendRequest<Full<Bytes>>>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self:?}");
        self.json()
    }
}

impl Client {
    pub(crate) fn new(url: &str, key: &str) -> Self {
        let authority = url.strip_prefix("http://").unwrap().to_owned();
        Self {
            authority,
            key: key.to_owned(),
            connection: None,
        }
    }

    pub(crate) async fn get(&mut self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await.unwrap()
    }

    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        self.send("POST", path, headers, body).await.unwrap()
    }

    /// An error when the connection broke.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", &self.authority)
            .header("authorization", format!("Bearer {}", self.key));
        if !headers.iter().any(|(name, _)| *name == "content-type") {
            request = request.header("content-type", "application/json");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes())))?;
        let answer = self.exchange(request).await;
        if answer.is_err() {
            self.connection = None;
        }
        answer
    }

    /// A transfer of US dollars.
    pub(crate) async fn transfer(
        &mut self,
        key: &str,
        from: &str,
        to: &str,
        amount: &str,
        wait: bool,
    ) -> Answer {
        let headers = [("idempotency-key", key), ("prefer", "wait=10")];
        self.post(
            "/v1/transfers",
            &headers[..if wait { 2 } else { 1 }],
            &transfer(from, to, amount),
        )
        .await
    }

    pub(crate) async fn balance(&mut self, account: &str) -> String {
        let account = self
            .get(&format!("/v1/accounts/{account}"))
            .await
            .expect(200);
        account["balance"].as_str().unwrap().to_owned()
    }

    async fn exchange(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
        if self.connection.as_ref().is_none_or(SendRequest::is_closed) {
            let stream = TcpStream::connect(&self.authority).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            tokio::spawn(async move { connection.await.ok() });
            self.connection = Some(sender);
        }
        let sender = self.connection.as_mut().unwrap();
        sender.ready().await?;
        let answer = sender.send_request(request).await?;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let body = answer.into_body().collect().await?.to_bytes();
        Ok(Answer {
            status,
            headers,
            text: String::from_utf8(body.to_vec())?,
        })
    }
}

pub(crate) fn transfer(from: &str, to: &str, amount: &str) -> String {
    format!(
        r#"{{"debit_account":"{from}","credit_account":"{to}","amount":"{amount}","currency":"USD"}}"#
    )
}
