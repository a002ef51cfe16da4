//! Futures that are dropped before their operation ended.

use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::fd::{AsRawFd, RawFd};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use osmo_engine::ring::{Fd, Ring};

use crate::support::{BYTES, Bench, POOL_BUFFERS, fd, under_both_drivers, under_simulation};

under_both_drivers!(
    a_dropped_receive_swallows_nothing,
    a_receive_dropped_after_the_bytes_came_keeps_them,
    what_a_dropped_receive_took_comes_in_pieces,
    a_reset_seen_by_nobody_shows_later,
    a_dropped_receive_gives_its_buffer_back,
    bytes_that_nobody_can_receive_any_more_hold_no_buffer,
    a_dropped_connect_ends,
    a_dropped_open_closes,
    a_dropped_task_drops_its_operation,
    dropped_before_its_turn,
    a_ring_ends_with_operations_in_flight,
    tasks_left_over_end_with_the_loop,
);

under_simulation!(
    a_dropped_receive_swallows_nothing,
    a_receive_dropped_after_the_bytes_came_keeps_them,
    a_dropped_receive_gives_its_buffer_back,
    bytes_that_nobody_can_receive_any_more_hold_no_buffer,
    a_dropped_open_closes,
    dropped_before_its_turn,
    a_ring_ends_with_operations_in_flight,
    tasks_left_over_end_with_the_loop,
);

/// Starts a future and drops it with its operation in flight.
async fn begun_and_dropped<F: Future>(future: F) {
    let mut future = pin!(future);
    poll_fn(|cx| {
        assert!(future.as_mut().poll(cx).is_pending());
        Poll::Ready(())
    })
    .await;
}

/// Lets the driver have its turn.
async fn turn(ring: &Ring) {
    ring.sleep_until(ring.now() + Duration::from_millis(2)).await;
}

/// Whether the number is an open descriptor of this process. Numbers are
/// used again by other tests, so only the file behind it tells.
fn names(number: RawFd, target: &str) -> bool {
    std::fs::read_link(format!("/proc/self/fd/{number}"))
        .is_ok_and(|link| link.to_string_lossy().contains(target))
}

fn target(fd: &Fd) -> (RawFd, String) {
    let number = fd.as_raw_fd();
    let link = std::fs::read_link(format!("/proc/self/fd/{number}")).unwrap();
    (number, link.to_string_lossy().into_owned())
}

fn a_dropped_receive_swallows_nothing(bench: &Bench) {
    bench.block_on(async {
        let (ours, mut theirs) = bench.pair().await;
        for round in 0..20_u8 {
            let receive = bench.ring.recv(&ours, bench.buffer().await, 0..BYTES);
            let late = bench.ring.within(Duration::from_millis(2), receive).await;
            assert!(late.is_none(), "nobody sent anything");
            theirs.write_all(&[round, 1]).unwrap();
            assert_eq!(bench.recv(&ours).await.unwrap(), [round, 1]);
        }
    });
}

fn a_receive_dropped_after_the_bytes_came_keeps_them(bench: &Bench) {
    bench.block_on(async {
        let (ours, mut theirs) = bench.pair().await;
        for round in 0..50_u8 {
            // In flight; the bytes arrive; only then it is dropped.
            let mut receive = Box::pin(bench.ring.recv(&ours, bench.buffer().await, 0..BYTES));
            poll_fn(|cx| {
                assert!(receive.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            theirs.write_all(&[round]).unwrap();
            if round % 2 == 0 {
                turn(&bench.ring).await;
            }
            drop(receive);
            theirs.write_all(&[round, 99]).unwrap();
            let mut got = Vec::new();
            while got.len() < 3 {
                got.extend(bench.recv(&ours).await.unwrap());
            }
            assert_eq!(got, [round, round, 99], "every byte, in order");
        }
    });
}

fn what_a_dropped_receive_took_comes_in_pieces(bench: &Bench) {
    bench.block_on(async {
        let (ours, mut theirs) = bench.pair().await;
        let mut receive = Box::pin(bench.ring.recv(&ours, bench.buffer().await, 100..BYTES));
        poll_fn(|cx| {
            assert!(receive.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        theirs.write_all(b"abcdef").unwrap();
        turn(&bench.ring).await;
        drop(receive);
        let mut got = Vec::new();
        for _ in 0..3 {
            let (count, buffer) = bench.ring.recv(&ours, bench.buffer().await, 7..9).await;
            got.extend_from_slice(&buffer[7..7 + count.unwrap()]);
        }
        assert_eq!(got, b"abcdef");
        theirs.write_all(b"next").unwrap();
        assert_eq!(bench.recv(&ours).await.unwrap(), b"next");
    });
}

fn a_reset_seen_by_nobody_shows_later(bench: &Bench) {
    bench.block_on(async {
        let (ours, theirs) = bench.pair().await;
        let mut receive = Box::pin(bench.ring.recv(&ours, bench.buffer().await, 0..BYTES));
        poll_fn(|cx| {
            assert!(receive.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        // Unread bytes make the peer's close a reset.
        bench.ring.send(&ours, bench.slice(b"unread").await).await.0.unwrap();
        theirs.set_nonblocking(false).unwrap();
        theirs.peek(&mut [0]).unwrap();
        drop(theirs);
        turn(&bench.ring).await;
        drop(receive);
        let next = bench.recv(&ours).await;
        let errno = next.expect_err("a reset is no clean end").raw_os_error();
        assert_eq!(errno, Some(libc::ECONNRESET));
    });
}

fn a_dropped_receive_gives_its_buffer_back(bench: &Bench) {
    bench.ring.block_on(async {
        let (ours, _theirs) = bench.pair().await;
        for _ in 0..POOL_BUFFERS {
            begun_and_dropped(bench.ring.recv(&ours, bench.buffer().await, 0..BYTES)).await;
        }
        // All buffers went into dropped receives; the cancellations free them.
        let all = bench.ring.within(Duration::from_secs(60), bench.pool.lease(POOL_BUFFERS));
        assert!(all.await.is_some());
    });
    assert_eq!(bench.pool.free(), POOL_BUFFERS);
}

fn bytes_that_nobody_can_receive_any_more_hold_no_buffer(bench: &Bench) {
    bench.ring.block_on(async {
        let (ours, mut theirs) = bench.pair().await;
        let mut receive = Box::pin(bench.ring.recv(&ours, bench.buffer().await, 0..BYTES));
        poll_fn(|cx| {
            assert!(receive.as_mut().poll(cx).is_pending());
            Poll::Ready(())
        })
        .await;
        theirs.write_all(b"never seen").unwrap();
        turn(&bench.ring).await;
    });
    assert_eq!(bench.pool.free(), POOL_BUFFERS, "right after the loop, not with the ring");
}

fn a_dropped_connect_ends(bench: &Bench) {
    bench.block_on(async {
        // A full backlog: the connection neither comes nor fails.
        let socket = rustix::net::socket(
            rustix::net::AddressFamily::INET,
            rustix::net::SocketType::STREAM,
            None,
        )
        .unwrap();
        let any = std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0);
        rustix::net::bind(&socket, &any).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let listener = TcpListener::from(socket);
        let at = listener.local_addr().unwrap();
        let mut kept = Vec::new();
        loop {
            let connect = bench.ring.connect(at);
            match bench.ring.within(Duration::from_millis(50), connect).await {
                Some(connected) => kept.push(connected.unwrap()),
                None => break,
            }
            assert!(kept.len() < 10, "a backlog of none takes no ten connections");
        }
        // The ring is as good as before.
        let (ours, mut theirs) = bench.pair().await;
        theirs.write_all(b"x").unwrap();
        assert_eq!(bench.recv(&ours).await.unwrap(), b"x");
    });
}

fn a_dropped_open_closes(bench: &Bench) {
    let temp = tempfile::tempdir().unwrap();
    let made = temp.path().join("made-by-a-dropped-open");
    std::fs::write(&made, b"").unwrap();
    let dir = fd(std::fs::File::open(temp.path()).unwrap());
    bench.ring.block_on(async {
        for flags in [rustix::fs::OFlags::RDONLY, rustix::fs::OFlags::CREATE] {
            let path = c"made-by-a-dropped-open";
            let mode = rustix::fs::Mode::from_raw_mode(0o600);
            begun_and_dropped(bench.ring.open_at(&dir, path, flags, mode)).await;
        }
    });
    let open = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let links = open.filter_map(|entry| std::fs::read_link(entry.path()).ok());
    assert_eq!(links.filter(|link| *link == made).count(), 0);
}

fn a_dropped_task_drops_its_operation(bench: &Bench) {
    bench.block_on(async {
        let (ours, mut theirs) = bench.pair().await;
        let (number, link) = target(&ours);
        let (ring, buffer) = (bench.ring.clone(), bench.buffer().await);
        let task = bench.ring.spawn(async move {
            let received = ring.recv(&ours, buffer, 0..BYTES).await.0;
            unreachable!("nobody sends, yet {received:?}");
        });
        turn(&bench.ring).await;
        assert!(names(number, &link));
        drop(task);
        // With the operation goes its descriptor, which the peer notices.
        let (sender, closed) = std::sync::mpsc::channel();
        let remote = bench.ring.remote();
        std::thread::spawn(move || {
            sender.send(theirs.read(&mut [0])).unwrap();
            remote.wake();
        });
        bench.ring.woken().await;
        assert_eq!(closed.recv().unwrap().unwrap(), 0);
    });
}

fn dropped_before_its_turn(bench: &Bench) {
    const RECEIVES: usize = 1000;
    let pool = osmo_engine::mem::Pool::new(RECEIVES, 8).unwrap();
    bench.ring.block_on(async {
        let (ours, mut theirs) = bench.pair().await;
        let lease = pool.lease(RECEIVES).await;
        let mut waiting = Vec::new();
        for _ in 0..RECEIVES {
            let (ring, ours, buffer) = (bench.ring.clone(), ours.clone(), lease.take().unwrap());
            waiting.push(bench.ring.spawn(async move { ring.recv(&ours, buffer, 0..8).await }));
        }
        turn(&bench.ring).await;
        // Those behind the limit go first, then those in flight.
        while waiting.pop().is_some() {}
        theirs.write_all(b"for the next").unwrap();
        assert_eq!(bench.recv(&ours).await.unwrap(), b"for the next");
    });
    assert_eq!(pool.free(), RECEIVES);
}

fn a_ring_ends_with_operations_in_flight(bench: &Bench) {
    let (ring, _) = match Ring::open(driver(bench)) {
        Ok(opened) => opened,
        Err(refused) => panic!("{refused}"),
    };
    let mut peers = Vec::new();
    let mut links = Vec::new();
    let held = ring.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut held = Vec::new();
        for _ in 0..8 {
            let ours = ring.connect(listener.local_addr().unwrap()).await.unwrap();
            peers.push(listener.accept().unwrap().0);
            links.push(target(&ours));
            let (ring, buffer) = (ring.clone(), bench.buffer().await);
            let mut receive = Box::pin(async move { ring.recv(&ours, buffer, 0..BYTES).await.0 });
            poll_fn(|cx| {
                assert!(receive.as_mut().poll(cx).is_pending());
                Poll::Ready(())
            })
            .await;
            held.push(receive);
        }
        held
    });
    assert!(links.iter().all(|(number, link)| names(*number, link)));
    drop(ring);
    // The futures hold the last handles: the ring goes with them.
    drop(held);
    assert!(!links.iter().any(|(number, link)| names(*number, link)));
    assert_eq!(bench.pool.free(), POOL_BUFFERS);
    for mut peer in peers {
        assert_eq!(peer.read(&mut [0]).unwrap(), 0, "the descriptor is closed");
    }
}

fn tasks_left_over_end_with_the_loop(bench: &Bench) {
    let mut theirs = bench.ring.block_on(async {
        let (ours, theirs) = bench.pair().await;
        let (ring, buffer) = (bench.ring.clone(), bench.buffer().await);
        bench.ring.spawn(async move { ring.recv(&ours, buffer, 0..BYTES).await.0 }).detach();
        turn(&bench.ring).await;
        theirs
    });
    assert_eq!(bench.pool.free(), POOL_BUFFERS, "right after the loop, not with the ring");
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
}

/// The driver under test.
fn driver(bench: &Bench) -> osmo_engine::IoChoice {
    if bench.ring.capabilities().granted.contains(&"epoll") {
        osmo_engine::IoChoice::Epoll
    } else {
        osmo_engine::IoChoice::Uring
    }
}
