//! A connection that nobody closes and through which nothing comes any more, as
//! a firewall that forgot it leaves it: the service ends it for want of pongs,
//! the sidecar for want of an acknowledgement, and no line is lost.

use std::net::SocketAddr;
use std::time::Duration;

use osmo_controller::service::{ServiceConfig, ServiceEvent};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::pod::{Pod, code};

const WATCHDOG: Duration = Duration::from_secs(240);

/// Passes bytes on until told to stand still; later connections pass.
struct Relay {
    port: u16,
    still: watch::Sender<()>,
}

impl Relay {
    async fn before(behind: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let still = watch::Sender::new(());
        let told = still.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, behind, told.subscribe()));
            }
        });
        Self { port, still }
    }

    fn stand_still(&self) {
        self.still.send_replace(());
    }
}

async fn pass(mut client: TcpStream, behind: SocketAddr, mut still: watch::Receiver<()>) {
    let Ok(mut service) = TcpStream::connect(behind).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut service) => {}
        // Both ends stay open, for good.
        _ = still.changed() => std::future::pending().await,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stands_still_is_given_up_by_both_ends() {
    let pod = Pod::with(ServiceConfig {
        ping_every: Duration::from_millis(500),
        pong_wait: Duration::from_secs(2),
        ..ServiceConfig::default()
    })
    .await;
    let relay = Relay::before(pod.service.address()).await;
    let mut events = pod.service.subscribe();
    let mut ctrl = pod.ctrl(&["-port", &relay.port.to_string()]);
    let script = "i=0; while [ ! -e ../go ]; do echo $i; i=$((i + 1)); sleep 0.05; done; echo last";
    let mut exec = pod.exec(script);

    let (mut lines, mut own, mut gone) = (Vec::new(), Vec::new(), false);
    let heard = timeout(WATCHDOG, async {
        while lines.last().is_none_or(|line| line != "last") {
            match events.recv().await.unwrap() {
                ServiceEvent::Line { line, .. } if line.io_type == "STDOUT" => {
                    lines.push(line.text.to_string());
                    if lines.len() == 50 {
                        relay.stand_still();
                    }
                }
                ServiceEvent::Line { line, .. } => own.push(line.text.to_string()),
                ServiceEvent::Disconnected { .. } => gone = true,
                ServiceEvent::Connected { .. } if gone => {
                    std::fs::write(pod.path("go"), "").unwrap();
                }
                _ => {}
            }
        }
    });
    heard.await.unwrap_or_else(|_| panic!("gone {gone}, {} lines, {own:?}", lines.len()));
    assert!(gone, "the service has ended the connection");
    // What was not acknowledged comes again; its first coming is in order.
    let mut next = 0;
    for line in lines.iter().filter_map(|line| line.parse::<usize>().ok()) {
        assert!(line <= next, "{line} before {next}");
        next = next.max(line + 1);
    }
    assert!(next > 50, "{next} lines");
    assert!(own.contains(&"Websocket Connection: 2".to_owned()), "{own:?}");
    drop(events);
    assert_eq!((code(&mut ctrl).await, code(&mut exec).await), (Some(0), Some(0)));
    pod.assert_over(0).await;
}
