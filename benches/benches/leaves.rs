//! The leaves of the byte path: digests, response heads, path rules.
#![allow(missing_docs, reason = "criterion's macros make public functions without docs")]

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use osmo_engine::digest::{Algorithm, Digest};
use osmo_engine::net::http1::{Method, ResponseHead};
use osmo_engine::path;

/// What one buffer of the engine holds.
const BUFFER_BYTES: usize = 64 << 10;

/// A ranged answer as S3 words it.
const HEAD: &[u8] = b"HTTP/1.1 206 Partial Content\r\n\
x-amz-id-2: Uuag1LuByRx9e6j5Onimru9pO4ZVKnJ2Qz7/C1NPcfTWAtRPfTaOFg==\r\n\
x-amz-request-id: 656c76696e6727732072657175657374\r\n\
Date: Tue, 16 Jun 2026 01:23:59 GMT\r\n\
Last-Modified: Mon, 15 Jun 2026 21:34:56 GMT\r\n\
ETag: \"9b2cf535f27731c974343645a3985328\"\r\n\
Accept-Ranges: bytes\r\n\
Content-Range: bytes 0-8388607/268435456\r\n\
Content-Type: binary/octet-stream\r\n\
Content-Length: 8388608\r\n\
Server: AmazonS3\r\n\r\n";

fn digests(criterion: &mut Criterion) {
    let buffer = vec![0x5a; BUFFER_BYTES];
    let mut group = criterion.benchmark_group("digest");
    group.throughput(Throughput::Bytes(BUFFER_BYTES as u64));
    for algorithm in Algorithm::ALL {
        group.bench_function(algorithm.name(), |bencher| {
            bencher.iter(|| {
                let mut digest = Digest::new(algorithm);
                digest.update(black_box(&buffer));
                digest.value()
            });
        });
    }
    group.finish();
}

fn heads(criterion: &mut Criterion) {
    criterion.bench_function("response head", |bencher| {
        bencher.iter(|| ResponseHead::parse(black_box(HEAD), Method::Get).is_ok());
    });
}

fn paths(criterion: &mut Criterion) {
    let key = "data/train/shards/0042/sample-000123.tar";
    criterion.bench_function("path of a key", |bencher| {
        bencher.iter(|| path::local(black_box(key)).is_ok());
    });
}

criterion_group!(leaves, digests, heads, paths);
criterion_main!(leaves);
