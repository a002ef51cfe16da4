//! A container's credentials endpoint: the AWS protocol by which a pod gets
//! keys that live for a while.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use osmo_controller::run::access::StoreAccess;

/// What whoever asks has to show.
pub const AUTHORIZATION: &str = "sesame-authorization";
const WATCHDOG: Duration = Duration::from_secs(60);

/// How the endpoint answers one question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grant {
    /// With a new token that lives so long.
    For(Duration),
    /// With 503.
    Down,
    /// With what is no JSON, and a secret in it.
    Garbage,
}

type Rule = dyn Fn(usize) -> Grant + Send + Sync;

struct Shared {
    key: (String, String),
    rule: Box<Rule>,
    issued: Mutex<Issued>,
    stopped: AtomicBool,
}

#[derive(Default)]
struct Issued {
    asked: usize,
    /// When each token ends.
    tokens: Vec<Instant>,
}

/// The endpoint; it takes no more connections once it is dropped.
pub struct Issuer {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// Says which tokens are valid; cheap to clone.
#[derive(Clone)]
pub struct Tokens(Arc<Shared>);

impl Issuer {
    /// An endpoint that hands out `store`'s key, each time with what `rule`
    /// grants the question of this number, from 0.
    ///
    /// # Errors
    /// No port.
    pub fn start(
        store: &StoreAccess,
        rule: impl Fn(usize) -> Grant + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            key: (store.access_key.clone(), store.secret_key.clone()),
            rule: Box::new(rule),
            issued: Mutex::default(),
            stopped: AtomicBool::new(false),
        });
        let serving = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if serving.stopped.load(Ordering::Acquire) {
                    return;
                }
                // A client that leaves early will ask again.
                drop(serving.exchange(client));
            }
        });
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// The variables that make a process ask here.
    pub fn variables(&self) -> [(&'static str, String); 2] {
        [
            ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{}/creds", self.address)),
            ("AWS_CONTAINER_AUTHORIZATION_TOKEN", AUTHORIZATION.to_owned()),
        ]
    }

    /// What is valid.
    pub fn tokens(&self) -> Tokens {
        Tokens(Arc::clone(&self.shared))
    }
}

impl Tokens {
    /// Whether this token was issued and lives.
    pub fn live(&self, token: Option<&str>) -> bool {
        let number = token.and_then(|token| token.strip_prefix("sesame-token-"));
        let number = number.and_then(|number| number.parse::<usize>().ok());
        let issued = self.0.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let end = number.and_then(|number| issued.tokens.get(number));
        end.is_some_and(|end| Instant::now() < *end)
    }

    /// Ends the life of all tokens so far.
    pub fn revoke(&self) {
        let mut issued = self.0.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        issued.tokens.iter_mut().for_each(|end| *end = now);
    }

    /// Tokens so far.
    pub fn issued(&self) -> usize {
        self.0.issued.lock().unwrap_or_else(PoisonError::into_inner).tokens.len()
    }
}

impl Shared {
    fn exchange(&self, mut client: TcpStream) -> io::Result<()> {
        client.set_read_timeout(Some(WATCHDOG))?;
        let mut head = Vec::new();
        let mut block = [0; 4096];
        while !head.ends_with(b"\r\n\r\n") {
            match client.read(&mut block)? {
                0 => return Ok(()),
                count => head.extend_from_slice(&block[..count]),
            }
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let may = head.starts_with("get /creds ")
            && head.contains(&format!("authorization: {AUTHORIZATION}\r\n"));
        let (status, body) = if may { self.answer() } else { ("401 Unauthorized", String::new()) };
        let length = body.len();
        let head =
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n");
        client.write_all((head + &body).as_bytes())
    }

    fn answer(&self) -> (&'static str, String) {
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        let grant = (self.rule)(issued.asked);
        issued.asked += 1;
        let life = match grant {
            Grant::For(life) => life,
            Grant::Down => return ("503 Service Unavailable", String::new()),
            Grant::Garbage => {
                return ("200 OK", r#"{"SecretAccessKey":"sesame-garbage","Token"#.to_owned());
            }
        };
        issued.tokens.push(Instant::now() + life);
        let (id, secret) = &self.key;
        let number = issued.tokens.len() - 1;
        let end = (SystemTime::now() + life).duration_since(UNIX_EPOCH).unwrap_or_default();
        let end = timestamp(end);
        let body = format!(
            r#"{{"AccessKeyId":"{id}","SecretAccessKey":"{secret}","Token":"sesame-token-{number}","Expiration":"{end}"}}"#
        );
        ("200 OK", body)
    }
}

/// RFC 3339 with milliseconds, within the day after 2020-01-01 and 2100.
fn timestamp(since_epoch: Duration) -> String {
    let (mut days, second) = (since_epoch.as_secs() / 86_400, since_epoch.as_secs() % 86_400);
    let leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let mut month = 0;
    let february = 28 + u64::from(leap(year));
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        month += 1;
        if days < length {
            break;
        }
        days -= length;
    }
    format!(
        "{year:04}-{month:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z",
        days + 1,
        second / 3_600,
        second / 60 % 60,
        second % 60,
        since_epoch.subsec_millis()
    )
}

impl Drop for Issuer {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::Release);
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
