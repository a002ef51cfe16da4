//! The least that a program must do at each hop: bytes from a WebSocket to a
//! stream and back, an echo, lines of a file as frames. tokio-tungstenite with
//! its own settings, no flow of our own.

use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{HeaderValue, header};
use osmo_protocol::logger::{ClientFrame, Line, LineType};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

const READ_BYTES: usize = 64 << 10;

/// A bare program, as a process of its own.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A unix socket that gives back what it gets
    Echo { socket: PathBuf },
    /// The same through a terminal, which echoes
    Terminal { socket: PathBuf },
    /// A WebSocket and a unix socket
    ToUnix { url: String, token: String, socket: PathBuf },
    /// A WebSocket and a connection to a port
    ToPort { url: String, token: String, port: u16 },
    /// A port, which is printed, and a WebSocket for its first connection
    FromPort { url: String, token: String },
    /// The lines of a file as frames of the log
    Lines { url: String, token: String, file: PathBuf },
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Runs until its peers leave.
pub(crate) fn main(flags: &Flags) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        match &flags.what {
            What::Echo { socket } => echo(UnixListener::bind(socket)?).await,
            What::Terminal { socket } => terminal(UnixListener::bind(socket)?).await,
            What::ToUnix { url, token, socket } => {
                pump(dial(url, token).await?, UnixStream::connect(socket).await?).await
            }
            What::ToPort { url, token, port } => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).await?;
                stream.set_nodelay(true)?;
                pump(dial(url, token).await?, stream).await
            }
            What::FromPort { url, token } => {
                let listener = TcpListener::bind("127.0.0.1:0").await?;
                writeln!(std::io::stdout(), "{}", listener.local_addr()?.port())?;
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                pump(dial(url, token).await?, stream).await
            }
            What::Lines { url, token, file } => lines(dial(url, token).await?, file).await,
        }
    })
}

async fn dial(url: &str, token: &str) -> Result<Socket> {
    let mut request = url.into_client_request()?;
    let value = HeaderValue::from_str(&format!("Bearer {token}"))?;
    request.headers_mut().insert(header::AUTHORIZATION, value);
    let dialled = tokio_tungstenite::connect_async_with_config(request, None, true).await;
    Ok(dialled.with_context(|| format!("dial {url}"))?.0)
}

async fn echo(listener: UnixListener) -> Result<()> {
    let (mut stream, _) = listener.accept().await?;
    let mut buffer = vec![0; READ_BYTES];
    while let count @ 1.. = stream.read(&mut buffer).await? {
        stream.write_all(&buffer[..count]).await?;
    }
    Ok(())
}

/// Bytes into a terminal whose echo goes back; nobody reads at its other end but
/// a thread that throws away.
async fn terminal(listener: UnixListener) -> Result<()> {
    let (end, program) = open_terminal()?;
    std::thread::spawn(move || {
        let mut program = File::from(program);
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(1..) = program.read(&mut buffer) {}
    });
    let screen = Receiver::from_owned_fd_unchecked(end.try_clone()?)?;
    let mut keyboard = Sender::from_owned_fd_unchecked(end)?;
    let (stream, _) = listener.accept().await?;
    let (mut from, mut to) = stream.into_split();
    let show = async {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            screen.readable().await?;
            match screen.try_read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => to.write_all(&buffer[..count]).await?,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
    };
    tokio::select! {
        ended = tokio::io::copy(&mut from, &mut keyboard) => drop(ended?),
        ended = show => ended?,
    }
    Ok(())
}

fn open_terminal() -> Result<(OwnedFd, OwnedFd)> {
    use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let end = openpt(flags)?;
    grantpt(&end)?;
    unlockpt(&end)?;
    let program = ioctl_tiocgptpeer(&end, flags)?;
    let mut settings = tcgetattr(&program)?;
    settings.local_modes.remove(LocalModes::ICANON | LocalModes::ISIG);
    tcsetattr(&program, OptionalActions::Now, &settings)?;
    rustix::io::ioctl_fionbio(&end, true)?;
    Ok((end, program))
}

async fn pump<S: AsyncRead + AsyncWrite>(socket: Socket, stream: S) -> Result<()> {
    let (mut sink, mut messages) = socket.split();
    let (mut reader, mut writer) = tokio::io::split(stream);
    let outward = async {
        let mut buffer = vec![0; READ_BYTES];
        while let Ok(count @ 1..) = reader.read(&mut buffer).await {
            sink.send(Message::binary(buffer[..count].to_vec())).await?;
        }
        sink.close().await
    };
    let inward = async {
        while let Some(Ok(Message::Binary(bytes))) = messages.next().await {
            if writer.write_all(&bytes).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        ended = outward => ended?,
        () = inward => {}
    }
    Ok(())
}

async fn lines(socket: Socket, file: &std::path::Path) -> Result<()> {
    let text = std::fs::read_to_string(file)?;
    let (mut sink, mut messages) = socket.split();
    tokio::spawn(async move { while let Some(Ok(_)) = messages.next().await {} });
    for line in text.lines() {
        sink.feed(Message::text(frame(line))).await?;
    }
    sink.flush().await?;
    // Whoever counts the lines ends this process.
    std::future::pending().await
}

/// As the sidecar would send it.
pub(super) fn frame(text: &str) -> String {
    let time = "2026-01-02T03:04:05.123456789Z".to_owned();
    let (source, io_type) = ("t1".to_owned(), LineType::Stdout);
    ClientFrame::Line(Line { source, time, text: text.to_owned(), io_type }).encode()
}
