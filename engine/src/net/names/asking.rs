//! The thread that asks name servers, and what their answers mean.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
    ServerOrderingStrategy,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RecordType};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::{ADDRESSES_MAX, NameFault, Settings};

/// Names asked for at once; more wait.
const IN_FLIGHT_MAX: usize = 64;
/// Answers, negative ones first of all, that the search list asks for again
/// and again.
const ANSWERS_MAX: u64 = 256;
/// A name that is not there yet may be made any moment: a service of the same
/// pod group, say.
const NEGATIVE_MAX: Duration = Duration::from_secs(5);
/// How long one family waits for the other (RFC 8305, section 3).
const RESOLUTION_DELAY: Duration = Duration::from_millis(50);
/// Half an answer is asked for again soon.
const HALF_FOR: Duration = Duration::from_secs(5);
const STACK_BYTES: usize = 512 << 10;

pub(super) struct Question {
    pub(super) host: String,
    pub(super) answer: oneshot::Sender<Result<Found, NameFault>>,
}

#[derive(Clone, Debug)]
pub(super) struct Found {
    pub(super) addresses: Arc<[IpAddr]>,
    pub(super) until: Instant,
}

/// Starts the thread, which ends when nobody can ask any more.
pub(super) fn start(
    settings: Settings,
    questions: mpsc::Receiver<Question>,
) -> std::io::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    std::thread::Builder::new()
        .name("names".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || runtime.block_on(serve(Asker::new(settings), questions)))
}

/// One lookup per name, however many ask for it meanwhile.
async fn serve(asker: Asker, mut questions: mpsc::Receiver<Question>) {
    let asker = Arc::new(asker);
    let mut waiting: HashMap<String, Vec<oneshot::Sender<Result<Found, NameFault>>>> =
        HashMap::new();
    let mut asking = JoinSet::new();
    loop {
        tokio::select! {
            question = questions.recv(), if asking.len() < IN_FLIGHT_MAX => {
                let Some(Question { host, answer }) = question else { return };
                let others = waiting.entry(host.clone());
                let is_new = matches!(others, Entry::Vacant(_));
                let others = others.or_default();
                // Who gave up and asks again would pile up behind a slow answer.
                others.retain(|other| !other.is_closed());
                others.push(answer);
                if is_new {
                    let asker = Arc::clone(&asker);
                    asking.spawn(async move {
                        let found = asker.find(&host).await;
                        (host, found)
                    });
                }
            }
            Some(done) = asking.join_next() => {
                // After a panic nobody waits in vain: all questions here end,
                // and the next one starts another thread.
                let Ok((host, found)) = done else { return };
                for answer in waiting.remove(&host).unwrap_or_default() {
                    let _ = answer.send(found.clone());
                }
            }
        }
    }
}

struct Asker {
    settings: Settings,
    resolver: Option<TokioResolver>,
}

impl Asker {
    fn new(settings: Settings) -> Self {
        let servers = settings.servers.iter().map(|server| {
            let tcp = std::iter::once(ConnectionConfig::tcp());
            let both = (!settings.use_vc).then(ConnectionConfig::udp).into_iter().chain(tcp);
            let connections = both.map(|mut connection| {
                connection.port = server.port();
                connection
            });
            NameServerConfig::new(server.ip(), true, connections.collect())
        });
        let config = ResolverConfig::from_name_servers(servers.collect());
        let mut options = ResolverOpts::default();
        options.timeout = settings.timeout;
        // It counts those after the first.
        options.attempts = settings.attempts.saturating_sub(1);
        options.edns0 = settings.edns0;
        options.cache_size = ANSWERS_MAX;
        options.negative_max_ttl = Some(NEGATIVE_MAX);
        options.use_hosts_file = ResolveHosts::Never;
        if settings.rotate {
            options.server_ordering_strategy = ServerOrderingStrategy::RoundRobin;
        }
        let provider = TokioRuntimeProvider::default();
        let resolver = TokioResolver::builder_with_config(config, provider).with_options(options);
        let resolver = resolver
            .build()
            .inspect_err(|fault| tracing::warn!(%fault, "cannot set the name resolver up"));
        Self { settings, resolver: resolver.ok() }
    }

    /// The first name of the search list that has an address.
    async fn find(&self, host: &str) -> Result<Found, NameFault> {
        if host.trim_end_matches('.').is_empty() {
            // The root, which every search domain is below.
            return Err(NameFault::Malformed { host: host.to_owned() });
        }
        let candidates = self.settings.candidates(host);
        let asked = candidates.iter().map(|name| name.trim_end_matches('.')).collect::<Vec<_>>();
        let mut fault = NameFault::Missing { host: host.to_owned(), asked: asked.join(", ") };
        for name in &candidates {
            match self.addresses(host, name).await {
                Ok(found) => return Ok(found),
                // Nobody answers for the next name either.
                Err(silent @ NameFault::Silent { .. }) => return Err(silent),
                Err(NameFault::Missing { .. }) => {}
                // A server in trouble is no proof that the name is not there.
                Err(bare @ NameFault::Bare { .. }) if !fault.passes() => fault = bare,
                Err(NameFault::Bare { .. }) => {}
                Err(other) => fault = other,
            }
        }
        Err(fault)
    }

    /// Both families at once; the slower one gets a moment once the faster
    /// one has brought an address.
    async fn addresses(&self, host: &str, name: &str) -> Result<Found, NameFault> {
        let (mut v6, mut v4) = (None, None);
        let mut ask_v6 = std::pin::pin!(self.records(host, name, RecordType::AAAA));
        let mut ask_v4 = std::pin::pin!(self.records(host, name, RecordType::A));
        let mut late = std::pin::pin!(tokio::time::sleep(Duration::MAX));
        while v6.is_none() || v4.is_none() {
            let first = tokio::select! {
                found = &mut ask_v6, if v6.is_none() => &*v6.insert(found),
                found = &mut ask_v4, if v4.is_none() => &*v4.insert(found),
                () = &mut late => break,
            };
            // A name that is not there is not there for the other family either.
            if matches!(first, Err(NameFault::Missing { .. })) {
                break;
            }
            if first.is_ok() {
                late.as_mut().reset(tokio::time::Instant::now() + RESOLUTION_DELAY);
            }
        }
        join(host, v6, v4)
    }

    async fn records(
        &self,
        host: &str,
        name: &str,
        kind: RecordType,
    ) -> Result<(Vec<IpAddr>, Instant), NameFault> {
        let malformed = || NameFault::Malformed { host: host.to_owned() };
        let resolver =
            self.resolver.as_ref().ok_or_else(|| NameFault::Stopped { host: host.to_owned() })?;
        let query = Name::from_ascii(name).map_err(|_| malformed())?;
        match resolver.lookup(query, kind).await {
            Ok(lookup) => Ok((ips(&lookup), lookup.valid_until())),
            Err(fault) => Err(self.fault(host, &fault)),
        }
        .and_then(|(found, until)| match found.is_empty() {
            true => Err(NameFault::Bare { host: host.to_owned() }),
            false => Ok((found, until)),
        })
    }

    fn fault(&self, host: &str, fault: &NetError) -> NameFault {
        let host = host.to_owned();
        let code = match fault {
            NetError::Dns(DnsError::NoRecordsFound(none)) => none.response_code,
            NetError::Dns(DnsError::ResponseCode(code)) => *code,
            NetError::Timeout | NetError::NoConnections | NetError::Io(_) => {
                let servers = self.settings.servers.iter().map(|server| match server.port() {
                    53 => server.ip().to_string(),
                    _ => server.to_string(),
                });
                return NameFault::Silent {
                    host,
                    servers: servers.collect::<Vec<_>>().join(", "),
                    attempts: self.settings.attempts,
                    timeout: self.settings.timeout,
                };
            }
            other => return NameFault::Failed { host, answer: other.to_string() },
        };
        match code {
            ResponseCode::NXDomain => NameFault::Missing { host, asked: String::new() },
            ResponseCode::NoError => NameFault::Bare { host },
            code => NameFault::Failed { host, answer: format!("{code} ({})", u16::from(code)) },
        }
    }
}

type Family = Option<Result<(Vec<IpAddr>, Instant), NameFault>>;

/// Addresses of either family are an answer; else the fault that says most.
fn join(host: &str, v6: Family, v4: Family) -> Result<Found, NameFault> {
    let half = !matches!((&v6, &v4), (Some(v6), Some(v4)) if settled(v6) && settled(v4));
    let (mut addresses, mut until, mut faults) = (Vec::new(), None::<Instant>, Vec::new());
    for family in [v6, v4].into_iter().flatten() {
        match family {
            Ok((found, valid)) => {
                // Room for both.
                addresses.extend(found.into_iter().take(ADDRESSES_MAX / 2));
                until = Some(until.map_or(valid, |until| until.min(valid)));
            }
            Err(fault) => faults.push(fault),
        }
    }
    if let Some(until) = until {
        let soon = Instant::now() + HALF_FOR;
        let until = if half { until.min(soon) } else { until };
        return Ok(Found { addresses: addresses.into(), until });
    }
    let most = faults.into_iter().min_by_key(|fault| match fault {
        NameFault::Missing { .. } => 0,
        NameFault::Silent { .. } => 1,
        NameFault::Failed { .. } | NameFault::Stopped { .. } => 2,
        NameFault::Malformed { .. } => 3,
        NameFault::Bare { .. } => 4,
    });
    Err(most.unwrap_or_else(|| NameFault::Stopped { host: host.to_owned() }))
}

/// Whether a family's answer will be the same when asked again.
fn settled(family: &Result<(Vec<IpAddr>, Instant), NameFault>) -> bool {
    family.as_ref().map_or_else(|fault| !fault.passes(), |_| true)
}

fn ips(lookup: &Lookup) -> Vec<IpAddr> {
    lookup.answers().iter().filter_map(|record| record.data.ip_addr()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_ends_with_the_last_handle() {
        let (questions, asked) = mpsc::channel(1);
        let thread = start(Settings::parse(""), asked).expect("a thread");
        let other = questions.clone();
        drop(questions);
        assert!(!thread.is_finished());
        drop(other);
        thread.join().expect("an orderly end");
    }
}
