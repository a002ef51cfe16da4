//! Peers in turns: A B C, A B C, after one run of each that is not counted.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use osmo_tests::model_server::Profile;
use tempfile::TempDir;

use crate::cli::absolute;
use crate::measure::Bench;
use crate::peer::{Direction, Order, Peer, Places};
use crate::record::{Case, LeftOut, Place, Record, Run, Why};
use crate::server::{Ground, Kind, Running};
use crate::workload::{Scale, Source, Workload};
use crate::{environment, report, say, verify};

/// The flags of `compare`. Without a choice of servers, directions, workloads
/// or places it runs the standing set, which the page is made of.
#[derive(Debug, Args)]
pub(crate) struct Flags {
    /// Only these servers
    #[arg(long, value_delimiter = ',')]
    servers: Vec<Kind>,
    /// Only these directions
    #[arg(long, value_delimiter = ',')]
    directions: Vec<Direction>,
    /// Only these workloads
    #[arg(long, value_delimiter = ',')]
    workloads: Vec<Workload>,
    /// Only these destinations of downloads
    #[arg(long, value_delimiter = ',')]
    places: Vec<Place>,
    /// The contestants; all by default
    #[arg(long, value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Runs of each that count
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Size of the data sets, as a part of the full size
    #[arg(long, default_value = "1")]
    scale: Scale,
    /// Keep the client on CPU 0 and the server on CPU 1
    #[arg(long)]
    pin: bool,
    /// What the model store is like
    #[arg(long, default_value = "s3-like")]
    profile: String,
    /// Sources, servers and downloads to disk
    #[arg(long, default_value = "target/bench")]
    work: PathBuf,
    /// What benches/peers/setup made
    #[arg(long, default_value = "target/peers")]
    peers_at: PathBuf,
    /// The scripts of peers that are libraries
    #[arg(long, default_value = "benches/peers")]
    scripts: PathBuf,
    /// osmo itself
    #[arg(long, default_value = "target/release/osmo")]
    osmo: PathBuf,
    /// Where the record goes
    #[arg(long, default_value = "target/bench/record.json")]
    json: PathBuf,
    /// The page whose tables are written anew
    #[arg(long)]
    page: Option<PathBuf>,
    /// A run is killed after so many seconds
    #[arg(long, default_value_t = 300)]
    limit_s: u64,
    /// A peer that takes longer has one run that counts
    #[arg(long, default_value_t = 60)]
    slow_s: u64,
    /// No further table is begun after so many minutes
    #[arg(long)]
    minutes: Option<u64>,
    /// A peer that is not installed is no error
    #[arg(long)]
    skip_missing: bool,
}

/// Server, direction, workload and place of one table.
type Plan = (Kind, Direction, Workload, Place);

/// What the page is made of; the quickest to tell something first.
const STANDING: [Plan; 12] = {
    use Direction::{Down, Up};
    use Kind::{Model, Nginx, NginxTls, Seaweed};
    use Place::{Disk, Tmpfs};
    use Workload::{Images, Large, Shards, Small};
    [
        (Nginx, Down, Large, Tmpfs),
        (Nginx, Down, Shards, Tmpfs),
        (Nginx, Down, Small, Tmpfs),
        (Nginx, Down, Large, Disk),
        (NginxTls, Down, Large, Tmpfs),
        (Seaweed, Up, Shards, Disk),
        (Seaweed, Down, Shards, Tmpfs),
        (Seaweed, Up, Small, Disk),
        (Seaweed, Down, Small, Tmpfs),
        (Nginx, Down, Images, Tmpfs),
        (Model, Down, Large, Tmpfs),
        (Model, Down, Small, Tmpfs),
    ]
};

/// Runs the comparison; fails where a peer did.
pub(crate) fn main(flags: &Flags) -> Result<ExitCode> {
    let session = Session::open(flags)?;
    let environment = environment::describe(&session.peers, &session.places);
    let mut record = Record::new(environment, flags.scale.ratio(), flags.rounds, flags.pin);
    let start = Instant::now();
    let in_time = |_: &Plan| flags.minutes.is_none_or(|most| start.elapsed().as_secs() < most * 60);
    for plan in flags.plans().into_iter().take_while(in_time) {
        let case = session.case(plan)?;
        record.cases.push(case);
        // What has been measured is kept, whatever comes next.
        record.write(&flags.json)?;
        if let Some(page) = &flags.page {
            report::rewrite(&record, page)?;
        }
    }
    let faults = record.cases.iter().flat_map(|case| &case.left_out);
    let faults: Vec<_> = faults.filter(|fault| flags.minds(fault.why)).collect();
    for fault in &faults {
        say(&format!("error: {} is not compared: {}", fault.peer, fault.reason));
    }
    Ok(if faults.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

impl Flags {
    fn minds(&self, why: Why) -> bool {
        match why {
            Why::Unable => false,
            Why::Missing => !self.skip_missing,
            Why::Failed | Why::Wrong => true,
        }
    }

    fn plans(&self) -> Vec<Plan> {
        let chosen = [
            self.servers.is_empty(),
            self.directions.is_empty(),
            self.workloads.is_empty(),
            self.places.is_empty(),
        ];
        let fits = |plan: &Plan| {
            let (server, direction, workload, place) = plan;
            (chosen[0] || self.servers.contains(server))
                && (chosen[1] || self.directions.contains(direction))
                && (chosen[2] || self.workloads.contains(workload))
                && (chosen[3] || self.places.contains(place))
        };
        STANDING.into_iter().filter(fits).collect()
    }
}

/// What all cases share.
struct Session<'a> {
    flags: &'a Flags,
    ground: Ground,
    places: Places,
    peers: Vec<Peer>,
}

impl<'a> Session<'a> {
    fn open(flags: &'a Flags) -> Result<Self> {
        let work = absolute(&flags.work)?;
        fs::create_dir_all(&work).with_context(|| format!("make {}", work.display()))?;
        let bin = absolute(&flags.peers_at)?.join("bin");
        let profile = Profile::named(&flags.profile)
            .with_context(|| format!("there is no profile {}", flags.profile))?;
        let ground = Ground {
            work,
            bin: bin.clone(),
            scale: flags.scale,
            profile,
            cpu: flags.pin.then_some(1),
        };
        fs::create_dir_all(ground.bucket())?;
        let scripts = absolute(&flags.scripts)?;
        let places = Places { osmo: absolute(&flags.osmo)?, bin, scripts };
        let all: &[Peer] = clap::ValueEnum::value_variants();
        let peers = if flags.peers.is_empty() { all.to_vec() } else { flags.peers.clone() };
        Ok(Self { flags, ground, places, peers })
    }

    fn case(&self, plan: Plan) -> Result<Case> {
        let (server, direction, workload, place) = plan;
        say(&format!("{server:?}, {direction:?}, {workload:?}, {place:?}"));
        let source = Source::prepare(workload, self.flags.scale, &self.ground.bucket())?;
        let sources = std::slice::from_ref(&source);
        let mut case = Case {
            server,
            direction,
            workload,
            place,
            bytes: source.bytes,
            files: source.set.count,
            runs: Vec::new(),
            left_out: Vec::new(),
        };
        let running = match self.ground.start(server, sources, direction == Direction::Down) {
            Ok(running) => running,
            Err(error) => {
                let (why, reason) = (Why::Missing, format!("{error:#}"));
                say(&format!("  {reason}"));
                case.left_out.push(LeftOut { peer: "every program".to_owned(), why, reason });
                return Ok(case);
            }
        };
        let turns = Turns { session: self, running: &running, source: &source };
        let mut left: Vec<(Peer, u32)> =
            self.peers.iter().map(|peer| (*peer, self.flags.rounds)).collect();
        for round in 0..=self.flags.rounds {
            left.retain_mut(|(peer, rounds)| {
                if round > *rounds || self.is_pointless(*peer, &case) {
                    return false;
                }
                match turns.once(*peer, direction, place) {
                    Ok(run) => {
                        if run.wall_s > self.flags.slow_s as f64 {
                            *rounds = 1;
                        }
                        if round > 0 {
                            let name = peer.name().to_owned();
                            case.runs.push(Run { peer: name, round, ..run });
                        }
                        true
                    }
                    Err(fault) => {
                        say(&format!("  {}: {}", fault.peer, fault.reason));
                        // One wrong tree, and none of its runs is believed.
                        case.runs.retain(|run| run.peer != fault.peer);
                        case.left_out.push(fault);
                        false
                    }
                }
            });
        }
        Ok(case)
    }

    /// A peer alone says nothing: without osmo, which comes first, no other is
    /// run.
    fn is_pointless(&self, peer: Peer, case: &Case) -> bool {
        let mut own = self.peers.iter().filter(|peer| peer.is_osmo()).peekable();
        let out = |own: &Peer| case.left_out.iter().any(|out| out.peer == own.name());
        !peer.is_osmo() && own.peek().is_some() && own.all(out)
    }
}

/// The runs of one case.
struct Turns<'a> {
    session: &'a Session<'a>,
    running: &'a Running,
    source: &'a Source,
}

impl Turns<'_> {
    fn once(&self, peer: Peer, direction: Direction, place: Place) -> Result<Run, LeftOut> {
        let fault = |why, reason: String| LeftOut { peer: peer.name().to_owned(), why, reason };
        let failed = |error: anyhow::Error| fault(Why::Failed, format!("{error:#}"));
        let target = self.target(place).map_err(failed)?;
        let order = Order {
            server: self.running,
            direction,
            source: self.source,
            target: target.path(),
            places: &self.session.places,
        };
        let command =
            peer.command(&order).map_err(|reason| fault(Why::Unable, reason.to_owned()))?;
        if !peer.program(&self.session.places).is_file() {
            return Err(fault(Why::Missing, "it is not installed: see benches/peers/setup".into()));
        }
        let log = self.session.ground.work.join("last.log");
        let done = self.bench(&log, target.path()).run(&command).map_err(failed)?;
        if done.code != 0 {
            return Err(ended(peer, done.code, &log));
        }
        let found = match direction {
            Direction::Down => verify::downloaded(self.source, target.path()),
            Direction::Up => verify::uploaded(peer, &order, target.path()),
        };
        match found.map_err(failed)? {
            Some(difference) => Err(fault(Why::Wrong, difference)),
            None => {
                say(&line(peer, &done.run));
                Ok(done.run)
            }
        }
    }

    fn target(&self, place: Place) -> Result<TempDir> {
        let below = match place {
            Place::Tmpfs => PathBuf::from("/dev/shm"),
            Place::Disk => self.session.ground.work.clone(),
        };
        Ok(tempfile::Builder::new().prefix("osmo-bench-").tempdir_in(below)?)
    }

    fn bench<'a>(&'a self, log: &'a Path, target: &'a Path) -> Bench<'a> {
        let ground = &self.session.ground;
        Bench {
            environment: environment::of_peers(&ground.bin, &ground.work, &ground.ca()),
            log,
            cpu: self.session.flags.pin.then_some(0),
            limit_s: self.session.flags.limit_s,
            server: self.running.pid(),
            target,
        }
    }
}

/// A build of ours that knows no TLS is not a failure of the comparison.
fn ended(peer: Peer, code: i32, log: &Path) -> LeftOut {
    let said = fs::read_to_string(log).unwrap_or_default();
    let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let no_tls = peer.is_osmo() && said.contains("speaks plain HTTP only");
    let (why, reason) = if no_tls {
        (Why::Unable, "this build does not move bytes over https".to_owned())
    } else {
        (
            Why::Failed,
            format!("it ended with {code}: {}", last.chars().take(300).collect::<String>()),
        )
    };
    LeftOut { peer: peer.name().to_owned(), why, reason }
}

fn line(peer: Peer, run: &Run) -> String {
    format!(
        "  {:12} {:7.2} s, sync {:5.2} s, CPU {:6.2} s, server {:6.2} s, machine {:6.2} s, {:4} MiB",
        peer.name(),
        run.wall_s,
        run.sync_s,
        run.user_s + run.sys_s,
        run.server_s,
        run.machine_s,
        run.rss_kib >> 10
    )
}
