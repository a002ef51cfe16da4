//! Bytes between a WebSocket pair and a local stream, both ways.
//!
//! A pair carries binary frames only and knows no half-close: when either side
//! ends, both do. What was read before the end is delivered first.

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio_tungstenite::tungstenite::Message;

use crate::{LinkError, Socket};

/// Bytes of a message that is sent.
pub const CHUNK_BYTES_MAX: usize = 32 << 10;

/// What went through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pumped {
    /// Bytes from the local stream to the service.
    pub sent: u64,
    /// Bytes from the service to the local stream.
    pub received: u64,
}

/// Pumps until either side ends.
///
/// # Errors
/// Either side broke; an end in order is none.
pub async fn pump<S>(socket: Socket, local: S) -> Result<Pumped, LinkError>
where
    S: AsyncRead + AsyncWrite,
{
    let (mut to_service, mut from_service) = socket.split();
    let (mut reader, mut writer) = tokio::io::split(local);
    let mut pumped = Pumped::default();
    let broken = |error: std::io::Error| LinkError::Broken(error.to_string());
    let failed =
        |error: tokio_tungstenite::tungstenite::Error| LinkError::Broken(error.to_string());
    let (sent, received) = (&mut pumped.sent, &mut pumped.received);
    let outward = async {
        let mut buffer = vec![0; CHUNK_BYTES_MAX];
        loop {
            let count = reader.read(&mut buffer).await.map_err(broken)?;
            if count == 0 {
                return to_service.close().await.map_err(failed);
            }
            *sent += count as u64;
            let message = Message::binary(buffer[..count].to_vec());
            to_service.send(message).await.map_err(failed)?;
        }
    };
    let inward = async {
        while let Some(message) = from_service.next().await {
            match message.map_err(failed)? {
                Message::Binary(bytes) => {
                    *received += bytes.len() as u64;
                    writer.write_all(&bytes).await.map_err(broken)?;
                }
                Message::Close(_) => break,
                _ => {}
            }
        }
        writer.shutdown().await.map_err(broken)
    };
    tokio::select! {
        end = outward => end,
        end = inward => end,
    }?;
    Ok(pumped)
}
