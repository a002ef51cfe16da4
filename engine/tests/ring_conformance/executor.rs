//! Tasks, timers, wakes and workers.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

use crate::support::{Bench, under_both_drivers, under_simulation};

under_both_drivers!(
    timers_go_off_in_order,
    a_limit_lets_a_quick_future_through,
    tasks_give_their_output,
    a_task_that_drops_its_own_handle,
    a_detached_task_runs_on,
    a_dropped_task_runs_no_further,
    a_wake_from_another_thread_ends_the_wait,
    a_wake_before_the_wait_counts,
    no_wake_is_lost,
    a_waker_works_from_another_thread,
    a_busy_task_does_not_starve_the_driver,
    work_is_done_on_another_thread,
    a_panic_on_a_worker_goes_on_in_the_task,
    more_work_than_the_pool_takes,
    work_that_nobody_awaits_is_not_begun,
    a_buffer_comes_back_from_another_thread,
    a_loop_runs_again,
);

under_simulation!(
    timers_go_off_in_order,
    a_limit_lets_a_quick_future_through,
    tasks_give_their_output,
    a_task_that_drops_its_own_handle,
    a_detached_task_runs_on,
    a_dropped_task_runs_no_further,
    a_wake_before_the_wait_counts,
    a_panic_on_a_worker_goes_on_in_the_task,
    more_work_than_the_pool_takes,
    a_loop_runs_again,
);

async fn yielded() {
    let mut again = true;
    std::future::poll_fn(|cx| {
        if std::mem::take(&mut again) {
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        Poll::Ready(())
    })
    .await;
}

fn timers_go_off_in_order(bench: &Bench) {
    let order = Rc::new(RefCell::new(Vec::new()));
    bench.block_on(async {
        // Late enough for all of them to wait before the first is due.
        let now = bench.ring.now() + Duration::from_millis(300);
        let mut tasks = Vec::new();
        for ms in [30_u64, 5, 20, 5, 0, 10, 20] {
            let (ring, order) = (bench.ring.clone(), Rc::clone(&order));
            tasks.push(bench.ring.spawn(async move {
                ring.sleep_until(now + Duration::from_millis(ms)).await;
                assert!(ring.now() >= now + Duration::from_millis(ms), "never early");
                order.borrow_mut().push(ms);
            }));
        }
        for task in tasks {
            task.await;
        }
    });
    assert_eq!(*order.borrow(), [0, 5, 5, 10, 20, 20, 30]);
}

fn a_limit_lets_a_quick_future_through(bench: &Bench) {
    bench.block_on(async {
        let quick = bench.ring.within(Duration::from_secs(60), async {
            yielded().await;
            7
        });
        assert_eq!(quick.await, Some(7));
        assert_eq!(bench.ring.within(Duration::MAX, async { 8 }).await, Some(8));
        let never = bench.ring.within(Duration::ZERO, std::future::pending::<()>());
        assert_eq!(never.await, None);
    });
}

fn tasks_give_their_output(bench: &Bench) {
    let sum = bench.block_on(async {
        let tasks = (0..200).map(|number| {
            bench.ring.spawn(async move {
                yielded().await;
                number
            })
        });
        let mut sum = 0;
        for task in tasks.collect::<Vec<_>>() {
            sum += task.await;
        }
        sum
    });
    assert_eq!(sum, 199 * 200 / 2);
}

fn a_task_that_drops_its_own_handle(bench: &Bench) {
    let (handle, reached) = (Rc::new(RefCell::new(None)), Rc::new(Cell::new(0)));
    bench.block_on(async {
        let (own, count) = (Rc::clone(&handle), Rc::clone(&reached));
        let task = bench.ring.spawn(async move {
            count.set(1);
            drop(own.borrow_mut().take());
            yielded().await;
            count.set(2);
        });
        *handle.borrow_mut() = Some(task);
        for _ in 0..10 {
            yielded().await;
        }
    });
    assert_eq!(reached.get(), 1, "it ends at its next wait");
    assert_eq!(Rc::strong_count(&reached), 1, "and is dropped");
}

fn a_detached_task_runs_on(bench: &Bench) {
    let done = Rc::new(Cell::new(false));
    bench.block_on(async {
        let set = Rc::clone(&done);
        let task = async move {
            yielded().await;
            set.set(true);
        };
        bench.ring.spawn(task).detach();
        while !done.get() {
            yielded().await;
        }
    });
}

fn a_dropped_task_runs_no_further(bench: &Bench) {
    let count = Rc::new(Cell::new(0));
    bench.block_on(async {
        let counted = Rc::clone(&count);
        let task = bench.ring.spawn(async move {
            loop {
                counted.set(counted.get() + 1);
                yielded().await;
            }
        });
        while count.get() < 3 {
            yielded().await;
        }
        drop(task);
        let then = count.get();
        for _ in 0..10 {
            yielded().await;
        }
        assert_eq!(count.get(), then);
        assert_eq!(Rc::strong_count(&count), 1);
    });
}

fn a_wake_from_another_thread_ends_the_wait(bench: &Bench) {
    let (remote, told) = (bench.ring.remote(), Arc::new(AtomicBool::new(false)));
    let tell = Arc::clone(&told);
    bench.block_on(async {
        let thread = std::thread::spawn(move || {
            tell.store(true, Ordering::SeqCst);
            remote.wake();
        });
        bench.ring.woken().await;
        assert!(told.load(Ordering::SeqCst));
        thread.join().unwrap();
    });
}

fn a_wake_before_the_wait_counts(bench: &Bench) {
    bench.ring.remote().wake();
    bench.ring.remote().wake();
    bench.block_on(async {
        bench.ring.woken().await;
        let second = bench.ring.within(Duration::from_millis(20), bench.ring.woken()).await;
        assert!(second.is_none(), "wakes before the wait count once");
    });
    bench.ring.remote().wake();
    bench.block_on(bench.ring.woken());
}

fn no_wake_is_lost(bench: &Bench) {
    const LETTERS: usize = 20_000;
    let (remote, mail) = (bench.ring.remote(), Arc::new(Mutex::new(0_usize)));
    let letters = Arc::clone(&mail);
    bench.block_on(async {
        let thread = std::thread::spawn(move || {
            for number in 0..LETTERS {
                *letters.lock().unwrap() += 1;
                remote.wake();
                if number % 64 == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let mut got = 0;
        while got < LETTERS {
            bench.ring.woken().await;
            got = *mail.lock().unwrap();
        }
        thread.join().unwrap();
    });
}

fn a_waker_works_from_another_thread(bench: &Bench) {
    bench.block_on(async {
        for _ in 0..500 {
            let flag = Arc::new(AtomicBool::new(false));
            let mut thread = None;
            std::future::poll_fn(|cx| {
                if flag.load(Ordering::SeqCst) {
                    return Poll::Ready(());
                }
                let (set, waker) = (Arc::clone(&flag), cx.waker().clone());
                thread.get_or_insert_with(|| {
                    std::thread::spawn(move || {
                        set.store(true, Ordering::SeqCst);
                        waker.wake();
                    })
                });
                Poll::Pending
            })
            .await;
            thread.unwrap().join().unwrap();
        }
    });
}

fn a_busy_task_does_not_starve_the_driver(bench: &Bench) {
    bench.block_on(async {
        let (ours, mut theirs) = bench.pair().await;
        let stop = Rc::new(Cell::new(false));
        let busy = bench.ring.spawn({
            let stop = Rc::clone(&stop);
            async move {
                while !stop.get() {
                    yielded().await;
                }
            }
        });
        let file = crate::support::fd(tempfile::tempfile().unwrap());
        for round in 0..100_u8 {
            theirs.write_all(&[round]).unwrap();
            assert_eq!(bench.recv(&ours).await.unwrap(), [round]);
            let slices = vec![bench.slice(&[round]).await];
            bench.ring.write_at(&file, slices, 0).await.0.unwrap();
            bench.ring.sleep_until(bench.ring.now() + Duration::from_micros(10)).await;
        }
        // The busy task was ready all the time and is only now let go.
        stop.set(true);
        busy.await;
    });
}

fn work_is_done_on_another_thread(bench: &Bench) {
    let here = std::thread::current().id();
    bench.block_on(async {
        let there = bench.ring.on_worker(|| std::thread::current().id()).await;
        assert_ne!(here, there);
    });
}

fn a_panic_on_a_worker_goes_on_in_the_task(bench: &Bench) {
    let ring = bench.ring.clone();
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        ring.block_on(ring.on_worker(|| -> u8 { std::panic::resume_unwind(Box::new("worker")) }))
    }));
    assert_eq!(*caught.unwrap_err().downcast::<&str>().unwrap(), "worker");
    // Neither the worker nor the ring is the worse for it.
    assert_eq!(bench.block_on(bench.ring.on_worker(|| 5)), 5);
}

fn more_work_than_the_pool_takes(bench: &Bench) {
    bench.block_on(async {
        let tasks = (0..500_u64).map(|number| {
            let ring = bench.ring.clone();
            bench.ring.spawn(async move { ring.on_worker(move || number * number).await })
        });
        for (number, task) in (0..500_u64).zip(tasks.collect::<Vec<_>>()) {
            assert_eq!(task.await, number * number);
        }
    });
}

fn work_that_nobody_awaits_is_not_begun(bench: &Bench) {
    let begun = Arc::new(AtomicUsize::new(0));
    let (gate, open) = std::sync::mpsc::channel::<()>();
    let open = Arc::new(Mutex::new(open));
    bench.block_on(async {
        // More than there are workers, so that none is left for the rest.
        let blockers = (0..4).map(|_| {
            let (ring, open) = (bench.ring.clone(), Arc::clone(&open));
            bench.ring.spawn(async move {
                ring.on_worker(move || open.lock().unwrap().recv()).await.unwrap();
            })
        });
        let blockers = blockers.collect::<Vec<_>>();
        let dropped = (0..10).map(|_| {
            let (ring, begun) = (bench.ring.clone(), Arc::clone(&begun));
            bench.ring.spawn(async move {
                ring.on_worker(move || begun.fetch_add(1, Ordering::SeqCst)).await;
            })
        });
        let dropped = dropped.collect::<Vec<_>>();
        for _ in 0..3 {
            yielded().await;
        }
        drop(dropped);
        for _ in 0..4 {
            gate.send(()).unwrap();
        }
        for blocker in blockers {
            blocker.await;
        }
        bench.ring.on_worker(|| ()).await;
    });
    assert_eq!(begun.load(Ordering::SeqCst), 0);
}

fn a_buffer_comes_back_from_another_thread(bench: &Bench) {
    bench.block_on(async {
        let all = bench.pool.lease(crate::support::POOL_BUFFERS).await;
        let mut buffer = all.take().unwrap();
        drop(all);
        buffer.fill(1);
        // It is the only one out, and its way back serves the next in line.
        let (ring, pool) = (bench.ring.clone(), bench.pool.clone());
        let next = bench.ring.spawn(async move {
            pool.lease(crate::support::POOL_BUFFERS).await;
        });
        for _ in 0..3 {
            yielded().await;
        }
        let sum = ring.on_worker(move || buffer.iter().map(|b| usize::from(*b)).sum::<usize>());
        assert_eq!(sum.await, crate::support::BYTES);
        next.await;
    });
}

fn a_loop_runs_again(bench: &Bench) {
    for round in 0..3 {
        assert_eq!(bench.block_on(async move { round }), round);
        bench.block_on(async {
            let (ours, mut theirs) = bench.pair().await;
            theirs.write_all(b"again").unwrap();
            assert_eq!(bench.recv(&ours).await.unwrap(), b"again");
        });
    }
}
