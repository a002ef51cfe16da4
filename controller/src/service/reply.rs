//! What the service answers with: a whole body, or one that comes in pieces.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Body, Frame, SizeHint};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;

/// Pieces that a writer may be ahead of its reader.
const AHEAD: usize = 4;

pub(crate) type Reply = Response<Answer>;

/// The body breaks off here: the connection ends without the rest.
#[derive(Debug, thiserror::Error)]
#[error("the reply breaks off")]
pub(crate) struct Cut;

/// A reply's body.
pub(crate) enum Answer {
    Whole(Full<Bytes>),
    Pieces {
        from: mpsc::Receiver<Result<Bytes, Cut>>,
        /// The head leaves before the first piece is asked for, so that a
        /// reply which breaks off at once still has one.
        head_left: bool,
    },
}

/// A body in pieces, and where to put them. The body ends with the sender.
pub(crate) fn pieces() -> (mpsc::Sender<Result<Bytes, Cut>>, Answer) {
    let (to, from) = mpsc::channel(AHEAD);
    (to, Answer::Pieces { from, head_left: false })
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Cut;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Cut>>> {
        match self.get_mut() {
            Self::Whole(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                Poll::Ready(frame.map(|frame| frame.map_err(|never| match never {})))
            }
            Self::Pieces { head_left: head_left @ false, .. } => {
                *head_left = true;
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            Self::Pieces { from, .. } => {
                Poll::Ready(ready!(from.poll_recv(cx)).map(|piece| piece.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self, Self::Whole(body) if body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Pieces { .. } => SizeHint::default(),
        }
    }
}

/// A JSON reply.
pub(crate) fn json(status: StatusCode, body: impl Into<Bytes>) -> Reply {
    typed(status, "application/json", body.into())
}

/// A text reply.
pub(crate) fn text(status: StatusCode, body: &'static str) -> Reply {
    typed(status, "text/plain; charset=utf-8", Bytes::from_static(body.as_bytes()))
}

/// A sentence without a content type.
pub(crate) fn bare(status: StatusCode, body: &'static str) -> Reply {
    let mut reply = Response::new(Answer::Whole(Full::from(body)));
    *reply.status_mut() = status;
    reply
}

/// `{"detail": …}`, as the real service words what its framework refuses.
pub(crate) fn detail(status: StatusCode, detail: impl serde::Serialize) -> Reply {
    let detail = serde_json::to_string(&detail).unwrap_or_default();
    json(status, format!("{{\"detail\":{detail}}}"))
}

pub(crate) fn empty(status: StatusCode) -> Reply {
    bare(status, "")
}

fn typed(status: StatusCode, kind: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(Answer::Whole(Full::new(body)));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}
