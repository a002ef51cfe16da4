//! Real refusals: a seccomp filter on one thread, as containers have it on all.
#![allow(unsafe_code)]

use std::io;

use libc::{
    BPF_ABS, BPF_JEQ, BPF_JMP, BPF_K, BPF_LD, BPF_RET, BPF_W, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP,
    SECCOMP_MODE_FILTER, SECCOMP_RET_ALLOW, SECCOMP_RET_ERRNO, SYS_io_uring_setup, sock_filter,
    sock_fprog,
};

use crate::config::IoChoice;
use crate::error::ErrorKind;
use crate::ring::Ring;

fn statement(code: u32, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: u16::try_from(code).expect("a BPF code"), jt, jf, k }
}

/// Lets `io_uring_setup` fail with `errno` on this thread from now on.
fn forbid(errno: i32) -> io::Result<()> {
    let number = u32::try_from(SYS_io_uring_setup).expect("a system call's number");
    let mut filter = [
        statement(BPF_LD | BPF_W | BPF_ABS, 0),
        jump(BPF_JMP | BPF_JEQ | BPF_K, number, 0, 1),
        statement(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | errno.cast_unsigned()),
        statement(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    ];
    let program = sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: R6. No pointer is passed.
    if unsafe { libc::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: R6. The program outlives the call, which copies it.
    if unsafe { libc::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &raw const program) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(())
}

/// On a thread of its own, for filters stay.
fn without_uring(errno: i32, test: fn()) {
    let thread = std::thread::spawn(move || match forbid(errno) {
        Ok(()) => test(),
        Err(refused) => {
            assert!(std::env::var_os("OSMO_TEST_STRICT").is_none(), "no seccomp: {refused}");
            #[allow(clippy::print_stderr)] // a skipped test says so
            {
                eprintln!("skipped: no seccomp filter: {refused}");
            }
        }
    });
    thread.join().expect("the test passes");
}

#[test]
fn auto_works_where_a_container_answers_eperm() {
    without_uring(libc::EPERM, || {
        let (ring, report) = Ring::open(IoChoice::Auto).expect("epoll needs no permission");
        assert_eq!(report.driver, "epoll");
        assert!(report.reason.contains("EPERM"), "{}", report.reason);
        let refused = &ring.capabilities().refused;
        assert_eq!(refused.len(), 1, "each rung would hear the same: {refused:?}");
        ring.block_on(async {
            let pool = crate::mem::Pool::new(1, 64).expect("64 bytes");
            let buffer = pool.lease(1).await.take().expect("one of one");
            let zero =
                std::rc::Rc::new(std::fs::File::open("/dev/zero").expect("it exists").into());
            let (count, _) = ring.read_at(&zero, buffer, 0..64, 0).await;
            assert_eq!(count.expect("zeros without end"), 64);
        });
    });
}

#[test]
fn auto_works_where_a_container_answers_enosys() {
    without_uring(libc::ENOSYS, || {
        let (_, report) = Ring::open(IoChoice::Auto).expect("epoll needs no io_uring");
        assert!(report.driver == "epoll" && report.reason.contains("ENOSYS"), "{report:?}");
    });
}

#[test]
fn uring_asked_for_and_forbidden_is_unsupported() {
    without_uring(libc::EPERM, || {
        let Err(refused) = Ring::open(IoChoice::Uring) else { panic!("it is forbidden") };
        assert_eq!(refused.kind(), ErrorKind::Unsupported);
        assert!(refused.to_string().contains("use epoll"), "{refused}");
    });
}
