//! GET: ranges, framing, refusals, connections that die.

use std::time::{Duration, UNIX_EPOCH};

use osmo_engine::clock::Clock;
use osmo_engine::{ErrorKind, RetryClass};

use crate::bench::{BUFFER_BYTES, CONTENT, each_driver, get, get_request, partial};
use crate::scripted::{Peer, answer, refusal, script};

#[test]
fn a_whole_object_comes_with_its_checksums() {
    let heads = each_driver(
        || {
            vec![script(|peer: &mut Peer| {
                peer.head();
                let fields = "ETag: \"e\"\r\nx-amz-checksum-crc64nvme: AAAAAAAAAAA=\r\n\
                    x-amz-checksum-crc32: AAAAAA==\r\nx-amz-checksum-type: FULL_OBJECT\r\n";
                peer.send(answer("200 OK", fields, CONTENT));
                peer.closed();
            })]
        },
        async |bench| {
            let (head, content) = get(bench, &get_request(None), 7).await.unwrap();
            assert_eq!(content, CONTENT);
            assert_eq!((head.body_bytes, head.object_bytes), (43, Some(43)));
            assert_eq!(head.etag.as_deref(), Some("\"e\""));
            let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
            let checksums = [pair("crc64nvme", "AAAAAAAAAAA="), pair("crc32", "AAAAAA==")];
            assert_eq!(head.checksums, checksums);
        },
    );
    for heads in heads {
        assert!(heads[0].starts_with("GET /bkt/k%20y HTTP/1.1\r\nhost: 127.0.0.1:"), "{heads:?}");
        assert!(heads[0].contains("x-amz-checksum-mode: ENABLED\r\n"));
        assert!(heads[0].contains("authorization: AWS4-HMAC-SHA256 Credential=id/"));
    }
}

// The instant of the examples in AWS's "Signature Calculations for the
// Authorization Header": 1369353600 is what `date -d` says of it.
#[test]
fn a_request_is_signed_at_the_clocks_time() {
    let heads = each_driver(
        || {
            vec![script(|peer: &mut Peer| {
                peer.head();
                peer.send(answer("200 OK", "", CONTENT));
                peer.closed();
            })]
        },
        async |bench| {
            let clock = Clock::Fixed(UNIX_EPOCH + Duration::from_secs(1_369_353_600));
            let store = bench.store.clone().with_clock(clock);
            let (body, request) = (bench.buffer(), get_request(None));
            assert!(store.get(&request, body).await.is_ok());
        },
    );
    for heads in heads {
        assert!(heads[0].contains("x-amz-date: 20130524T000000Z\r\n"), "{heads:?}");
        assert!(heads[0].contains("Credential=id/20130524/us-east-1/s3/aws4_request"), "{heads:?}");
    }
}

#[test]
fn a_range_is_asked_for_and_the_connection_used_again() {
    let heads = each_driver(
        || {
            vec![script(|peer: &mut Peer| {
                peer.head();
                peer.send(partial("bytes 4-8/43", &CONTENT[4..9]));
                peer.head();
                peer.send(partial("bytes 40-42/*", &CONTENT[40..]));
                peer.closed();
            })]
        },
        async |bench| {
            let mut request = get_request(Some((4, 9)));
            request.etag = Some("\"e\"".into());
            let (head, content) = get(bench, &request, 100).await.unwrap();
            assert_eq!((content.as_slice(), head.object_bytes), (&CONTENT[4..9], Some(43)));
            let (head, content) = get(bench, &get_request(Some((40, 43))), 1).await.unwrap();
            assert_eq!((content.as_slice(), head.object_bytes), (&CONTENT[40..], None));
        },
    );
    for heads in heads {
        assert!(heads[0].contains("range: bytes=4-8\r\nif-match: \"e\"\r\n"), "{heads:?}");
        assert!(heads[1].contains("range: bytes=40-42\r\n"), "{heads:?}");
    }
}

#[test]
fn an_answer_in_single_bytes_and_one_in_chunks_are_read() {
    each_driver(
        || {
            vec![script(|peer: &mut Peer| {
                peer.head();
                for byte in partial("bytes 0-8/43", &CONTENT[..9]) {
                    peer.send([byte]);
                }
                peer.head();
                peer.send(
                    "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-8/43\r\n\
                     Transfer-Encoding: chunked\r\n\r\n4\r\nThe \r\n",
                );
                peer.send("5;x=y\r\nquick\r\n0\r\n\r\n");
                peer.closed();
            })]
        },
        async |bench| {
            for _ in 0..2 {
                let (_, content) = get(bench, &get_request(Some((0, 9))), 100).await.unwrap();
                assert_eq!(content, b"The quick");
            }
        },
    );
}

#[test]
fn a_large_body_goes_through_small_buffers() {
    let body: Vec<u8> = (0..3_000_000_u32).map(|n| u8::try_from(n % 251).unwrap()).collect();
    each_driver(
        || {
            let body = body.clone();
            vec![script(move |peer: &mut Peer| {
                peer.head();
                peer.send(answer("200 OK", "", body));
                peer.closed();
            })]
        },
        async |bench| {
            let (_, content) = get(bench, &get_request(None), BUFFER_BYTES - 5).await.unwrap();
            assert!(content == body);
        },
    );
}

#[test]
fn successes_that_are_none_are_refused() {
    let cases = [
        (Some((0, 9)), partial("bytes 1-9/43", b"123456789")),
        (Some((0, 9)), partial("bytes 0-8/8", b"123456789")),
        (Some((0, 9)), partial("bytes 0-8/43", b"12345678")),
        (Some((0, 9)), partial("bytes */43", b"123456789")),
        (Some((0, 9)), answer("206 P", "", b"123456789")),
        (Some((0, 9)), answer("200 OK", "", CONTENT)),
        (None, partial("bytes 0-8/43", b"123456789")),
        (None, b"HTTP/1.1 200 OK\r\n\r\nuntil close".to_vec()),
        (None, b"SSH-2.0-OpenSSH_9.2\r\n".to_vec()),
        (None, answer("200 OK", "Content-Length: 3\r\n", "abc")),
    ];
    for (range, bytes) in cases {
        each_driver(
            || {
                let bytes = bytes.clone();
                vec![script(move |peer: &mut Peer| {
                    peer.head();
                    peer.send_some(bytes);
                    peer.end();
                })]
            },
            async |bench| {
                let fault = get(bench, &get_request(range), 100).await.unwrap_err();
                assert_eq!(
                    (fault.kind(), fault.class()),
                    (ErrorKind::Protocol, RetryClass::Retry),
                    "{fault}"
                );
            },
        );
    }
}

#[test]
fn another_version_is_a_change() {
    each_driver(
        || {
            vec![script(|peer: &mut Peer| {
                peer.head();
                peer.send(refusal("412 Precondition Failed", "PreconditionFailed", "no"));
                peer.head();
                peer.send(partial("bytes 0-8/43", &CONTENT[..9]));
                peer.closed();
            })]
        },
        async |bench| {
            let mut request = get_request(Some((0, 9)));
            request.etag = Some("\"other\"".into());
            for _ in 0..2 {
                let fault = get(bench, &request, 100).await.unwrap_err();
                assert_eq!(fault.class(), RetryClass::Changed, "{fault}");
            }
        },
    );
}

#[test]
fn a_truncated_body_is_an_error_that_says_how_much_is_missing() {
    for chunked in [false, true] {
        each_driver(
            || {
                vec![script(move |peer: &mut Peer| {
                    peer.head();
                    let framing = if chunked {
                        "Transfer-Encoding: chunked\r\n\r\n5\r\nThe q\r\n0\r\n\r\n"
                    } else {
                        "Content-Length: 9\r\n\r\nThe q"
                    };
                    peer.send("HTTP/1.1 206 P\r\nContent-Range: bytes 0-8/43\r\n");
                    peer.send(framing);
                    peer.end();
                })]
            },
            async |bench| {
                let fault = get(bench, &get_request(Some((0, 9))), 100).await.unwrap_err();
                assert_eq!(fault.class(), RetryClass::Retry);
                assert!(fault.to_string().contains("4 bytes"), "{fault}");
            },
        );
    }
}

#[test]
fn a_connection_that_died_at_rest_is_replaced() {
    each_driver(
        || {
            vec![
                script(|peer: &mut Peer| {
                    peer.head();
                    peer.send(answer("200 OK", "", CONTENT));
                    // The next request's head comes here, and no answer.
                    peer.head();
                    peer.reset();
                }),
                script(|peer: &mut Peer| {
                    peer.head();
                    peer.send(answer("200 OK", "Connection: close\r\n", CONTENT));
                    peer.end();
                    peer.closed();
                }),
                script(|peer: &mut Peer| {
                    peer.head();
                    peer.send(answer("200 OK", "", CONTENT));
                    peer.closed();
                }),
            ]
        },
        async |bench| {
            for _ in 0..3 {
                let (_, content) = get(bench, &get_request(None), 100).await.unwrap();
                assert_eq!(content, CONTENT);
            }
        },
    );
}

#[test]
fn a_fresh_connection_that_dies_is_not_tried_again_here() {
    each_driver(
        || {
            vec![script(|peer: &mut Peer| {
                peer.head();
                peer.reset();
            })]
        },
        async |bench| {
            let fault = get(bench, &get_request(None), 100).await.unwrap_err();
            assert_eq!(fault.kind(), ErrorKind::Unreachable, "{fault}");
        },
    );
}

#[test]
fn a_refusal_is_told_in_the_store_s_words_and_spares_the_connection() {
    each_driver(
        || {
            vec![script(|peer: &mut Peer| {
                peer.head();
                peer.send(refusal("404 Not Found", "NoSuchKey", "The key does not exist."));
                peer.head();
                peer.send(
                    "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n\
                     29\r\n<Error><Code>SignatureDoesNotMatch</Code>\r\n",
                );
                peer.send("8\r\n</Error>\r\n0\r\n\r\n");
                peer.closed();
            })]
        },
        async |bench| {
            let fault = get(bench, &get_request(None), 100).await.unwrap_err();
            assert_eq!(fault.kind(), ErrorKind::NotFound, "{fault}");
            assert!(fault.to_string().contains("The key does not exist."), "{fault}");
            let fault = get(bench, &get_request(None), 100).await.unwrap_err();
            assert!(fault.to_string().contains("secret key is wrong"), "{fault}");
        },
    );
}

#[test]
fn a_bucket_that_has_moved_is_asked_there_from_then_on() {
    let heads = each_driver(
        || {
            vec![script(|peer: &mut Peer| {
                peer.head();
                // The host that it names is not gone to.
                let region =
                    "x-amz-bucket-region: eu-north-1\r\nLocation: http://elsewhere.test/\r\n";
                peer.send(answer("301 Moved Permanently", region, ""));
                peer.head();
                peer.send(answer("200 OK", "", CONTENT));
                peer.head();
                peer.send(answer("301 Moved Permanently", "x-amz-bucket-region: xx\r\n", ""));
                peer.closed();
            })]
        },
        async |bench| {
            let moved = get(bench, &get_request(None), 50).await.unwrap_err();
            assert_eq!(moved.class(), RetryClass::Retry, "{moved}");
            assert!(get(bench, &get_request(None), 50).await.is_ok());
            let again = get(bench, &get_request(None), 50).await.unwrap_err();
            assert_eq!((again.kind(), again.class()), (ErrorKind::Config, RetryClass::Fatal));
            assert!(again.to_string().contains("region xx, not eu-north-1"), "{again}");
        },
    );
    for heads in heads {
        for (head, region) in heads.iter().zip(["us-east-1", "eu-north-1", "eu-north-1"]) {
            assert!(head.contains(&format!("/{region}/s3/aws4_request")), "{head}");
        }
    }
}

#[test]
fn only_expired_credentials_may_be_renewed() {
    for (code, class) in [("ExpiredToken", RetryClass::Auth), ("AccessDenied", RetryClass::Fatal)] {
        each_driver(
            || {
                vec![script(move |peer: &mut Peer| {
                    peer.head();
                    peer.send(refusal("403 Forbidden", code, "why"));
                    peer.closed();
                })]
            },
            async |bench| {
                let fault = get(bench, &get_request(None), 50).await.unwrap_err();
                assert_eq!((fault.kind(), fault.class()), (ErrorKind::Denied, class), "{fault}");
            },
        );
    }
}
