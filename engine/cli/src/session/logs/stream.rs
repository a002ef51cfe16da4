//! An answer that goes on, line by line.

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Request, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::session::service::{REQUEST_WAIT, Service};
use crate::session::trouble::Trouble;

/// A longer line comes in pieces.
const LINE_BYTES_MAX: usize = 1 << 20;
/// Bytes of a refusal.
const REFUSAL_BYTES_MAX: usize = 64 << 10;

pub(super) struct Lines {
    body: Incoming,
    pending: BytesMut,
    connection: JoinHandle<()>,
}

pub(super) enum Next {
    /// With its line feed, where it has one.
    Line(Bytes),
    End,
    Lost(String),
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Lines {
    /// Asks, with a renewed token where the first is refused.
    pub(super) async fn open(service: &Service, path: &str) -> Result<Self, Trouble> {
        let headers = service.headers(None).await?;
        let has_token = headers.contains_key(header::AUTHORIZATION);
        match Self::attempt(service, path, headers.clone()).await? {
            Ok(lines) => Ok(lines),
            Err((401 | 403, _)) if has_token => {
                let headers = service.headers(Some(&headers)).await?;
                let again = Self::attempt(service, path, headers).await?;
                again.map_err(|(status, body)| service.refusal(status, &body))
            }
            Err((status, body)) => Err(service.refusal(status, &body)),
        }
    }

    async fn attempt(
        service: &Service,
        path: &str,
        headers: http::HeaderMap,
    ) -> Result<Result<Self, (u16, Bytes)>, Trouble> {
        match timeout(REQUEST_WAIT, Self::ask(service, path, headers)).await {
            Ok(answer) => answer,
            Err(_) => Err(service.silent()),
        }
    }

    async fn ask(
        service: &Service,
        path: &str,
        headers: http::HeaderMap,
    ) -> Result<Result<Self, (u16, Bytes)>, Trouble> {
        let lost = |error: hyper::Error| {
            Trouble::Transient(format!("the log's connection was lost: {error}"))
        };
        let stream = service.network.stream(&service.place).await;
        let stream = stream.map_err(|error| service.unreached(&error))?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(lost)?;
        let connection = tokio::spawn(async move {
            let _ = connection.await;
        });
        let host = HeaderValue::from_str(&service.place.authority());
        let host = host.map_err(|_| Trouble::Refused("the service has no proper host".into()))?;
        let mut request = Request::get(format!("{}{path}", service.prefix))
            .body(Empty::<Bytes>::new())
            .map_err(|_| Trouble::Usage(format!("{path:?} is no path")))?;
        *request.headers_mut() = headers;
        request.headers_mut().insert(header::HOST, host);
        let (head, body) = sender.send_request(request).await.map_err(lost)?.into_parts();
        if head.status == 200 {
            return Ok(Ok(Self { body, pending: BytesMut::new(), connection }));
        }
        let body = Limited::new(body, REFUSAL_BYTES_MAX).collect().await;
        connection.abort();
        Ok(Err((head.status.as_u16(), body.map(|body| body.to_bytes()).unwrap_or_default())))
    }

    /// Can be dropped while it waits, and loses nothing.
    pub(super) async fn next(&mut self) -> Next {
        loop {
            let end = self.pending.iter().position(|&byte| byte == b'\n').map(|at| at + 1);
            let end =
                end.or_else(|| (self.pending.len() >= LINE_BYTES_MAX).then_some(LINE_BYTES_MAX));
            if let Some(end) = end {
                return Next::Line(self.pending.split_to(end).freeze());
            }
            match self.body.frame().await {
                Some(Ok(frame)) => {
                    if let Ok(bytes) = frame.into_data() {
                        self.pending.extend_from_slice(&bytes);
                    }
                }
                Some(Err(error)) => return Next::Lost(error.to_string()),
                None if self.pending.is_empty() => return Next::End,
                None => return Next::Line(self.pending.split().freeze()),
            }
        }
    }
}
