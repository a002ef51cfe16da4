//! `osmo port-forward`: one stream each way beside a bare pump, all its bytes
//! by one SHA-256, and many connections at once.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use osmo_protocol::router::{PairKind, Side};
use sha2::{Digest as _, Sha256};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::task::{JoinSet, spawn_blocking};

use super::Bench;
use super::case::{Bar, Measure};
use super::peak::resident_mib;
use super::place::{Ground, More, Pod};

const MIB: u64 = 1 << 20;
/// Of one round, each way.
const BYTES: u64 = 512 * MIB;
/// Of the stream that is digested, each way.
const DIGEST_BYTES: u64 = 1024 * MIB;
const CONNECTIONS: u64 = 1_000;
/// What each of them sends and gets back.
const ECHO_BYTES: usize = 64 << 10;
const BLOCK_BYTES: usize = 1 << 20;
const BAR: Bar = Bar::AtLeast(0.7);

/// A request is one of these and a count of bytes, big-endian.
const TAKE: u8 = b't';
const DIGEST: u8 = b'd';
const GIVE: u8 = b'g';
const ECHO: u8 = b'e';

pub(super) async fn run(bench: &Bench) -> Result<Vec<Measure>> {
    let pod = Ground::new(bench).await?.waiting(&More::default()).await?;
    let server = serve()?;
    let (tunnel, ours) = forward(&pod, server).await?;
    let mut measures = streams(bench, &pod, ours, server).await?;
    measures.push(digested(bench.scaled(DIGEST_BYTES), ours).await?);
    measures.extend(many(bench.scaled(CONNECTIONS), ours, &pod, &tunnel).await?);
    drop(tunnel);
    pod.over().await?;
    Ok(measures)
}

/// GiB a second, ours and bare, both ways.
async fn streams(bench: &Bench, pod: &Pod, ours: u16, server: u16) -> Result<Vec<Measure>> {
    let bytes = bench.scaled(BYTES);
    let mut measures = Vec::new();
    for (name, what) in [("to the task", TAKE), ("from the task", GIVE)] {
        let (fast, bare) = bench
            .turns(
                async || rate(ours, what, bytes).await,
                async || {
                    // A pair ends with its stream: each round has its own.
                    let (programs, port) = bare_pump(pod, server).await?;
                    let rate = rate(port, what, bytes).await;
                    drop(programs);
                    rate
                },
            )
            .await?;
        let title = format!("port-forward {name}, beside bare");
        measures.push(Measure::ratio(&title, &fast, &bare).bar(BAR));
        measures.push(Measure::new(&format!("port-forward {name}"), "GiB/s", fast));
        measures.push(Measure::new(&format!("bare pump {name}"), "GiB/s", bare));
    }
    Ok(measures)
}

/// `osmo port-forward`, and where it listens.
pub(super) async fn forward(pod: &Pod, port: u16) -> Result<(Child, u16)> {
    let mut command = pod.ground.osmo(&["port-forward"]);
    command.arg(format!("0:{port}")).stderr(Stdio::piped());
    let mut child = command.spawn().context("start osmo")?;
    let mut lines = BufReader::new(child.stderr.take().context("piped")?).lines();
    let line = lines.next_line().await?.context("osmo says nothing")?;
    let place = line.split(" -> ").next().and_then(|text| text.rsplit(':').next());
    let own = place.and_then(|text| text.parse().ok());
    let own = own.with_context(|| format!("no port in {line:?}"))?;
    // Its words must not block it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Ok((child, own))
}

/// Two bare programs around a pair, and where they listen.
async fn bare_pump(pod: &Pod, server: u16) -> Result<([Child; 2], u16)> {
    let kind = PairKind::PortForward;
    let route = pod.ground.route(kind);
    let exe = std::env::current_exe()?;
    let bare = |word: &str, side: Side| {
        let mut command = Command::new(&exe);
        command.args(["bare", word]).args(pod.ground.bare_side(kind, side, &route.key));
        command.kill_on_drop(true);
        command
    };
    let task = bare("to-port", Side::Backend).arg(server.to_string()).spawn()?;
    let mut user = bare("from-port", Side::Client).stdout(Stdio::piped()).spawn()?;
    let mut line = String::new();
    BufReader::new(user.stdout.take().context("piped")?).read_line(&mut line).await?;
    Ok(([user, task], line.trim().parse()?))
}

/// GiB a second of one stream. The connection is there, and has answered,
/// before the clock starts.
async fn rate(port: u16, what: u8, bytes: u64) -> Result<f64> {
    spawn_blocking(move || {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        request(&mut stream, ECHO, 1)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
        let begin = Instant::now();
        request(&mut stream, what, bytes)?;
        if what == TAKE {
            each_block(bytes, |block| stream.write_all(block))?;
            stream.read_exact(&mut [0])?;
        } else {
            take(&mut stream, bytes, |_| ())?;
        }
        Ok(bytes as f64 / (1u64 << 30) as f64 / begin.elapsed().as_secs_f64())
    })
    .await?
}

/// The same bytes there and back; what each side digests must be equal.
async fn digested(bytes: u64, port: u16) -> Result<Measure> {
    let begin = Instant::now();
    spawn_blocking(move || {
        let mut known = Sha256::new();
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        request(&mut stream, DIGEST, bytes)?;
        each_block(bytes, |block| {
            known.update(block);
            stream.write_all(block)
        })?;
        let known: [u8; 32] = known.finalize().into();
        let mut there = [0; 32];
        stream.read_exact(&mut there)?;
        ensure!(known == there, "the task got other bytes");
        request(&mut stream, GIVE, bytes)?;
        let mut back = Sha256::new();
        take(&mut stream, bytes, |block| back.update(block))?;
        let back: [u8; 32] = back.finalize().into();
        ensure!(known == back, "the user got other bytes");
        Ok(())
    })
    .await??;
    let mib = bytes as f64 / MIB as f64;
    let title = format!("{mib:.0} MiB there and back, equal by SHA-256");
    Ok(Measure::one(&title, "s", begin.elapsed().as_secs_f64()))
}

/// All are open before the first speaks.
async fn many(count: u64, port: u16, pod: &Pod, tunnel: &Child) -> Result<Vec<Measure>> {
    let begin = Instant::now();
    let mut open = Vec::new();
    for _ in 0..count {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream.write_all(&head(ECHO, ECHO_BYTES as u64)).await?;
        open.push(stream);
    }
    let opened = begin.elapsed().as_secs_f64();
    let pids = [pod.ctrl.id(), tunnel.id()].map(Option::unwrap_or_default);
    let quiet = pids.map(resident_mib);
    let mut running = JoinSet::new();
    for (number, mut stream) in open.into_iter().enumerate() {
        running.spawn(async move {
            let word = (number as u64).to_be_bytes();
            let sent = word.repeat(ECHO_BYTES / word.len());
            stream.write_all(&sent).await?;
            let mut back = vec![0; ECHO_BYTES];
            stream.read_exact(&mut back).await?;
            ensure!(sent == back, "connection {number} got other bytes");
            Ok(stream)
        });
    }
    let mut kept = Vec::new();
    while let Some(ended) = running.join_next().await {
        kept.push(ended??);
    }
    let all = begin.elapsed().as_secs_f64();
    let title = format!("{count} connections at once");
    Ok(vec![
        Measure::one(&format!("{title}: asked for"), "s", opened),
        Measure::one(&format!("{title}: 64 KiB there and back on each"), "s", all),
        Measure::one(&format!("{title}: osmo-ctrl before they speak"), "MiB", quiet[0]),
        Measure::one(&format!("{title}: osmo-ctrl after"), "MiB", resident_mib(pids[0])),
        Measure::one(&format!("{title}: osmo port-forward before"), "MiB", quiet[1]),
        Measure::one(&format!("{title}: osmo port-forward after"), "MiB", resident_mib(pids[1])),
    ])
}

/// What listens in the task; its port.
pub(super) fn serve() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client that leaves is no news.
            thread::spawn(move || answer(stream));
        }
    });
    Ok(port)
}

fn answer(mut stream: TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut head = [0; 9];
    while stream.read_exact(&mut head).is_ok() {
        let bytes = u64::from_be_bytes(head[1..].try_into()?);
        match head[0] {
            TAKE => {
                take(&mut stream, bytes, |_| ())?;
                stream.write_all(b"!")?;
            }
            DIGEST => {
                let mut digest = Sha256::new();
                take(&mut stream, bytes, |block| digest.update(block))?;
                stream.write_all(&digest.finalize())?;
            }
            GIVE => each_block(bytes, |block| stream.write_all(block))?,
            _ => {
                let mut block = vec![0; usize::try_from(bytes)?];
                stream.read_exact(&mut block)?;
                stream.write_all(&block)?;
            }
        }
    }
    Ok(())
}

fn head(what: u8, bytes: u64) -> [u8; 9] {
    let mut head = [what; 9];
    head[1..].copy_from_slice(&bytes.to_be_bytes());
    head
}

fn request(stream: &mut TcpStream, what: u8, bytes: u64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    stream.write_all(&head(what, bytes))
}

/// Gives a stream of `bytes` that never repeats, block by block.
fn each_block(
    bytes: u64,
    mut give: impl FnMut(&[u8]) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut word = 0x9e37_79b9_7f4a_7c15_u64;
    let mut block: Vec<u8> = (0..BLOCK_BYTES / 8)
        .flat_map(|_| {
            word ^= word << 13;
            word ^= word >> 7;
            word ^= word << 17;
            word.to_le_bytes()
        })
        .collect();
    let (mut left, mut number) = (bytes, 0u64);
    while left > 0 {
        block[..8].copy_from_slice(&number.to_le_bytes());
        let count = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK_BYTES);
        give(&block[..count])?;
        left -= count as u64;
        number += 1;
    }
    Ok(())
}

fn take(stream: &mut TcpStream, bytes: u64, mut look: impl FnMut(&[u8])) -> Result<()> {
    let (mut left, mut buffer) = (bytes, vec![0; 256 << 10]);
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(buffer.len());
        let count = stream.read(&mut buffer[..most])?;
        ensure!(count > 0, "the stream ends {left} bytes early");
        look(&buffer[..count]);
        left -= count as u64;
    }
    Ok(())
}
