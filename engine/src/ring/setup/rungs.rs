//! Every rung of the ladder carries a ring, also those that this kernel would
//! not choose.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use crate::config::IoChoice;
use crate::mem::{Pool, Slice};
use crate::ring::core::Core;
use crate::ring::hub::Hub;
use crate::ring::uring::{RUNGS, Uring};
use crate::ring::workers::Workers;
use crate::ring::{Fd, Ring};

/// A ring on this rung or below, and what the rung is called.
fn on_rung(rung: usize) -> Option<(Ring, &'static str)> {
    let hub = Arc::new(Hub::new().expect("an eventfd"));
    let opened = super::open_with(IoChoice::Uring, &hub, |record| Uring::open(&hub, record, rung));
    let (driver, record, _) = match opened {
        Ok(opened) => opened,
        Err(refused) => {
            assert!(std::env::var_os("OSMO_TEST_STRICT").is_none(), "{refused}");
            #[allow(clippy::print_stderr)] // a skipped test says so
            {
                eprintln!("skipped: {refused}");
            }
            return None;
        }
    };
    let granted = record.granted[0];
    let workers = Workers::start(IoChoice::Uring).expect("threads");
    Some((Ring(Rc::new(Core::new(driver, hub, workers, record))), granted))
}

/// Waits, sends, is cancelled, writes and is woken.
async fn works(ring: &Ring) {
    let pool = Pool::new(2, 64).expect("two small buffers");
    let (one, other) = std::os::unix::net::UnixStream::pair().expect("a pair");
    let (one, other): (Fd, Fd) = (Rc::new(one.into()), Rc::new(other.into()));
    let lease = pool.lease(2).await;
    let receive = ring.recv(&one, lease.take().expect("a buffer"), 0..64);
    assert!(ring.within(Duration::from_millis(5), receive).await.is_none());
    let (ring_too, buffer) = (ring.clone(), lease.take().expect("a buffer"));
    let waiting = ring.spawn(async move { ring_too.recv(&one, buffer, 0..64).await });
    let mut buffer = loop {
        // Comes back when the cancellation has ended.
        match lease.take() {
            Some(buffer) => break buffer,
            None => ring.sleep_until(ring.now() + Duration::from_millis(1)).await,
        }
    };
    buffer[..5].copy_from_slice(b"hello");
    let (sent, slice) = ring.send(&other, Slice { buffer, start: 0, end: 5 }).await;
    assert_eq!(sent.expect("room"), 5);
    let (count, received) = waiting.await;
    assert_eq!(&received[..count.expect("bytes")], b"hello");
    let null = std::fs::File::options().write(true).open("/dev/null").expect("it exists");
    ring.write_at(&Rc::new(null.into()), vec![slice], 0).await.0.expect("it takes all");
    let remote = ring.remote();
    std::thread::spawn(move || remote.wake());
    ring.woken().await;
}

#[test]
fn every_rung_carries() {
    for (rung, (wanted, _)) in RUNGS.iter().enumerate() {
        let Some((ring, granted)) = on_rung(rung) else { return };
        assert!(granted == *wanted || std::env::var_os("OSMO_TEST_STRICT").is_none(), "{granted}");
        ring.block_on(works(&ring));
    }
}
