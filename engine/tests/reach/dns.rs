//! A name server over UDP and TCP, its messages written by hand from RFC 1035.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Query {
    /// In lower case, without the last dot.
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) tcp: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    A,
    Aaaa,
    Other(u16),
}

/// What is answered.
pub(crate) enum Reply {
    /// With a TTL of so many seconds.
    Addresses(Vec<IpAddr>, u32),
    /// A response code, without records: 0 no error, 2 SERVFAIL, 3 NXDOMAIN.
    Code(u8),
    /// Nothing but the flag that says so.
    Truncated,
    Silence,
}

pub(crate) fn ips(list: &[&str]) -> Vec<IpAddr> {
    list.iter().map(|ip| ip.parse().unwrap()).collect()
}

type Answer = dyn Fn(&Query) -> Reply + Send + Sync;

pub(crate) struct NameServer {
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Query>>>,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl NameServer {
    pub(crate) fn start(answer: impl Fn(&Query) -> Reply + Send + Sync + 'static) -> Self {
        let (udp, tcp) = sockets();
        let address = udp.local_addr().unwrap();
        let answer: Arc<Answer> = Arc::new(answer);
        let (asked, over) = (Arc::<Mutex<Vec<Query>>>::default(), Arc::<AtomicBool>::default());
        let serve_udp = {
            let (answer, asked, over) = (answer.clone(), asked.clone(), over.clone());
            move || {
                let mut packet = [0; 4_096];
                loop {
                    let (bytes, from) = udp.recv_from(&mut packet).unwrap();
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    if let Some(reply) = respond(&packet[..bytes], false, &answer, &asked) {
                        // The asker may have left.
                        let _ = udp.send_to(&reply, from);
                    }
                }
            }
        };
        let serve_tcp = {
            let (asked, over) = (asked.clone(), over.clone());
            move || {
                while let Ok((stream, _)) = tcp.accept() {
                    if over.load(Ordering::SeqCst) {
                        return;
                    }
                    serve(stream, &answer, &asked);
                }
            }
        };
        let threads = vec![std::thread::spawn(serve_udp), std::thread::spawn(serve_tcp)];
        Self { address, asked, over, threads }
    }

    /// All queries so far.
    pub(crate) fn asked(&self) -> Vec<Query> {
        self.asked.lock().unwrap().clone()
    }

    /// The names asked for so far, each as often as for an IPv4 address.
    pub(crate) fn names(&self) -> Vec<String> {
        let asked = self.asked().into_iter();
        asked.filter(|query| query.kind == Kind::A).map(|query| query.name).collect()
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        let own = UdpSocket::bind("127.0.0.1:0").unwrap();
        own.send_to(&[], self.address).unwrap();
        let _ = TcpStream::connect(self.address);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the name server failed");
        }
    }
}

/// One port, free for both.
fn sockets() -> (UdpSocket, TcpListener) {
    loop {
        let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        if let Ok(tcp) = TcpListener::bind(udp.local_addr().unwrap()) {
            return (udp, tcp);
        }
    }
}

/// RFC 1035, section 4.2.2: each message behind its length.
fn serve(mut stream: TcpStream, answer: &Arc<Answer>, asked: &Mutex<Vec<Query>>) {
    let mut length = [0; 2];
    // One query a connection: the asker gets what it needs, and nobody waits
    // for the end of another connection.
    if stream.read_exact(&mut length).is_err() {
        return;
    }
    let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut message).unwrap();
    if let Some(reply) = respond(&message, true, answer, asked) {
        let length = u16::try_from(reply.len()).unwrap().to_be_bytes();
        let _ = stream.write_all(&[&length[..], &reply].concat());
    }
}

fn respond(
    message: &[u8],
    tcp: bool,
    answer: &Arc<Answer>,
    asked: &Mutex<Vec<Query>>,
) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(message[at]);
        at += 1;
        if length == 0 {
            break;
        }
        labels.push(String::from_utf8(message[at..at + length].to_vec()).unwrap());
        at += length;
    }
    let kind = match u16::from_be_bytes([message[at], message[at + 1]]) {
        1 => Kind::A,
        28 => Kind::Aaaa,
        other => Kind::Other(other),
    };
    let question = &message[12..at + 4];
    let query = Query { name: labels.join(".").to_ascii_lowercase(), kind, tcp };
    asked.lock().unwrap().push(query.clone());
    let (code, truncated, records, ttl) = match answer(&query) {
        Reply::Silence => return None,
        Reply::Code(code) => (code, false, Vec::new(), 0),
        Reply::Truncated => (0, true, Vec::new(), 0),
        Reply::Addresses(all, ttl) => {
            let of_kind = |ip: &IpAddr| (kind == Kind::A) == ip.is_ipv4();
            (0, false, all.into_iter().filter(of_kind).collect(), ttl)
        }
    };
    // QR, RD and RA; TC where it is cut.
    let flags = 0x8180 | u16::from(truncated) << 9 | u16::from(code);
    let count = u16::try_from(records.len()).unwrap();
    let mut reply = message[..2].to_vec();
    for number in [flags, 1, count, 0, 0] {
        reply.extend(number.to_be_bytes());
    }
    reply.extend(question);
    for ip in records {
        let data = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        let kind: u16 = if ip.is_ipv4() { 1 } else { 28 };
        // A pointer to the question's name, type, class IN.
        for number in [0xc00c, kind, 1] {
            reply.extend(number.to_be_bytes());
        }
        reply.extend(ttl.to_be_bytes());
        reply.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        reply.extend(data);
    }
    Some(reply)
}
