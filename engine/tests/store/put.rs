//! PUT: parts, whole objects, early and late refusals.

use std::sync::{Arc, Barrier};

use osmo_engine::{ErrorKind, RetryClass};

use osmo_engine::mem::Slice;
use osmo_engine::s3::Proof;

use crate::bench::{BUFFER_BYTES, Bench, each_driver, put, put_request};
use crate::scripted::{Peer, answer, refusal, script};

#[test]
fn a_part_is_put_and_acknowledged() {
    let heads = each_driver(
        || {
            vec![script(|peer: &mut Peer| {
                for _ in 0..2 {
                    peer.head();
                    assert!(peer.body(20 * BUFFER_BYTES).iter().all(|byte| *byte == 7));
                    let fields = "ETag: \"e\"\r\nx-amz-checksum-crc64nvme: AAAAAAAAAAA=\r\n";
                    peer.send("HTTP/1.1 100 Continue\r\n\r\n");
                    peer.send(answer("200 OK", fields, ""));
                }
                peer.head();
                peer.send(answer("200 OK", "", ""));
                peer.closed();
            })]
        },
        async |bench| {
            for _ in 0..2 {
                let request = put_request(20 * BUFFER_BYTES as u64);
                let done = put(bench, &request, 20).await.unwrap();
                assert_eq!(done.etag.as_deref(), Some("\"e\""));
                let crc = ("crc64nvme".to_owned(), "AAAAAAAAAAA=".to_owned());
                assert_eq!(done.checksums, [crc]);
            }
            let mut empty = put_request(0);
            empty.part = None;
            put(bench, &empty, 0).await.unwrap();
        },
    );
    for heads in heads {
        let line = "PUT /bkt/k?partNumber=3&uploadId=up%2Fload HTTP/1.1\r\n";
        assert!(heads[0].starts_with(line), "{heads:?}");
        for field in [
            "content-length: 655360\r\n",
            "x-amz-checksum-crc64nvme: AAAAAAAAAAA=\r\n",
            "x-amz-sdk-checksum-algorithm: CRC64NVME\r\n",
            "x-amz-content-sha256: UNSIGNED-PAYLOAD\r\n",
        ] {
            assert!(heads[0].contains(field), "{field} {heads:?}");
        }
        assert!(!heads[0].contains("content-type"), "{heads:?}");
        assert!(heads[2].starts_with("PUT /bkt/k HTTP/1.1\r\n"), "{heads:?}");
        assert!(heads[2].contains("content-type: text/plain\r\n"), "{heads:?}");
    }
}

#[test]
fn an_early_refusal_ends_a_put() {
    // The store answers and reads no further; it closes, resets, or does not.
    for ending in 0..3 {
        each_driver(
            || {
                vec![script(move |peer: &mut Peer| {
                    peer.head();
                    peer.send(refusal("403 Forbidden", "AccessDenied", "Access Denied"));
                    match ending {
                        0 => peer.end(),
                        1 => {}
                        _ => peer.closed(),
                    }
                })]
            },
            async |bench| {
                let request = put_request(2_000 * BUFFER_BYTES as u64);
                let fault = put(bench, &request, 2_000).await.unwrap_err();
                if ending == 1 && fault.kind() == ErrorKind::Unreachable {
                    // A reset may overtake the answer.
                    return;
                }
                assert_eq!(fault.kind(), ErrorKind::Denied, "{fault}");
                assert!(fault.to_string().contains("s3:PutObject"), "{fault}");
            },
        );
    }
}

#[test]
fn a_put_that_is_stuck_finds_the_early_refusal() {
    // The store answers and then neither reads nor closes.
    let told = Arc::new(Barrier::new(2));
    each_driver(
        || {
            let told = Arc::clone(&told);
            vec![script(move |peer: &mut Peer| {
                peer.head();
                peer.send(refusal("403 Forbidden", "AccessDenied", "Access Denied"));
                told.wait();
            })]
        },
        async |bench| {
            let request = put_request(2_000 * BUFFER_BYTES as u64);
            let fault = put(bench, &request, 2_000).await;
            told.wait();
            assert_eq!(fault.unwrap_err().kind(), ErrorKind::Denied);
        },
    );
}

#[test]
fn a_put_that_is_refused_after_its_body_says_why() {
    each_driver(
        || {
            vec![script(|peer: &mut Peer| {
                for (status, code) in [("503 Slow Down", "SlowDown"), ("400 B", "BadDigest")] {
                    peer.head();
                    peer.body(BUFFER_BYTES);
                    peer.send(refusal(status, code, "why"));
                }
                peer.closed();
            })]
        },
        async |bench| {
            let request = put_request(BUFFER_BYTES as u64);
            let slow = put(bench, &request, 1).await.unwrap_err();
            assert_eq!(slow.class(), RetryClass::Throttle, "{slow}");
            let corrupt = put(bench, &request, 1).await.unwrap_err();
            assert_eq!(corrupt.class(), RetryClass::Corrupt, "{corrupt}");
        },
    );
}

#[test]
fn a_put_on_a_connection_that_died_at_rest_goes_to_a_fresh_one() {
    each_driver(
        || {
            vec![
                script(|peer: &mut Peer| {
                    peer.head();
                    peer.body(BUFFER_BYTES);
                    peer.send(answer("200 OK", "", ""));
                    peer.end();
                    peer.closed();
                }),
                script(|peer: &mut Peer| {
                    peer.head();
                    peer.body(BUFFER_BYTES);
                    peer.send(answer("200 OK", "ETag: \"second\"\r\n", ""));
                    peer.closed();
                }),
            ]
        },
        async |bench| {
            let request = put_request(BUFFER_BYTES as u64);
            put(bench, &request, 1).await.unwrap();
            // The end of the first connection may arrive after the request.
            let done = match put(bench, &request, 1).await {
                Err(fault) if fault.class() == RetryClass::Retry => {
                    put(bench, &request, 1).await.unwrap()
                }
                done => done.unwrap(),
            };
            assert_eq!(done.etag.as_deref(), Some("\"second\""));
        },
    );
}

#[test]
fn a_put_keeps_to_the_length_it_announced() {
    each_driver(
        || {
            vec![
                script(|peer: &mut Peer| {
                    peer.head();
                    peer.closed();
                }),
                script(|peer: &mut Peer| {
                    peer.head();
                    peer.closed();
                }),
            ]
        },
        async |bench| {
            let long = put(bench, &put_request(10), 1).await.unwrap_err();
            assert_eq!(long.kind(), ErrorKind::Internal);
            let short = put(bench, &put_request(10), 0).await.unwrap_err();
            assert_eq!(short.kind(), ErrorKind::Internal);
        },
    );
}

/// Puts a short text, and its checksum behind it.
async fn trailed(bench: &Bench, text: &str, crc64nvme: &str) -> Result<(), osmo_engine::Error> {
    let mut request = put_request(text.len() as u64);
    request.proof = Proof::Trailer;
    let mut put = bench.store.put(&request, bench.buffer()).await.map_err(|(error, _)| error)?;
    let mut buffer = bench.buffer();
    buffer[..text.len()].copy_from_slice(text.as_bytes());
    put.write(Slice { buffer, start: 0, end: text.len() }).await.0?;
    put.trail(crc64nvme).await?;
    put.finish().await.0.map(drop)
}

#[test]
fn a_trailer_is_framed_as_documented() {
    // The check value of CRC-64/NVME in the catalogue of CRCs.
    let whole = "9\r\n123456789\r\n0\r\nx-amz-checksum-crc64nvme:rosUhgp5mIg=\r\n\r\n";
    let empty = "0\r\nx-amz-checksum-crc64nvme:AAAAAAAAAAA=\r\n\r\n";
    let heads = each_driver(
        || {
            vec![script(move |peer: &mut Peer| {
                for body in [whole, empty] {
                    peer.head();
                    assert_eq!(String::from_utf8(peer.body(body.len())).unwrap(), body);
                    peer.send(answer("200 OK", "", ""));
                }
                peer.closed();
            })]
        },
        async |bench| {
            trailed(bench, "123456789", "rosUhgp5mIg=").await.unwrap();
            trailed(bench, "", "AAAAAAAAAAA=").await.unwrap();
        },
    );
    for heads in heads {
        for (head, body, decoded) in [(&heads[0], whole, 9), (&heads[1], empty, 0)] {
            for field in [
                format!("content-length: {}\r\n", body.len()),
                format!("x-amz-decoded-content-length: {decoded}\r\n"),
                "content-encoding: aws-chunked\r\n".to_owned(),
                "x-amz-trailer: x-amz-checksum-crc64nvme\r\n".to_owned(),
                "x-amz-content-sha256: STREAMING-UNSIGNED-PAYLOAD-TRAILER\r\n".to_owned(),
            ] {
                assert!(head.contains(&field), "{field} {head}");
            }
            let signed = head.lines().find(|line| line.starts_with("authorization")).unwrap();
            assert!(signed.contains("content-encoding;"), "{signed}");
            assert!(signed.contains("x-amz-trailer"), "{signed}");
        }
    }
}

#[test]
fn a_trailer_out_of_turn_is_refused() {
    each_driver(
        || {
            let silent = || {
                script(|peer: &mut Peer| {
                    peer.head();
                    peer.closed();
                })
            };
            vec![silent(), silent(), silent()]
        },
        async |bench| {
            for (proof, bytes) in [(Proof::None, 0), (Proof::Trailer, 9)] {
                let mut request = put_request(bytes);
                request.proof = proof;
                let put = bench.store.put(&request, bench.buffer()).await;
                let mut put = put.map_err(|(error, _)| error).unwrap();
                let error = put.trail("AAAAAAAAAAA=").await.unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Internal);
            }
            let mut untrailed = put_request(0);
            untrailed.proof = Proof::Trailer;
            let error = put(bench, &untrailed, 0).await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Internal);
        },
    );
}
