//! A record as Markdown.

use std::fmt::Write as _;

use clap::ValueEnum;

use crate::peer::{Direction, Peer};
use crate::record::{Case, Place, Record, Run};
use crate::server::Kind;
use crate::workload::Workload;

const GIB: f64 = (1_u64 << 30) as f64;

/// The whole text between the page's markers.
pub(crate) fn page(record: &Record) -> String {
    let mut text = preface(record);
    text += &standing(record);
    for case in &record.cases {
        text += &section(case);
    }
    text + &versions(record)
}

fn preface(record: &Record) -> String {
    let here = &record.environment;
    let pinned = if record.pinned {
        "the client is kept on one CPU and the server on the other"
    } else {
        "client and server share the CPUs"
    };
    format!(
        "{} UTC, {}, {} CPUs ({}), {:.0} GiB; load before the start {:.2}. Loopback; {pinned}. \
         Data sets at {} of their full size; one run of each peer that does not count, then {} \
         in turns. Figures are medians (least–greatest).\n\n\
         *CPU* is user and system time of the peer's processes; *others* is what the rest of the \
         machine but the server spent meanwhile, which includes the kernel's work for the peer \
         and whatever else was running. *Synced* adds one `syncfs` of the destination. *Peak* is \
         resident memory over the process tree. Every tree was equal to its source by \
         `sha256sum`. On a busy machine trust CPU before time, and no difference below 1.3 ×.\n\n",
        here.date,
        here.kernel,
        here.cpus,
        here.cpu,
        here.memory_gib,
        here.load_before,
        record.scale,
        record.rounds,
    )
}

fn title(case: &Case) -> String {
    let what = match case.workload {
        Workload::Large => {
            format!("one object of {:.2} GiB", case.bytes as f64 / GIB)
        }
        Workload::Shards => format!("{} × 64 MiB", case.files),
        Workload::Small => format!("{} × 16 KiB", case.files),
        Workload::Images => format!("{} × 20–200 KiB", case.files),
    };
    let server = match case.server {
        Kind::Nginx => "nginx",
        Kind::NginxTls => "nginx, TLS",
        Kind::Seaweed => "SeaweedFS",
        Kind::Model => "the model store",
    };
    match (case.direction, case.place) {
        (Direction::Up, _) => format!("Up: {what} to {server}"),
        (Direction::Down, Place::Tmpfs) => format!("Down: {what} from {server} to tmpfs"),
        (Direction::Down, Place::Disk) => format!("Down: {what} from {server} to disk"),
    }
}

/// What is compared, of one peer in one case.
struct Figures {
    peer: Peer,
    wall_s: Spread,
    durable_s: Spread,
    cpu_s: Spread,
    others_s: Spread,
    rss_mib: Spread,
}

impl Figures {
    fn of(case: &Case, peer: Peer) -> Option<Self> {
        let runs: Vec<&Run> = case.runs.iter().filter(|run| run.peer == peer.name()).collect();
        let take = |figure: &dyn Fn(&Run) -> f64| {
            Spread::of(runs.iter().map(|run| figure(run)).collect::<Vec<f64>>())
        };
        let cpu = |run: &Run| run.user_s + run.sys_s;
        Some(Self {
            peer,
            wall_s: take(&|run| run.wall_s)?,
            durable_s: take(&|run| run.wall_s + run.sync_s)?,
            cpu_s: take(&cpu)?,
            others_s: take(&|run| (run.machine_s - run.server_s - cpu(run)).max(0.0))?,
            rss_mib: take(&|run| run.rss_kib as f64 / 1024.0)?,
        })
    }

    fn all(case: &Case) -> Vec<Self> {
        Peer::value_variants().iter().filter_map(|peer| Self::of(case, *peer)).collect()
    }
}

/// Median, least and greatest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl Spread {
    pub(crate) fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let (least, greatest) = (*values.first()?, *values.last()?);
        let middle = values.len() / 2;
        let median = if values.len() % 2 == 1 {
            values[middle]
        } else {
            f64::midpoint(values[middle - 1], values[middle])
        };
        Some(Self { median, least, greatest })
    }

    fn times(self, factor: f64) -> Self {
        Self {
            median: self.median * factor,
            least: self.least * factor,
            greatest: self.greatest * factor,
        }
    }

    pub(crate) fn text(self, digits: usize) -> String {
        let Self { median, least, greatest } = self;
        format!("{median:.digits$} ({least:.digits$}–{greatest:.digits$})")
    }
}

fn section(case: &Case) -> String {
    let small = case.workload.is_small();
    let (unit, factor, digits) = if small {
        ("CPU, µs/file", 1e6 / case.files as f64, 0)
    } else {
        ("CPU, s/GiB", GIB / case.bytes as f64, 2)
    };
    let rate = if small { "files/s" } else { "GiB/s" };
    let figures = Figures::all(case);
    let own = figures.iter().find(|one| one.peer.is_osmo()).map(|one| one.cpu_s.median);
    let mut text = format!(
        "### {}\n\n| | {unit} | CPU, osmo = 1 | {rate} | time, s | synced, s | others, CPU-s | \
         peak, MiB |\n|---|---|---|---|---|---|---|---|\n",
        title(case)
    );
    for one in &figures {
        let amount = if small { case.files as f64 } else { case.bytes as f64 / GIB };
        let speed = amount / one.wall_s.median;
        let speed = if small { format!("{speed:.0}") } else { format!("{speed:.2}") };
        let ratio =
            own.map_or_else(|| "–".to_owned(), |own| format!("{:.2}", one.cpu_s.median / own));
        let _ = writeln!(
            text,
            "| {} | {} | {ratio} | {speed} | {} | {:.2} | {:.2} | {:.0} |",
            one.peer.name(),
            one.cpu_s.times(factor).text(digits),
            one.wall_s.text(2),
            one.durable_s.median,
            one.others_s.median,
            one.rss_mib.median,
        );
    }
    text.push('\n');
    for out in &case.left_out {
        let _ = writeln!(text, "- {} is not compared: {}.", out.peer, out.reason);
    }
    if !case.left_out.is_empty() {
        text.push('\n');
    }
    text
}

/// For each case, osmo's better driver beside the best peer in each respect.
fn standing(record: &Record) -> String {
    let mut text = String::from(
        "### Where osmo stands\n\nosmo's better driver against the best peer in each respect; \
         above 1 the peer is better.\n\n| | CPU | time | memory |\n|---|---|---|---|\n",
    );
    let measures: [fn(&Figures) -> f64; 3] =
        [|one| one.cpu_s.median, |one| one.wall_s.median, |one| one.rss_mib.median];
    for case in &record.cases {
        let figures = Figures::all(case);
        let cells = measures.map(|measure| cell(&figures, measure));
        let _ = writeln!(text, "| {} | {} |", title(case), cells.join(" | "));
    }
    text + "\n"
}

fn cell(figures: &[Figures], measure: fn(&Figures) -> f64) -> String {
    let best = |own: bool| {
        let some = figures.iter().filter(|one| one.peer.is_osmo() == own);
        some.min_by(|a, b| measure(a).total_cmp(&measure(b)))
    };
    match (best(true), best(false)) {
        (Some(own), Some(peer)) => {
            format!("{:.2} × {}", measure(own) / measure(peer), peer.peer.name())
        }
        (None, _) => "osmo is not compared".to_owned(),
        (_, None) => "no peer".to_owned(),
    }
}

fn versions(record: &Record) -> String {
    let list: Vec<String> = record
        .environment
        .versions
        .iter()
        .map(|(name, version)| format!("{name}: {version}"))
        .collect();
    format!("Versions: {}.\n", list.join("; "))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::record::{Environment, LeftOut, Why};

    fn run(peer: &str, cpu_s: f64, wall_s: f64) -> Run {
        Run {
            peer: peer.to_owned(),
            round: 1,
            wall_s,
            sync_s: 0.5,
            user_s: cpu_s / 2.0,
            sys_s: cpu_s / 2.0,
            server_s: 1.0,
            machine_s: cpu_s + 1.25,
            rss_kib: 20 << 10,
            pss_kib: 0,
        }
    }

    fn record() -> Record {
        let mut record = Record::new(Environment::default(), 0.5, 3, true);
        record.cases.push(Case {
            server: Kind::Nginx,
            direction: Direction::Down,
            workload: Workload::Large,
            place: Place::Disk,
            bytes: 2 << 30,
            files: 1,
            runs: vec![
                run("osmo (uring)", 1.0, 2.0),
                run("osmo (uring)", 3.0, 4.0),
                run("osmo (uring)", 2.0, 3.0),
                run("s5cmd", 4.0, 1.5),
            ],
            left_out: vec![LeftOut {
                peer: "aws".to_owned(),
                why: Why::Missing,
                reason: "it is not installed".to_owned(),
            }],
        });
        record
    }

    // By hand: medians of 1, 2, 3 CPU-s over 2 GiB; 2 GiB in 3 s.
    #[test]
    fn a_table_by_hand() {
        let text = page(&record());
        assert!(text.contains("### Down: one object of 2.00 GiB from nginx to disk"));
        let own = "| osmo (uring) | 1.00 (0.50–1.50) | 1.00 | 0.67 | 3.00 (2.00–4.00) | 3.50 | \
                   0.25 | 20 |";
        assert!(text.contains(own), "{text}");
        assert!(text.contains("| s5cmd | 2.00 (2.00–2.00) | 2.00 | 1.33 |"), "{text}");
        assert!(text.contains("- aws is not compared: it is not installed."));
        assert!(text.contains("to disk | 0.50 × s5cmd | 2.00 × s5cmd | 1.00 × s5cmd |"), "{text}");
    }

    #[test]
    fn an_even_number_has_a_median_between() {
        assert_eq!(Spread::of(vec![4.0, 1.0]).unwrap().median, 2.5);
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn records_are_put_together() {
        let (mut whole, mut other) = (record(), record());
        other.cases[0].workload = Workload::Shards;
        whole.add(other.clone()).unwrap();
        assert_eq!(whole.cases.len(), 2);
        whole.add(other.clone()).unwrap();
        assert_eq!(whole.cases.len(), 2);
        other.rounds = 1;
        assert!(whole.add(other).is_err());
    }

    #[test]
    fn a_record_survives_its_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        record().write(&path).unwrap();
        assert_eq!(page(&Record::read(&path).unwrap()), page(&record()));
        std::fs::write(&path, "{}").unwrap();
        assert!(Record::read(&path).is_err());
    }
}
