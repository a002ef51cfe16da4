//! Connect, receive and send.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener};

use crate::support::{BYTES, Bench, errno, fd, kind, under_both_drivers, under_simulation};

under_both_drivers!(
    a_connected_socket_moves_bytes_both_ways,
    a_refused_connection_says_so,
    a_receive_ends_with_the_first_bytes_and_the_stream,
    a_receive_fills_its_range_only,
    a_send_to_a_full_socket_is_short_and_goes_on,
    a_send_to_a_closed_peer_fails_and_gives_its_slice_back,
    a_receive_on_a_file_fails_and_gives_its_buffer_back,
    a_range_outside_its_buffer_is_refused,
    an_always_ready_socket_does_not_keep_the_loop,
    a_descriptor_number_used_again_is_another_socket,
    more_receives_than_the_driver_takes,
    reads_and_writes_of_one_socket_at_once,
);

under_simulation!(
    a_receive_ends_with_the_first_bytes_and_the_stream,
    a_receive_fills_its_range_only,
    a_send_to_a_closed_peer_fails_and_gives_its_slice_back,
    a_receive_on_a_file_fails_and_gives_its_buffer_back,
    a_range_outside_its_buffer_is_refused,
    an_always_ready_socket_does_not_keep_the_loop,
    a_descriptor_number_used_again_is_another_socket,
);

fn a_connected_socket_moves_bytes_both_ways(bench: &Bench) {
    bench.block_on(async {
        let (ours, mut theirs) = bench.pair().await;
        assert!(rustix::net::sockopt::tcp_nodelay(&ours).unwrap());
        assert!(rustix::fs::fcntl_getfl(&ours).unwrap().contains(rustix::fs::OFlags::NONBLOCK));
        let (sent, slice) = bench.ring.send(&ours, bench.slice(b"-ping-").await).await;
        assert_eq!((sent.unwrap(), slice.start, slice.end), (6, 0, 6));
        let mut got = [0; 6];
        theirs.read_exact(&mut got).unwrap();
        assert_eq!(&got, b"-ping-");
        theirs.write_all(b"pong").unwrap();
        assert_eq!(bench.recv(&ours).await.unwrap(), b"pong");
    });
}

fn a_refused_connection_says_so(bench: &Bench) {
    // Bound but not listening: nobody else can take the port meanwhile.
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    let any = std::net::SocketAddrV4::new(Ipv4Addr::LOCALHOST, 0);
    rustix::net::bind(&socket, &any).unwrap();
    let at = std::net::SocketAddr::try_from(rustix::net::getsockname(&socket).unwrap()).unwrap();
    bench.block_on(async {
        assert_eq!(errno(bench.ring.connect(at).await), libc::ECONNREFUSED);
    });
}

fn a_receive_ends_with_the_first_bytes_and_the_stream(bench: &Bench) {
    bench.block_on(async {
        let (ours, mut theirs) = bench.pair().await;
        let ring = bench.ring.clone();
        let buffer = bench.buffer().await;
        let waiting = bench.ring.spawn({
            let ours = ours.clone();
            async move { ring.recv(&ours, buffer, 0..BYTES).await }
        });
        theirs.write_all(b"abc").unwrap();
        let (count, buffer) = waiting.await;
        assert_eq!(&buffer[..count.unwrap()], b"abc");
        theirs.shutdown(Shutdown::Write).unwrap();
        assert_eq!(bench.recv(&ours).await.unwrap(), b"");
        assert_eq!(bench.recv(&ours).await.unwrap(), b"", "the end shows again");
    });
}

fn a_receive_fills_its_range_only(bench: &Bench) {
    bench.block_on(async {
        let (ours, mut theirs) = bench.pair().await;
        theirs.write_all(b"0123456789").unwrap();
        let mut buffer = bench.buffer().await;
        buffer.fill(b'.');
        let (count, buffer) = bench.ring.recv(&ours, buffer, 3..7).await;
        assert_eq!(count.unwrap(), 4);
        assert_eq!(&buffer[..9], b"...0123..");
        assert_eq!(bench.recv(&ours).await.unwrap(), b"456789");
    });
}

fn a_send_to_a_full_socket_is_short_and_goes_on(bench: &Bench) {
    const TOTAL: usize = 12 << 20;
    bench.block_on(async {
        let (ours, mut theirs) = bench.pair().await;
        let reader = std::thread::spawn(move || {
            let mut got = Vec::new();
            theirs.read_to_end(&mut got).unwrap();
            got
        });
        let mut sent = 0;
        let mut slice = bench.slice(&[0; BYTES]).await;
        while sent < TOTAL {
            for at in 0..BYTES {
                slice.buffer[at] = ((sent + at) % 251) as u8;
            }
            (slice.start, slice.end) = (0, BYTES.min(TOTAL - sent));
            let count;
            let result = bench.ring.send(&ours, slice).await;
            (count, slice) = (result.0.unwrap(), result.1);
            assert!(count > 0);
            sent += count;
        }
        drop(ours);
        let got = reader.join().unwrap();
        assert_eq!(got.len(), TOTAL);
        assert!(got.iter().enumerate().all(|(at, &byte)| byte == (at % 251) as u8));
    });
}

fn a_send_to_a_closed_peer_fails_and_gives_its_slice_back(bench: &Bench) {
    bench.block_on(async {
        let (ours, theirs) = bench.pair().await;
        drop(theirs);
        // The first send meets the reset, a later one its consequence.
        let mut slice = bench.slice(b"into the void").await;
        loop {
            let (sent, back) = bench.ring.send(&ours, slice).await;
            slice = back;
            assert_eq!(&slice.buffer[slice.start..slice.end], b"into the void");
            match sent {
                Ok(_) => continue,
                Err(error) => {
                    let errno = error.raw_os_error().unwrap();
                    assert!([libc::EPIPE, libc::ECONNRESET].contains(&errno), "{error}");
                    break;
                }
            }
        }
    });
}

fn a_receive_on_a_file_fails_and_gives_its_buffer_back(bench: &Bench) {
    let file = fd(tempfile::tempfile().unwrap());
    bench.block_on(async {
        let mut buffer = bench.buffer().await;
        buffer[0] = 42;
        let (count, buffer) = bench.ring.recv(&file, buffer, 0..BYTES).await;
        assert_eq!(errno(count), libc::ENOTSOCK);
        assert_eq!(buffer[0], 42);
        let (sent, slice) = bench.ring.send(&file, bench.slice(b"x").await).await;
        assert_eq!(errno(sent), libc::ENOTSOCK);
        assert_eq!(slice.buffer[0], b'x');
    });
}

fn a_range_outside_its_buffer_is_refused(bench: &Bench) {
    bench.block_on(async {
        let (ours, _theirs) = bench.pair().await;
        let (count, buffer) = bench.ring.recv(&ours, bench.buffer().await, 0..BYTES + 1).await;
        assert_eq!(kind(count), std::io::ErrorKind::InvalidInput);
        #[allow(clippy::reversed_empty_ranges)] // that is the point
        let (count, buffer) = bench.ring.recv(&ours, buffer, 7..3).await;
        assert_eq!(kind(count), std::io::ErrorKind::InvalidInput);
        let slice = osmo_engine::mem::Slice { buffer, start: 9, end: BYTES + 1 };
        let (sent, slice) = bench.ring.send(&ours, slice).await;
        assert_eq!(kind(sent), std::io::ErrorKind::InvalidInput);
        let (written, _) = bench.ring.write_at(&ours, vec![slice], 0).await;
        assert_eq!(kind(written), std::io::ErrorKind::InvalidInput);
    });
}

fn an_always_ready_socket_does_not_keep_the_loop(bench: &Bench) {
    bench.block_on(async {
        let (ours, theirs) = bench.pair().await;
        drop(theirs);
        let (ring, mut buffer) = (bench.ring.clone(), bench.buffer().await);
        // Each receive ends at once, for ever.
        let _greedy = bench.ring.spawn(async move {
            loop {
                let count;
                (count, buffer) = ring.recv(&ours, buffer, 0..BYTES).await;
                assert_eq!(count.unwrap(), 0);
            }
        });
        let (ours, mut theirs) = bench.pair().await;
        theirs.write_all(b"me too").unwrap();
        assert_eq!(bench.recv(&ours).await.unwrap(), b"me too");
    });
}

fn a_descriptor_number_used_again_is_another_socket(bench: &Bench) {
    bench.block_on(async {
        for round in 0..50_u8 {
            let (ours, mut theirs) = bench.pair().await;
            let (ring, buffer) = (bench.ring.clone(), bench.buffer().await);
            let waiting = bench.ring.spawn(async move { ring.recv(&ours, buffer, 0..8).await });
            bench.ring.spawn(async move { theirs.write_all(&[round]).unwrap() }).await;
            let (count, buffer) = waiting.await;
            assert_eq!((count.unwrap(), buffer[0]), (1, round));
        }
    });
}

fn more_receives_than_the_driver_takes(bench: &Bench) {
    const RECEIVES: usize = 1500;
    let pool = osmo_engine::mem::Pool::new(RECEIVES, 1).unwrap();
    bench.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = bench.ring.connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut theirs, _) = listener.accept().unwrap();
        let lease = pool.lease(RECEIVES).await;
        let mut waiting = Vec::new();
        for _ in 0..RECEIVES {
            let (ring, ours, buffer) = (bench.ring.clone(), ours.clone(), lease.take().unwrap());
            waiting.push(bench.ring.spawn(async move { ring.recv(&ours, buffer, 0..1).await }));
        }
        let sent = (0..RECEIVES).map(|at| (at % 256) as u8).collect::<Vec<_>>();
        theirs.write_all(&sent).unwrap();
        let mut got = Vec::new();
        for task in waiting {
            let (count, buffer) = task.await;
            assert_eq!(count.unwrap(), 1);
            got.push(buffer[0]);
        }
        got.sort_unstable();
        let mut wanted = sent;
        wanted.sort_unstable();
        assert_eq!(got, wanted, "each byte once");
    });
    assert_eq!(pool.free(), RECEIVES);
}

fn reads_and_writes_of_one_socket_at_once(bench: &Bench) {
    bench.block_on(async {
        let (ours, theirs) = bench.pair().await;
        let mut sink = theirs.try_clone().unwrap();
        let echo = std::thread::spawn(move || {
            let mut source = theirs;
            std::io::copy(&mut source, &mut sink).unwrap();
            sink.shutdown(Shutdown::Write).unwrap();
        });
        let (ring, reading) = (bench.ring.clone(), ours.clone());
        let mut buffer = bench.buffer().await;
        let reader = bench.ring.spawn(async move {
            let mut total = 0;
            loop {
                let count;
                (count, buffer) = ring.recv(&reading, buffer, 0..BYTES).await;
                match count.unwrap() {
                    0 => return total,
                    count => total += count,
                }
            }
        });
        let mut slice = bench.slice(&[7; BYTES]).await;
        let mut sent = 0;
        for _ in 0..500 {
            let count;
            (count, slice) = bench.ring.send(&ours, slice).await;
            sent += count.unwrap();
        }
        rustix::net::shutdown(&ours, rustix::net::Shutdown::Write).unwrap();
        assert_eq!(reader.await, sent);
        echo.join().unwrap();
    });
}
