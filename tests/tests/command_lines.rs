//! The pod's command lines, as OSMO writes them and as Go's `flag` reads them
//! (`tests/fixtures/command-lines`): every flag in every spelling, its default,
//! and what a program says to one that it does not know.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use osmo_protocol::flags::FlagError;
use osmo_tests::program::Programs;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));

/// What a command line means, as text: equal for equal settings.
type Read = fn(&[&str]) -> Result<String, FlagError>;

const ALL: [(&str, Read); 3] = [
    ("osmo_ctrl", |words| osmo_ctrl::Flags::parse(words).map(|flags| format!("{flags:?}"))),
    ("osmo_exec", |words| osmo_exec::Flags::parse(words).map(|flags| format!("{flags:?}"))),
    ("osmo_init", |words| osmo_init::Flags::parse(words).map(|flags| format!("{flags:?}"))),
];

/// Flags that OSMO's programs do not have.
const OURS: [(&str, &[&str]); 3] = [
    (
        "osmo_ctrl",
        &[
            "caFile",
            "events",
            "gracePeriod",
            "health",
            "io",
            "memory",
            "statePath",
            "terminationLog",
            "tlsVerify",
            "uploadEarly",
        ],
    ),
    ("osmo_exec", &["bind", "rsyncPort", "sidecarTimeout"]),
    ("osmo_init", &["binaries", "binaries_location", "image_location", "login"]),
];

fn fixture(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/command-lines");
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn args(name: &str) -> Vec<String> {
    fixture(name).lines().map(str::to_owned).collect()
}

struct Row {
    name: String,
    kind: String,
    default: Option<String>,
}

impl Row {
    /// Another value than the default.
    fn value(&self) -> &'static str {
        match self.kind.as_str() {
            "switch" => "true",
            "number" => "7",
            _ => "/x/y/",
        }
    }
}

fn rows(program: &str) -> Vec<Row> {
    let text = fixture(&format!("{program}.flags"));
    let rows = text.lines().map(|line| {
        let [name, kind, default] = line.split(' ').collect::<Vec<_>>().try_into().unwrap();
        let default = (default != "-").then(|| default.trim_matches('"').to_owned());
        Row { name: name.to_owned(), kind: kind.to_owned(), default }
    });
    rows.collect()
}

#[test]
fn every_flag_is_known_in_every_spelling_of_go() {
    for (program, read) in ALL {
        let nothing = read(&[]).unwrap();
        for row in rows(program) {
            let (name, value) = (&row.name, row.value());
            let (one, two) = (format!("-{name}"), format!("--{name}"));
            let (one_is, two_is) = (format!("-{name}={value}"), format!("--{name}={value}"));
            let mut spellings = vec![vec![one_is.as_str()], vec![&two_is]];
            if row.kind == "switch" {
                spellings.extend([vec![one.as_str()], vec![&two]]);
            } else {
                spellings.extend([vec![one.as_str(), value], vec![&two, value]]);
            }
            let meant = read(&spellings[0]).unwrap();
            assert_ne!(meant, nothing, "{program} -{name} changes something");
            for words in spellings {
                assert_eq!(read(&words).unwrap(), meant, "{program} {words:?}");
            }
        }
    }
}

#[test]
fn defaults_are_those_of_osmo() {
    for (program, read) in ALL {
        for row in rows(program) {
            let Some(default) = row.default else { continue };
            let word = format!("-{}={default}", row.name);
            assert_eq!(read(&[&word]), read(&[]), "{program} {word}");
        }
    }
}

/// A flag that is in neither list, or in one and not in the program, fails.
#[test]
fn no_flag_is_forgotten() {
    for ((program, read), (_, ours)) in ALL.into_iter().zip(OURS) {
        let Err(FlagError::Help(help)) = read(&["-help"]) else { panic!("{program} -help") };
        let flags = help.lines().filter_map(|line| line.strip_prefix("  -"));
        let told: BTreeSet<_> =
            flags.map(|line| line.split(' ').next().unwrap().to_owned()).collect();
        let mut known: BTreeSet<_> = rows(program).into_iter().map(|row| row.name).collect();
        known.extend(ours.iter().map(|&name| name.to_owned()));
        assert_eq!(told, known, "{program}");
    }
}

#[test]
fn lists_append_and_others_take_the_last() {
    for (program, read) in ALL {
        for row in rows(program) {
            let [first, last] = match row.kind.as_str() {
                "switch" => ["true", "false"],
                "number" => ["7", "8"],
                _ => ["/a/", "/b/"],
            }
            .map(|value| format!("-{}={value}", row.name));
            let same = read(&[&first, &last]) == read(&[&last]);
            assert_eq!(same, row.kind != "list", "{program} -{}", row.name);
        }
    }
}

#[test]
fn switches_leave_the_next_word_and_reading_stops_there() {
    let read = |words: &[&str]| osmo_exec::Flags::parse(words);
    let on = read(&["-enableRsync"]).unwrap();
    assert!(on.rsync);
    // `false` is no flag: what follows it is not looked at, not even a bad one.
    assert_eq!(read(&["-enableRsync", "false", "-nope"]), Ok(on.clone()));
    assert_eq!(read(&["-enableRsync", "--", "-nope"]), Ok(on.clone()));
    assert_eq!(read(&["-enableRsync", "-", "-nope"]), Ok(on));
    for word in ["-enableRsync=false", "--enableRsync=F", "-enableRsync=0"] {
        assert!(!read(&["-enableRsync", word]).unwrap().rsync, "{word}");
    }
}

/// The agent is told the output folder as it stands.
#[test]
fn folders_end_in_a_slash() {
    for text in ["/osmo/data/output", "/osmo/data/output/"] {
        let flags = osmo_ctrl::Flags::parse(["-inputPath", text, "-outputPath", text]).unwrap();
        for folder in [flags.input_folder, flags.output_folder] {
            assert_eq!(folder.to_str(), Some("/osmo/data/output/"));
        }
    }
}

#[test]
fn the_sidecar_s_pod_command_line() {
    let flags = osmo_ctrl::Flags::parse(args("osmo_ctrl.args")).unwrap();
    assert_eq!(flags.socket, Path::new("/osmo/data/socket/data.sock"));
    assert_eq!(flags.input_folder.to_str(), Some("/osmo/data/input/"));
    assert_eq!(flags.output_folder.to_str(), Some("/osmo/data/output/"));
    assert_eq!(flags.metadata, Path::new("/osmo/data/default_metadata.yaml"));
    assert_eq!(flags.link_timeout, Duration::from_secs(1440 * 60));
    assert_eq!(flags.data_timeout, Duration::from_secs(10 * 60));
    assert_eq!((flags.workflow.as_str(), flags.group.as_str()), ("wf-1", "g"));
    assert_eq!((flags.retry_id.as_str(), flags.task.as_str()), ("0", "t1"));
    assert_eq!((flags.host.as_str(), flags.port), ("osmo.example.com", 443));
    assert_eq!((flags.scheme.as_str(), flags.refresh_scheme.as_str()), ("wss", "https"));
    assert_eq!(flags.refresh_token, Path::new("/osmo/.refresh_token"));
    assert_eq!(flags.barrier, "osmo-group-ready");
    assert_eq!(flags.inputs, ["task:0,s3://bkt/wf-1/t0,", r"url:1,s3://b/p,.*\.txt"]);
    assert_eq!(flags.outputs, ["url:s3://b/out,"]);
    assert_eq!(flags.user_config, Path::new("/osmo/user_config.yaml"));
    assert_eq!(flags.service_config, Path::new("/osmo/service_config.yaml"));
    // Not passed by the service.
    assert_eq!(flags.logs_period, Duration::from_millis(100));
    assert_eq!((flags.logs_buffer, flags.token_header.as_str()), (10_000, "Authorization"));
    assert_eq!(flags.agent_timeout, Duration::from_secs(120 * 60));
    assert_eq!(flags.exec_timeout, Duration::from_secs(5 * 60));
    assert_eq!(flags.termination_log, Path::new("/dev/termination-log"));
}

#[test]
fn the_agent_s_pod_command_line() {
    let flags = osmo_exec::Flags::parse(args("osmo_exec.args")).unwrap();
    assert_eq!(flags.argv(), ["bash", "-c", "echo hi"]);
    assert_eq!(flags.checkpoints, ["/osmo/data/output/ckpt;s3://b/ck;600;.*"]);
    assert_eq!(flags.socket, Path::new("/osmo/data/socket/data.sock"));
    assert_eq!(flags.user_bin, Path::new("/osmo/usr/bin"));
    assert_eq!((flags.rsync, flags.rsync_port), (true, 16000));
    assert_eq!((flags.rsync_read_limit, flags.rsync_write_limit), (2_621_440, 2_621_440));
    assert_eq!(flags.rsync_allow, "models:/models:true,logs:/var/log:false");
}

#[test]
fn the_init_container_s_pod_command_lines() {
    for (name, rsync) in [("osmo_init.args", false), ("osmo_init-rsync.args", true)] {
        let flags = osmo_init::Flags::parse(args(name)).unwrap();
        assert_eq!(flags, osmo_init::Flags { rsync, ..osmo_init::Flags::default() });
        let places = [&flags.data, &flags.login, &flags.user_bin, &flags.run];
        let pod = ["/osmo/data", "/osmo/login", "/osmo/usr/bin", "/osmo/run"].map(PathBuf::from);
        assert!(places.into_iter().eq(&pod), "{flags:?}");
        assert_eq!(flags.image, Path::new("/osmo"));
        assert_eq!(flags.binaries, Path::new("/osmo_binaries"));
    }
}

fn run(program: &str, words: &[&str], log: &Path) -> Output {
    let mut command = PROGRAMS.command(program, std::iter::empty::<&str>());
    if program == "osmo_ctrl" {
        command.arg("-terminationLog").arg(log);
    }
    command.args(words).output().unwrap()
}

/// Go's own words, as its `flag` package writes them.
#[test]
fn bad_command_lines_are_told_and_end_with_2() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("termination");
    for (program, _) in ALL {
        let number = rows(program).into_iter().find(|row| row.kind == "number");
        let number = number.map(|row| format!("-{}=ten", row.name));
        let value = rows(program).into_iter().find(|row| row.kind == "text").unwrap().name;
        let mut cases = vec![
            (vec!["-nope".to_owned()], "flag provided but not defined: -nope".to_owned()),
            (vec!["--nope=1".to_owned()], "flag provided but not defined: -nope".to_owned()),
            (vec!["---x".to_owned()], "bad flag syntax: ---x".to_owned()),
            (vec!["-=x".to_owned()], "bad flag syntax: -=x".to_owned()),
            (vec![format!("-{value}")], format!("flag needs an argument: -{value}")),
        ];
        if let Some(word) = number {
            cases.push((vec![word.clone()], "invalid value \"ten\" for flag -".to_owned()));
        }
        for (words, sentence) in cases {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            let output = run(program, &words, &log);
            let told = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{program} {words:?}: {told}");
            assert!(told.contains(&sentence), "{program} {words:?}: {told}");
            assert_eq!(told.lines().count(), 1, "{told}");
            if program == "osmo_ctrl" {
                let message = std::fs::read_to_string(&log).unwrap();
                assert!(message.starts_with(r#"{"code":30,"message":""#), "{message}");
                std::fs::remove_file(&log).unwrap();
            }
        }
    }
}

#[test]
fn help_is_no_failure() {
    let folder = tempfile::tempdir().unwrap();
    for (program, _) in ALL {
        for word in ["-h", "--help"] {
            let output = run(program, &[word], &folder.path().join("termination"));
            assert_eq!(output.status.code(), Some(0), "{program} {word}");
            assert!(output.stderr.is_empty(), "{program} {word}");
            let told = String::from_utf8(output.stdout).unwrap();
            assert!(rows(program).iter().all(|row| told.contains(&format!("-{}", row.name))));
        }
    }
    assert!(!folder.path().join("termination").exists());
}
