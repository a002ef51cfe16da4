//! Bytes through a real WebSocket on loopback, whose peer the test plays.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderMap;
use osmo_link::pump::{CHUNK_BYTES_MAX, END_LIMIT, Pumped, pump};
use osmo_link::{LinkError, MESSAGE_BYTES_MAX, Network, Place, Socket, Trust};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

const WATCHDOG: Duration = Duration::from_secs(60);
const MIB: usize = 1 << 20;

type Peer = WebSocketStream<TcpStream>;
type Pumping = JoinHandle<Result<Pumped, LinkError>>;

async fn pair() -> (Socket, Peer) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let place = Place::new(false, "127.0.0.1", listener.local_addr().unwrap().port());
    let network = Network::open(Trust::default()).unwrap();
    let dial = network.websocket(&place, "/", HeaderMap::new(), MESSAGE_BYTES_MAX);
    let accept = async {
        let (stream, _) = listener.accept().await.unwrap();
        tokio_tungstenite::accept_async(stream).await.unwrap()
    };
    let (socket, peer) = tokio::join!(dial, accept);
    (socket.unwrap(), peer)
}

/// A pump at work, with the far ends of both its sides.
async fn pumping(room: usize) -> (Pumping, DuplexStream, Peer) {
    let (socket, peer) = pair().await;
    let (near, far) = tokio::io::duplex(room);
    (tokio::spawn(pump(socket, near)), far, peer)
}

async fn ended(pumping: Pumping) -> Result<Pumped, LinkError> {
    timeout(WATCHDOG, pumping).await.expect("the pump ends").unwrap()
}

/// Bytes that show where they belong.
fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap()).collect()
}

/// Every message to the close, as they came.
async fn messages(peer: &mut Peer) -> Vec<Message> {
    let mut all = Vec::new();
    while let Some(Ok(message)) = peer.next().await {
        let last = message.is_close();
        all.push(message);
        if last {
            break;
        }
    }
    all
}

#[tokio::test]
async fn what_was_read_before_the_local_end_is_delivered_in_proper_messages() {
    let (pumping, mut far, mut peer) = pumping(64 << 10).await;
    let sent = content(MIB + 7);
    let copy = sent.clone();
    let writing = tokio::spawn(async move {
        far.write_all(&copy).await.unwrap();
        far.shutdown().await.unwrap();
        far
    });
    let mut all = timeout(WATCHDOG, messages(&mut peer)).await.unwrap();
    let Some(Message::Close(Some(close))) = all.pop() else { panic!("no close: {all:?}") };
    assert_eq!(u16::from(close.code), 1000);
    let mut received = Vec::new();
    for message in all {
        let Message::Binary(bytes) = message else { panic!("{message:?}") };
        assert!((1..=CHUNK_BYTES_MAX).contains(&bytes.len()), "{}", bytes.len());
        received.extend_from_slice(&bytes);
    }
    assert!(received == sent);
    let _far = writing.await.unwrap();
    // The answer to the close goes out with the next look.
    assert!(peer.next().await.is_none());
    assert_eq!(ended(pumping).await.unwrap(), Pumped { sent: sent.len() as u64, received: 0 });
}

#[tokio::test]
async fn what_the_service_sent_before_its_close_is_delivered() {
    let (pumping, mut far, mut peer) = pumping(1 << 10).await;
    let sent = content(MIB);
    peer.send(Message::text("not for us")).await.unwrap();
    peer.send(Message::binary(Vec::new())).await.unwrap();
    let copy = sent.clone();
    let sending = tokio::spawn(async move {
        peer.send(Message::binary(copy)).await.unwrap();
        peer.close(None).await.unwrap();
        while let Some(Ok(_)) = peer.next().await {}
    });
    let mut received = Vec::new();
    timeout(WATCHDOG, far.read_to_end(&mut received)).await.unwrap().unwrap();
    assert!(received == sent);
    drop(far);
    timeout(WATCHDOG, sending).await.unwrap().unwrap();
    assert_eq!(ended(pumping).await.unwrap(), Pumped { sent: 0, received: sent.len() as u64 });
}

#[tokio::test]
async fn two_full_sides_do_not_block_each_other() {
    let (pumping, far, peer) = pumping(1 << 10).await;
    let (mut reader, mut writer) = tokio::io::split(far);
    let (mut to_pump, mut from_pump) = peer.split();
    let much = content(8 * MIB);
    let (one, other) = (much.clone(), much.clone());
    // Both sides only write until all buffers are full.
    let local = tokio::spawn(async move {
        writer.write_all(&one).await.unwrap();
        writer
    });
    let service = tokio::spawn(async move {
        for chunk in other.chunks(100_000) {
            to_pump.send(Message::binary(chunk.to_vec())).await.unwrap();
        }
        to_pump
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    // Then one of them reads: that direction has to flow, the other one stuck.
    let mut received = vec![0; much.len()];
    timeout(WATCHDOG, reader.read_exact(&mut received)).await.unwrap().unwrap();
    assert!(received == much);
    let mut back = Vec::new();
    while back.len() < much.len() {
        match timeout(WATCHDOG, from_pump.next()).await.unwrap().unwrap().unwrap() {
            Message::Binary(bytes) => back.extend_from_slice(&bytes),
            other => panic!("{other:?}"),
        }
    }
    assert!(back == much);
    let (_writer, mut to_pump) = (local.await.unwrap(), service.await.unwrap());
    to_pump.close().await.unwrap();
    drop((reader, _writer));
    let pumped = ended(pumping).await.unwrap();
    assert_eq!(pumped, Pumped { sent: 8 * MIB as u64, received: 8 * MIB as u64 });
}

#[tokio::test]
async fn a_peer_that_never_answers_the_close_is_not_waited_for() {
    let (pumping, mut far, peer) = pumping(1 << 10).await;
    far.shutdown().await.unwrap();
    let begin = Instant::now();
    ended(pumping).await.unwrap();
    assert!(begin.elapsed() < END_LIMIT * 3 + WATCHDOG / 2);
    drop(peer);
}

#[tokio::test]
async fn pings_are_answered_while_nothing_else_happens() {
    let (pumping, far, mut peer) = pumping(1 << 10).await;
    peer.send(Message::Ping("are you there".into())).await.unwrap();
    let answer = timeout(WATCHDOG, peer.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(answer, Message::Pong("are you there".into()));
    drop(far);
    timeout(WATCHDOG, messages(&mut peer)).await.unwrap();
    ended(pumping).await.unwrap();
}

#[tokio::test]
async fn the_last_words_of_somebody_who_reads_nothing_are_delivered() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let near = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (mut far, _) = listener.accept().await.unwrap();
    let (socket, mut peer) = pair().await;
    far.write_all(b"go away").await.unwrap();
    peer.send(Message::binary(content(CHUNK_BYTES_MAX))).await.unwrap();
    let pumping = tokio::spawn(pump(socket, near));
    let first = timeout(WATCHDOG, peer.next()).await.unwrap().unwrap().unwrap();
    assert_eq!(first, Message::binary(b"go away".to_vec()));
    // With bytes unread this is a reset.
    drop(far);
    let all = timeout(WATCHDOG, messages(&mut peer)).await.unwrap();
    assert!(matches!(all.last(), Some(Message::Close(_))), "{all:?}");
    assert_eq!(ended(pumping).await.unwrap().sent, 7);
}

#[tokio::test]
async fn a_connection_that_breaks_is_told() {
    let (pumping, far, peer) = pumping(1 << 10).await;
    drop(peer);
    let fault = ended(pumping).await.unwrap_err();
    assert!(matches!(fault, LinkError::Broken(_)), "{fault}");
    drop(far);
}
