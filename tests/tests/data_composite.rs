//! Objects whose checksum is made of the checksums of their parts, and those of
//! SHA-256 and SHA-1. All values are computed by Python's hashlib and zlib.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::Command;

use osmo_controller::run::access::StoreAccess;
use osmo_tests::fault_server::{ACCESS_KEY, Call, Declared, FaultServer, SECRET_KEY, Step};
use osmo_tests::program::Programs;
use osmo_tests::{tree, under_both_drivers};
use serde_json::Value;

const PROGRAMS: Programs = Programs(env!("CARGO_BIN_EXE_osmo-under-test"));
const MIB: usize = 1 << 20;

under_both_drivers!(
    each_part_is_compared,
    one_flipped_bit_fetches_its_part_again_and_no_more,
    a_part_that_stays_damaged_is_no_file,
    without_a_table_the_part_size_is_inferred,
    a_table_that_lies_is_not_gone_by,
    unequal_parts_are_put_together_or_said_to_be_unequal,
    a_whole_sha_wants_one_stream,
    a_composite_of_a_small_object_is_compared,
    resume_compares_the_parts_that_are_there,
);

/// Prints the base64 of each part of a file, and then the base64 over them.
const PYTHON: &str = r#"
import base64, hashlib, sys, zlib
path, name, sizes = sys.argv[1], sys.argv[2], map(int, sys.argv[3:])
def digest(data):
    if name == "crc32":
        return zlib.crc32(data).to_bytes(4, "big")
    return hashlib.new(name, data).digest()
with open(path, "rb") as file:
    parts = [digest(file.read(size)) for size in sizes]
    assert not file.read()
for value in [*parts, digest(b"".join(parts))]:
    print(base64.b64encode(value).decode())
"#;

fn names(name: &str) -> (&'static str, &'static str) {
    match name {
        "crc32" => ("x-amz-checksum-crc32", "ChecksumCRC32"),
        "sha256" => ("x-amz-checksum-sha256", "ChecksumSHA256"),
        "sha1" => ("x-amz-checksum-sha1", "ChecksumSHA1"),
        other => panic!("{other}"),
    }
}

/// Random bytes in parts of these sizes, and what S3 declares of them.
fn made(sizes: &[usize], name: &str) -> (Vec<u8>, Declared) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("object");
    let bytes: usize = sizes.iter().sum();
    tree::random_file(&path, bytes as u64, 7 + bytes as u64).unwrap();
    let sizes_told = sizes.iter().map(ToString::to_string);
    let mut python = Command::new("python3");
    let output = python.args(["-c", PYTHON]).arg(&path).arg(name).args(sizes_told).output();
    let output = String::from_utf8(output.unwrap().stdout).unwrap();
    let mut values: Vec<String> = output.lines().map(str::to_owned).collect();
    let value = format!("{}-{}", values.pop().unwrap(), sizes.len());
    assert_eq!(values.len(), sizes.len());
    let parts = sizes.iter().copied().zip(values).collect();
    let (field, element) = names(name);
    (std::fs::read(path).unwrap(), Declared { field, element, value, parts })
}

/// The same as one request stored it: of the whole.
fn whole(bytes: usize, name: &str) -> (Vec<u8>, Declared) {
    let (bytes, declared) = made(&[bytes], name);
    let (_, value) = declared.parts.into_iter().next().unwrap();
    (bytes, Declared { value, parts: Vec::new(), ..declared })
}

struct Bench {
    server: FaultServer,
    to: tempfile::TempDir,
    driver: String,
}

impl Bench {
    fn new(driver: &str) -> Self {
        let server = FaultServer::start("bkt").unwrap();
        Self { server, to: tempfile::tempdir().unwrap(), driver: driver.to_owned() }
    }

    /// Stores it under `key`, with an entity tag that says nothing.
    fn put(&self, key: &str, (bytes, declared): (Vec<u8>, Declared)) {
        self.server.put_declared(key, bytes, "opaque", declared);
    }

    fn download(&self, code: i32, more: &[&str]) -> Value {
        let access = StoreAccess {
            endpoint: self.server.url(),
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
        };
        let to: &OsStr = self.to.path().as_os_str();
        let mut args = vec!["download".as_ref(), "s3://bkt/".as_ref(), to, "--json".as_ref()];
        args.extend(more.iter().map(|text| -> &OsStr { text.as_ref() }));
        let output = PROGRAMS.data(&access, &self.driver, &args).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert_eq!(self.server.violations(), [""; 0]);
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn assert_arrived(&self, key: &str) {
        let there = std::fs::read(self.to.path().join(key)).unwrap();
        assert!(there == **self.server.object(key).unwrap(), "{key} has other bytes");
    }

    fn bytes(&self, key: &str) -> u64 {
        self.server.object(key).unwrap().len() as u64
    }
}

type Counts = BTreeMap<String, u64>;

fn counts<const N: usize>(pairs: [(&str, u64); N]) -> Counts {
    pairs.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

fn verified(report: &Value) -> Counts {
    serde_json::from_value(report["verification"]["verified"].clone()).unwrap()
}

fn reasons(report: &Value) -> Counts {
    serde_json::from_value(report["verification"]["unverifiable_reasons"].clone()).unwrap()
}

fn each_part_is_compared(driver: &str) {
    let bench = Bench::new(driver);
    let sizes = [8 * MIB, 8 * MIB, 4 * MIB - 7];
    for name in ["crc32", "sha256", "sha1"] {
        bench.put(name, made(&sizes, name));
    }
    // No usual size gives these parts, so nothing can be inferred.
    bench.put("unusual", made(&[7 * MIB + 1, 7 * MIB + 1, MIB], "sha256"));
    bench.server.page_parts(2);
    let report = bench.download(0, &["--require-verified"]);
    assert_eq!(verified(&report), counts([("crc32", 1), ("sha1", 1), ("sha256", 2)]));
    assert_eq!(bench.server.requests(Call::Attributes), 8, "two pages each");
    for key in bench.server.keys() {
        bench.assert_arrived(&key);
        assert_eq!(bench.server.served(&key), bench.bytes(&key), "{key}");
    }
}

fn one_flipped_bit_fetches_its_part_again_and_no_more(driver: &str) {
    for name in ["crc32", "sha256"] {
        let bench = Bench::new(driver);
        bench.put("object", made(&[8 * MIB; 3], name));
        bench.server.script(Call::GetRange, "object", [Step::Ok, Step::Corrupt(777)]);
        let report = bench.download(0, &[]);
        assert_eq!(verified(&report), counts([(name, 1)]));
        bench.assert_arrived("object");
        assert_eq!(bench.server.served("object"), (24 + 8) * MIB as u64);
        assert_eq!(report["retries"], 1);
        assert_eq!(report["bytes"], 24 * MIB as u64, "{report}");
    }
}

fn a_part_that_stays_damaged_is_no_file(driver: &str) {
    let bench = Bench::new(driver);
    bench.put("object", made(&[8 * MIB; 3], "sha256"));
    bench.server.always(Call::GetRange, "object", Step::Corrupt(777));
    let report = bench.download(2, &[]);
    let reason = report["failures"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("have the sha256"), "{reason}");
    assert_eq!(report["failures_total"], 1);
    assert!(std::fs::read_dir(bench.to.path()).unwrap().next().is_none());
    // No part more than twice.
    assert!(bench.server.served("object") <= 2 * bench.bytes("object"));
}

fn without_a_table_the_part_size_is_inferred(driver: &str) {
    let denied = "<Error><Code>AccessDenied</Code><Message>no</Message></Error>";
    let unknown = "<Error><Code>NotImplemented</Code><Message>no</Message></Error>";
    for (status, refusal) in [(403, denied), (501, unknown)] {
        let bench = Bench::new(driver);
        for name in ["crc32", "sha256"] {
            bench.put(name, made(&[8 * MIB, 8 * MIB, 4 * MIB - 7], name));
        }
        // 17 MiB in two parts can be of 10, 15 or 16 MiB.
        bench.put("unclear", made(&[10 * MIB, 7 * MIB], "sha256"));
        // 8 MiB is the one usual size that makes three parts of 20 MiB.
        bench.put("unequal", made(&[9 * MIB, 6 * MIB, 5 * MIB], "crc32"));
        let step = Step::Status(status, refusal.to_owned());
        bench.server.always(Call::Attributes, "", step);
        bench.server.script(Call::GetRange, "sha256", [Step::Ok, Step::Corrupt(777)]);
        let report = bench.download(0, &[]);
        assert_eq!(verified(&report), counts([("crc32", 1), ("sha256", 1)]));
        assert_eq!(reasons(&report), counts([("part-size", 2)]));
        assert_eq!(bench.server.requests(Call::Attributes), 4, "each is asked for once");
        // Of damage nobody knows where it is, the whole object comes again.
        for (key, times) in [("crc32", 1), ("unclear", 1), ("sha256", 2), ("unequal", 2)] {
            bench.assert_arrived(key);
            assert_eq!(bench.server.served(key), times * bench.bytes(key), "{key}");
        }
    }
}

fn a_table_that_lies_is_not_gone_by(driver: &str) {
    let sizes = [8 * MIB, 8 * MIB, 4 * MIB];
    let lies: [fn(&mut Declared); 3] = [
        |declared| declared.parts[1].1 = declared.parts[0].1.clone(),
        |declared| declared.parts[2].0 += 1,
        |declared| drop(declared.parts.pop()),
    ];
    for lie in lies {
        let bench = Bench::new(driver);
        let (bytes, mut declared) = made(&sizes, "crc32");
        lie(&mut declared);
        bench.put("object", (bytes, declared));
        let report = bench.download(0, &[]);
        assert_eq!(verified(&report), counts([("crc32", 1)]));
        assert_eq!(bench.server.served("object"), bench.bytes("object"));
        bench.assert_arrived("object");
    }
}

fn unequal_parts_are_put_together_or_said_to_be_unequal(driver: &str) {
    let bench = Bench::new(driver);
    let sizes = [9 * MIB, 5 * MIB, 6 * MIB];
    bench.put("crc32", made(&sizes, "crc32"));
    bench.put("sha256", made(&sizes, "sha256"));
    let report = bench.download(0, &[]);
    assert_eq!(verified(&report), counts([("crc32", 1)]));
    assert_eq!(reasons(&report), counts([("part-size", 1)]));
    for key in ["crc32", "sha256"] {
        bench.assert_arrived(key);
        assert_eq!(bench.server.served(key), bench.bytes(key), "{key}");
    }
}

fn a_whole_sha_wants_one_stream(driver: &str) {
    for required in [false, true] {
        let bench = Bench::new(driver);
        for (key, bytes, name) in [
            ("small", 70_001, "sha256"),
            ("small-1", 70_001, "sha1"),
            ("large", 9 * MIB, "sha256"),
            ("large-1", 9 * MIB, "sha1"),
        ] {
            bench.put(key, whole(bytes, name));
        }
        let more: &[&str] = if required { &["--require-verified"] } else { &[] };
        bench.server.script(Call::GetWhole, "small", [Step::Corrupt(5)]);
        let report = bench.download(0, more);
        let (shas, in_ranges) =
            if required { (2, counts([])) } else { (1, counts([("in-ranges", 2)])) };
        assert_eq!(verified(&report), counts([("sha1", shas), ("sha256", shas)]));
        assert_eq!(reasons(&report), in_ranges);
        bench.server.keys().iter().for_each(|key| bench.assert_arrived(key));
    }
}

fn a_composite_of_a_small_object_is_compared(driver: &str) {
    let bench = Bench::new(driver);
    bench.put("one", made(&[70_001], "crc32"));
    bench.put("two", made(&[5 * MIB, 12_345], "sha1"));
    bench.server.script(Call::GetWhole, "two", [Step::Corrupt(5)]);
    let report = bench.download(0, &["--require-verified"]);
    assert_eq!(verified(&report), counts([("crc32", 1), ("sha1", 1)]));
    bench.assert_arrived("one");
    bench.assert_arrived("two");
    assert_eq!(bench.server.requests(Call::Attributes), 0, "small ones come without questions");
}

fn resume_compares_the_parts_that_are_there(driver: &str) {
    let bench = Bench::new(driver);
    bench.put("object", made(&[8 * MIB, 8 * MIB, 4 * MIB - 7], "sha256"));
    bench.download(0, &[]);
    let again = bench.download(0, &["--resume"]);
    assert_eq!(again["files_skipped"], 1, "{again}");
    assert_eq!(bench.server.served("object"), bench.bytes("object"));
    let file = bench.to.path().join("object");
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[9 * MIB] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    bench.download(0, &["--resume"]);
    bench.assert_arrived("object");
}
