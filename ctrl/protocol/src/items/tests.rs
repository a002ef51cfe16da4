#![allow(clippy::unwrap_used)]

use super::{Input, Output, Owner};

fn input(owner: Owner, folder: &str, url: &str, regex: Option<&str>) -> Input {
    Input { owner, folder: folder.into(), url: url.into(), regex: regex.map(Into::into) }
}

#[test]
fn inputs_as_the_service_writes_them() {
    for (text, want) in [
        ("task:0,s3://bkt/wf-1/t0,", input(Owner::Task, "0", "s3://bkt/wf-1/t0", None)),
        ("url:1,s3://b/p,.*\\.txt", input(Owner::Url, "1", "s3://b/p", Some(".*\\.txt"))),
        ("url:1,s3://b/p,a{1,2},b", input(Owner::Url, "1", "s3://b/p", Some("a{1,2},b"))),
        ("url:1,s3://b/p", input(Owner::Url, "1", "s3://b/p", None)),
        ("task:up/x,s3://b/p,", input(Owner::Task, "up/x", "s3://b/p", None)),
        ("url:1,s3://b/p,^a:b", input(Owner::Url, "1", "s3://b/p", Some("^a:b"))),
    ] {
        assert_eq!(text.parse::<Input>().unwrap(), want, "{text}");
    }
}

#[test]
fn outputs_as_the_service_writes_them() {
    let url = |url: &str, regex: Option<&str>| Output::Url {
        url: url.into(),
        regex: regex.map(Into::into),
    };
    for (text, want) in [
        ("task:s3://bkt/wf/task", Output::Task { url: "s3://bkt/wf/task".into() }),
        ("task:s3://bkt/wf/task,", Output::Task { url: "s3://bkt/wf/task".into() }),
        ("url:s3://b/out,", url("s3://b/out", None)),
        ("url:s3://b/out", url("s3://b/out", None)),
        ("url:s3://b/out,x{1,2}", url("s3://b/out", Some("x{1,2}"))),
        (
            "kpi:s3://b/w/m,m/k.json",
            Output::Kpi { url: "s3://b/w/m".into(), path: "m/k.json".into() },
        ),
    ] {
        assert_eq!(text.parse::<Output>().unwrap(), want, "{text}");
    }
}

#[test]
fn anything_else_is_refused() {
    for text in [
        "",
        "task",
        "task:",
        "task:0",
        "kpi:0,s3://b/p,",
        "swim:0,s3://b/p,",
        "url:,s3://b/p,",
        "url:0,,",
        "url:0,b/p,",
        "url:../x,s3://b/p,",
        "url:/etc,s3://b/p,",
        "url:.,s3://b,",
        "url:a/../../b,s3://b/p,",
    ] {
        let error = text.parse::<Input>().unwrap_err().to_string();
        assert!(error.starts_with("cannot understand input "), "{error}");
    }
    for text in [
        "",
        "task:",
        "url:",
        "url:,x",
        "task:s3://b/p,x",
        "kpi:s3://b/p",
        "kpi:s3://b/p,",
        "kpi:s3://b/p,/etc/passwd",
        "kpi:s3://b/p,../x",
        "out:s3://b/p,",
        "url:s3://",
    ] {
        let error = text.parse::<Output>().unwrap_err().to_string();
        assert!(error.starts_with("cannot understand output "), "{error}");
    }
}
