#![allow(clippy::unwrap_used)]

use super::{Flag, FlagError, parse};

#[derive(Debug, Default, PartialEq)]
struct Settings {
    text: String,
    list: Vec<String>,
    on: bool,
    number: i64,
}

fn table() -> Vec<Flag<Settings>> {
    vec![
        Flag::text("text", "", |s: &mut Settings, v| s.text = v),
        Flag::list("list", "", |s: &mut Settings, v| s.list.push(v)),
        Flag::switch("on", "", |s: &mut Settings, v| s.on = v),
        Flag::number("number", "", |s: &mut Settings, v| s.number = v),
    ]
}

fn read(args: &[&str]) -> (Settings, Result<Vec<String>, FlagError>) {
    let mut settings = Settings::default();
    let rest = parse(&table(), &mut settings, args);
    (settings, rest)
}

#[test]
fn spellings_of_a_value_are_one() {
    for args in [&["-text", "v"][..], &["--text", "v"], &["-text=v"], &["--text=v"]] {
        let (settings, rest) = read(args);
        assert_eq!(settings.text, "v", "{args:?}");
        assert_eq!(rest, Ok(vec![]));
    }
}

#[test]
fn values_may_look_like_flags_or_be_empty() {
    assert_eq!(read(&["-text", "-on"]).0.text, "-on");
    assert_eq!(read(&["-text", "--"]).0.text, "--");
    assert_eq!(read(&["-text="]).0.text, "");
    assert_eq!(read(&["-text=a=b"]).0.text, "a=b");
    assert_eq!(read(&["-text", ""]).0.text, "");
}

#[test]
fn the_last_value_wins_and_lists_append() {
    let (settings, _) = read(&["-text", "a", "-list", "x", "-text=b", "-list=y", "-list", "x"]);
    assert_eq!(settings.text, "b");
    assert_eq!(settings.list, ["x", "y", "x"]);
}

#[test]
fn switches_do_not_take_the_next_word() {
    let (settings, rest) = read(&["-on", "false"]);
    assert!(settings.on);
    assert_eq!(rest.unwrap(), ["false"]);
    for (word, want) in [("-on=0", false), ("--on=True", true), ("-on=f", false), ("-on=1", true)] {
        assert_eq!(read(&[word]).0.on, want, "{word}");
    }
    assert!(matches!(read(&["-on=yes"]).1, Err(FlagError::BadValue { .. })));
}

#[test]
fn reading_stops_at_the_first_other_word() {
    for (args, rest) in [
        (&["a", "-on"][..], &["a", "-on"][..]),
        (&["-", "-on"], &["-", "-on"]),
        (&["", "-on"], &["", "-on"]),
        (&["--", "-on"], &["-on"]),
        (&["--"], &[]),
    ] {
        let (settings, got) = read(args);
        assert!(!settings.on);
        assert_eq!(got.unwrap(), rest, "{args:?}");
    }
}

#[test]
fn faults_are_sentences() {
    for (args, sentence) in [
        (&["-nope"][..], "flag provided but not defined: -nope (-help lists the flags)"),
        (&["--nope=3"], "flag provided but not defined: -nope (-help lists the flags)"),
        (&["-text"], "flag needs an argument: -text"),
        (&["---text"], "bad flag syntax: ---text"),
        (&["-=v"], "bad flag syntax: -=v"),
        (&["--=v"], "bad flag syntax: --=v"),
        (&["-number", "x"], "invalid value \"x\" for flag -number: not a whole number in range"),
    ] {
        assert_eq!(read(args).1.unwrap_err().to_string(), sentence);
    }
    assert!(matches!(read(&["-help"]).1, Err(FlagError::Help(text)) if text.contains("-list")));
}

#[test]
fn numbers_may_be_negative() {
    assert_eq!(read(&["-number", "-1"]).0.number, -1);
    assert_eq!(read(&["-number=1440"]).0.number, 1440);
}
