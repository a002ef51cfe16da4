//! HTTP calls: one connection each, an answer of bounded size.

use bytes::Bytes;
use http::header::{HOST, HeaderValue};
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;

use crate::{LinkError, Network, Place};

/// Bytes of an answer.
const ANSWER_BYTES_MAX: usize = 1 << 20;

impl Network {
    /// Sends `request`, whose URI is a path with its query, and reads the whole
    /// answer, whatever its status. Takes as long as the peer does: callers
    /// limit it.
    ///
    /// # Errors
    /// As [`Network::stream`], or the answer is none or too long.
    pub async fn call(
        &self,
        place: &Place,
        mut request: Request<Bytes>,
    ) -> Result<Response<Bytes>, LinkError> {
        let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
        let url = place.url("http", path);
        let path = url.splitn(4, '/').nth(3).map(|path| format!("/{path}")).unwrap_or_default();
        *request.uri_mut() =
            path.parse().map_err(|_| LinkError::Address(format!("{url:?} is no URL")))?;
        let host = HeaderValue::from_str(&place.authority())
            .map_err(|_| LinkError::Address(format!("{url:?} has no proper host")))?;
        request.headers_mut().insert(HOST, host);
        let broken = |error: hyper::Error| LinkError::Broken(error.to_string());
        let stream = TokioIo::new(self.stream(place).await?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(broken)?;
        let exchange = async {
            let response = sender.send_request(request.map(Full::new)).await.map_err(broken)?;
            let (head, body) = response.into_parts();
            let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| LinkError::Broken(error.to_string()))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        tokio::pin!(connection, exchange);
        tokio::select! {
            answer = &mut exchange => answer,
            // The connection may end with its answer still on the way to us.
            _ = &mut connection => exchange.await,
        }
    }
}
