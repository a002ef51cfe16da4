//! The pool: order of leases, what comes back, what the memory is.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use osmo_engine::mem::{Buffer, Lease, Pool};
use proptest::prelude::*;

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// A lease that is being waited for, polled by hand.
struct Asking {
    future: Pin<Box<dyn Future<Output = Lease>>>,
    wakes: Arc<Count>,
}

impl Asking {
    fn new(pool: &Pool, buffers: usize) -> Self {
        let pool = pool.clone();
        Self {
            future: Box::pin(async move { pool.lease(buffers).await }),
            wakes: Arc::new(Count::default()),
        }
    }

    fn poll(&mut self) -> Option<Lease> {
        let waker = Waker::from(Arc::clone(&self.wakes));
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(lease) => Some(lease),
            Poll::Pending => None,
        }
    }

    fn woken(&self) -> bool {
        self.wakes.0.load(Ordering::SeqCst) > 0
    }
}

fn lease(pool: &Pool, buffers: usize) -> Lease {
    Asking::new(pool, buffers).poll().unwrap()
}

#[test]
fn buffers_are_equal_aligned_apart_and_writable() {
    let pool = Pool::new(5, 5000).unwrap();
    let all = lease(&pool, 5);
    let mut buffers = (0..5).map(|_| all.take().unwrap()).collect::<Vec<_>>();
    assert!(all.take().is_none());
    for (number, buffer) in buffers.iter_mut().enumerate() {
        assert_eq!(buffer.len(), 5000);
        assert_eq!(buffer.as_ptr() as usize % rustix::param::page_size(), 0);
        assert!(buffer.iter().all(|byte| *byte == 0));
        buffer.fill(number as u8 + 1);
    }
    for (number, buffer) in buffers.iter().enumerate() {
        assert!(buffer.iter().all(|byte| usize::from(*byte) == number + 1));
    }
}

#[test]
fn a_slab_of_nothing_or_of_too_much_is_refused() {
    for (buffers, bytes) in [(0, 1), (1, 0), (usize::MAX, 2), (2, usize::MAX), (1 << 40, 1 << 40)] {
        assert!(Pool::new(buffers, bytes).is_err(), "{buffers} of {bytes}");
    }
}

#[test]
fn leases_come_in_the_order_in_which_they_were_asked_for() {
    let pool = Pool::new(4, 1).unwrap();
    let first = lease(&pool, 3);
    let mut large = Asking::new(&pool, 4);
    let mut small = Asking::new(&pool, 1);
    assert!(large.poll().is_none());
    assert!(small.poll().is_none(), "one is free, but the large one asked first");
    drop(first);
    assert!(large.woken() && !small.woken());
    assert!(small.poll().is_none());
    let large = large.poll().unwrap();
    drop(large);
    assert!(small.woken());
    drop(small.poll().unwrap());
    assert_eq!(pool.free(), 4);
}

#[test]
fn who_gives_up_the_wait_gives_up_the_place() {
    let pool = Pool::new(4, 1).unwrap();
    let three = lease(&pool, 3);
    let mut large = Asking::new(&pool, 4);
    let mut small = Asking::new(&pool, 1);
    assert!(large.poll().is_none() && small.poll().is_none());
    drop(large);
    assert!(small.woken(), "the next in line fits");
    let small = small.poll().unwrap();
    // Granted, woken, and dropped before it was looked at.
    let (mut granted, mut next) = (Asking::new(&pool, 4), Asking::new(&pool, 4));
    assert!(granted.poll().is_none() && next.poll().is_none());
    drop((three, small));
    assert!(granted.woken() && !next.woken());
    drop(granted);
    assert!(next.woken());
    drop(next.poll().unwrap());
    assert_eq!(pool.free(), 4);
}

#[test]
fn a_lease_larger_than_the_pool_is_the_pool() {
    let pool = Pool::new(3, 1).unwrap();
    let all = lease(&pool, usize::MAX);
    assert_eq!(pool.free(), 0);
    let taken = (0..).map_while(|_| all.take()).collect::<Vec<_>>();
    assert_eq!(taken.len(), 3);
}

#[test]
fn a_buffer_outlives_its_lease_and_counts_until_it_is_dropped() {
    let pool = Pool::new(3, 1).unwrap();
    let two = lease(&pool, 2);
    let buffer = two.take().unwrap();
    drop(two);
    assert_eq!(pool.free(), 2);
    let mut all = Asking::new(&pool, 3);
    assert!(all.poll().is_none());
    std::thread::spawn(move || drop(buffer)).join().unwrap();
    assert!(all.woken());
    drop(all.poll().unwrap());
    assert_eq!(pool.free(), 3);
}

#[test]
fn a_dropped_buffer_is_taken_again() {
    let pool = Pool::new(2, 1).unwrap();
    let one = lease(&pool, 1);
    for _ in 0..10 {
        let buffer = one.take().unwrap();
        assert!(one.take().is_none(), "the other buffer is not leased");
        drop(buffer);
    }
}

#[test]
fn released_memory_reads_as_zero_and_taken_memory_stays() {
    let pool = Pool::new(2, 4096).unwrap();
    let both = lease(&pool, 2);
    let (mut kept, mut idle) = (both.take().unwrap(), both.take().unwrap());
    kept.fill(1);
    idle.fill(2);
    drop(idle);
    pool.release_idle();
    assert!(kept.iter().all(|byte| *byte == 1));
    assert!(both.take().unwrap().iter().all(|byte| *byte == 0));
}

#[test]
fn the_pool_may_go_before_its_buffers() {
    let pool = Pool::new(1, 64).unwrap();
    let one = lease(&pool, 1);
    let mut buffer = one.take().unwrap();
    drop((one, pool));
    buffer.fill(9);
    assert!(buffer.iter().all(|byte| *byte == 9));
}

#[derive(Clone, Debug)]
enum Step {
    Ask(usize),
    Poll(usize),
    GiveUp(usize),
    Take(usize),
    DropBuffer(usize),
    DropLease(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..12_usize).prop_map(Step::Ask),
        (0..8_usize).prop_map(Step::Poll),
        (0..8_usize).prop_map(Step::GiveUp),
        (0..8_usize).prop_map(Step::Take),
        (0..8_usize).prop_map(Step::DropBuffer),
        (0..8_usize).prop_map(Step::DropLease),
    ]
}

fn pick<T>(from: &mut Vec<T>, at: usize) -> Option<T> {
    (!from.is_empty()).then(|| from.remove(at % from.len()))
}

proptest! {
    #[test]
    fn whatever_happens_everything_comes_back(
        steps in prop::collection::vec(step(), 0..120),
    ) {
        const BUFFERS: usize = 8;
        let pool = Pool::new(BUFFERS, 16).unwrap();
        let mut asking: Vec<Asking> = Vec::new();
        let mut leases: Vec<Lease> = Vec::new();
        let mut buffers: Vec<(u8, Buffer)> = Vec::new();
        let mut mark = 0_u8;
        for step in steps {
            match step {
                Step::Ask(count) => {
                    let mut new = Asking::new(&pool, count);
                    match new.poll() {
                        Some(lease) => leases.push(lease),
                        None => asking.push(new),
                    }
                }
                Step::Poll(at) => {
                    if let Some(mut some) = pick(&mut asking, at) {
                        match some.poll() {
                            Some(lease) => leases.push(lease),
                            None => {
                                prop_assert!(!some.woken(), "woken without its lease");
                                asking.push(some);
                            }
                        }
                    }
                }
                Step::GiveUp(at) => drop(pick(&mut asking, at)),
                Step::DropLease(at) => drop(pick(&mut leases, at)),
                Step::DropBuffer(at) => drop(pick(&mut buffers, at)),
                Step::Take(at) => {
                    if let Some(lease) = pick(&mut leases, at) {
                        if let Some(mut buffer) = lease.take() {
                            mark = mark.wrapping_add(1);
                            buffer.fill(mark);
                            buffers.push((mark, buffer));
                        }
                        leases.push(lease);
                    }
                }
            }
            prop_assert!(buffers.len() + pool.free() <= BUFFERS);
            for (mark, buffer) in &buffers {
                prop_assert!(buffer.iter().all(|byte| byte == mark), "shared bytes");
            }
        }
        drop((leases, buffers));
        // Nobody is left who could keep those that wait from going on, in turn.
        while let Some(mut first) = pick(&mut asking, 0) {
            if first.poll().is_none() {
                asking.push(first);
            }
        }
        prop_assert_eq!(pool.free(), BUFFERS);
    }
}
