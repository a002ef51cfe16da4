//! HTTP calls: one connection each, an answer of bounded size.

use bytes::Bytes;
use http::header::{HOST, HeaderValue, PROXY_AUTHORIZATION};
use http::{Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper_util::rt::TokioIo;
use osmo_engine::net::proxy::{Proxy, refuses_itself};

use crate::{LinkError, Network, Place};

/// Bytes of an answer.
pub const ANSWER_BYTES_MAX: usize = 1 << 20;

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
        let no_url = |_| LinkError::Address(format!("{url:?} is no URL"));
        let uri: Uri = url.parse().map_err(no_url)?;
        let host = HeaderValue::from_str(&place.authority())
            .map_err(|_| LinkError::Address(format!("{url:?} has no proper host")))?;
        request.headers_mut().insert(HOST, host);
        request.headers_mut().extend(self.headers.clone());
        let carrier = self.for_requests(place).await?;
        let proxy = carrier.forward().cloned();
        match &proxy {
            Some(proxy) => {
                authorize(&mut request, proxy);
                *request.uri_mut() = uri;
            }
            None => {
                let path = uri.path_and_query().cloned();
                *request.uri_mut() = path.map(Uri::from).unwrap_or_default();
            }
        }
        let answer = exchange(TokioIo::new(carrier), request)
            .await
            .map_err(|reason| LinkError::Unreached { place: place.authority(), reason })?;
        match proxy.filter(|_| is_the_proxy_s(&answer)) {
            Some(proxy) => Err(LinkError::Unreached {
                place: place.authority(),
                reason: format!(
                    "the proxy {proxy} answered {}: check the proxy variable and its user",
                    answer.status().as_u16()
                ),
            }),
            None => Ok(answer),
        }
    }
}

fn authorize(request: &mut Request<Bytes>, proxy: &Proxy) {
    if let Some(value) = &proxy.authorization
        && let Ok(mut value) = HeaderValue::from_str(value.reveal())
    {
        value.set_sensitive(true);
        request.headers_mut().insert(PROXY_AUTHORIZATION, value);
    }
}

fn is_the_proxy_s(answer: &Response<Bytes>) -> bool {
    let kind = answer.headers().get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    refuses_itself(answer.status().as_u16(), kind, false)
}

/// One request, one answer; the error is a reason for people.
async fn exchange<S>(stream: TokioIo<S>, request: Request<Bytes>) -> Result<Response<Bytes>, String>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin,
{
    let (mut sender, connection) = hyper::client::conn::http1::handshake(stream)
        .await
        .map_err(|error| format!("the connection broke: {error}"))?;
    let exchange = async {
        let response = sender.send_request(request.map(Full::new)).await;
        let response = response.map_err(|error| format!("no answer came: {error}"))?;
        let (head, body) = response.into_parts();
        let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() {
                return format!("the answer is longer than {ANSWER_BYTES_MAX} bytes");
            }
            format!("the answer was cut: {error}")
        })?;
        Ok(Response::from_parts(head, body.to_bytes()))
    };
    tokio::pin!(connection, exchange);
    tokio::select! {
        answer = &mut exchange => answer,
        // The connection may end with its answer still on the way to us.
        _ = &mut connection => exchange.await,
    }
}
