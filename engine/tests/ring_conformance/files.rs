//! Open, read, write, sync, allocate and names.

use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use osmo_engine::ring::Fd;
use rustix::fs::{Mode, OFlags};

use crate::support::{BYTES, Bench, errno, fd, under_both_drivers, under_simulation};

under_both_drivers!(
    a_file_is_made_written_synced_and_read,
    an_existing_file_opens_without_creating,
    opening_fails_with_the_kernels_errno,
    a_read_stops_at_the_end_of_the_file,
    many_slices_land_in_order,
    a_write_of_nothing_succeeds,
    writes_to_places_of_their_own_may_end_in_any_order,
    a_write_without_the_right_fails_and_gives_its_slices_back,
    a_full_device_says_so,
    allocating_makes_the_length,
    names_move_and_go,
    names_fail_with_the_kernels_errno,
    more_reads_than_the_driver_takes,
);

under_simulation!(
    a_file_is_made_written_synced_and_read,
    an_existing_file_opens_without_creating,
    opening_fails_with_the_kernels_errno,
    a_read_stops_at_the_end_of_the_file,
    many_slices_land_in_order,
    a_write_of_nothing_succeeds,
    writes_to_places_of_their_own_may_end_in_any_order,
    a_write_without_the_right_fails_and_gives_its_slices_back,
    a_full_device_says_so,
    allocating_makes_the_length,
    names_move_and_go,
    names_fail_with_the_kernels_errno,
    more_reads_than_the_driver_takes,
);

fn folder(path: &Path) -> Fd {
    fd(File::open(path).unwrap())
}

fn name(text: &str) -> CString {
    CString::new(text).unwrap()
}

const MADE: Mode = Mode::from_raw_mode(0o600);

fn a_file_is_made_written_synced_and_read(bench: &Bench) {
    let temp = tempfile::tempdir().unwrap();
    bench.block_on(async {
        let dir = folder(temp.path());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
        let file = bench.ring.open_at(&dir, &name("made"), flags, MADE).await.unwrap();
        let (written, slices) =
            bench.ring.write_at(&file, vec![bench.slice(b"content").await], 3).await;
        written.unwrap();
        assert_eq!((slices[0].start, slices[0].end), (0, 7));
        bench.ring.sync(&file).await.unwrap();
        assert_eq!(std::fs::read(temp.path().join("made")).unwrap(), b"\0\0\0content");
        let (count, buffer) = bench.ring.read_at(&file, bench.buffer().await, 0..4, 5).await;
        assert_eq!((count.unwrap(), &buffer[..4]), (4, b"nten".as_slice()));
        let flags = rustix::io::fcntl_getfd(&file).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC), "a child must not inherit it");
        let mode = std::fs::metadata(temp.path().join("made")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    });
}

fn an_existing_file_opens_without_creating(bench: &Bench) {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("there"), b"here").unwrap();
    bench.block_on(async {
        let dir = folder(temp.path());
        let opened = bench.ring.open_at(&dir, &name("there"), OFlags::RDONLY, Mode::empty()).await;
        let file = opened.unwrap();
        let (count, buffer) = bench.ring.read_at(&file, bench.buffer().await, 0..BYTES, 0).await;
        assert_eq!(&buffer[..count.unwrap()], b"here");
        let flags = rustix::io::fcntl_getfd(&file).unwrap();
        assert!(flags.contains(rustix::io::FdFlags::CLOEXEC));
    });
}

fn opening_fails_with_the_kernels_errno(bench: &Bench) {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("file"), b"").unwrap();
    bench.block_on(async {
        let dir = folder(temp.path());
        let open = async |path: &str, flags| {
            errno(bench.ring.open_at(&dir, &name(path), flags, MADE).await)
        };
        assert_eq!(open("missing", OFlags::RDONLY).await, libc::ENOENT);
        assert_eq!(open("missing/below", OFlags::CREATE | OFlags::WRONLY).await, libc::ENOENT);
        assert_eq!(open("file/below", OFlags::RDONLY).await, libc::ENOTDIR);
        let again = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY;
        assert_eq!(open("file", again).await, libc::EEXIST);
        assert_eq!(open(".", OFlags::WRONLY).await, libc::EISDIR);
        assert_eq!(open(&"n".repeat(256), OFlags::RDONLY).await, libc::ENAMETOOLONG);
    });
}

fn a_read_stops_at_the_end_of_the_file(bench: &Bench) {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all_at(b"0123456789", 0).unwrap();
    bench.block_on(async {
        let ours = fd(file.try_clone().unwrap());
        let mut buffer = bench.buffer().await;
        buffer.fill(b'.');
        let (count, buffer) = bench.ring.read_at(&ours, buffer, 2..20, 7).await;
        assert_eq!((count.unwrap(), &buffer[..6]), (3, b"..789.".as_slice()));
        let (count, buffer) = bench.ring.read_at(&ours, buffer, 0..BYTES, 10).await;
        assert_eq!(count.unwrap(), 0);
        let (count, _) = bench.ring.read_at(&ours, buffer, 5..5, 0).await;
        assert_eq!(count.unwrap(), 0, "a read of nothing");
    });
    assert_eq!(file.stream_position().unwrap(), 0, "offsets are explicit");
}

fn many_slices_land_in_order(bench: &Bench) {
    let mut file = tempfile::tempfile().unwrap();
    bench.block_on(async {
        let lease = bench.pool.lease(40).await;
        let mut slices = Vec::new();
        for number in 0..40_u8 {
            let mut buffer = lease.take().unwrap();
            buffer.fill(number);
            let start = usize::from(number);
            slices.push(osmo_engine::mem::Slice { buffer, start, end: BYTES - start });
        }
        let ours = fd(file.try_clone().unwrap());
        let (written, back) = bench.ring.write_at(&ours, slices, 5).await;
        written.unwrap();
        assert!(back.iter().enumerate().all(|(at, slice)| slice.buffer[0] == at as u8));
    });
    let mut got = Vec::new();
    file.read_to_end(&mut got).unwrap();
    let mut wanted = vec![0; 5];
    for number in 0..40_u8 {
        wanted.extend(std::iter::repeat_n(number, BYTES - 2 * usize::from(number)));
    }
    assert!(got == wanted, "{} bytes instead of {}", got.len(), wanted.len());
}

fn a_write_of_nothing_succeeds(bench: &Bench) {
    let file = tempfile::tempfile().unwrap();
    bench.block_on(async {
        let ours = fd(file.try_clone().unwrap());
        bench.ring.write_at(&ours, Vec::new(), 9).await.0.unwrap();
        bench.ring.write_at(&ours, vec![bench.slice(b"").await], 9).await.0.unwrap();
    });
    assert_eq!(file.metadata().unwrap().len(), 0);
}

fn writes_to_places_of_their_own_may_end_in_any_order(bench: &Bench) {
    let mut file = tempfile::tempfile().unwrap();
    bench.block_on(async {
        let ours = fd(file.try_clone().unwrap());
        let mut tasks = Vec::new();
        for number in 0..60_u8 {
            let (ring, ours) = (bench.ring.clone(), ours.clone());
            let slice = bench.slice(&[number; 1000]).await;
            tasks.push(bench.ring.spawn(async move {
                ring.write_at(&ours, vec![slice], u64::from(number) * 1000).await.0
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
    });
    let mut got = Vec::new();
    file.read_to_end(&mut got).unwrap();
    assert_eq!(got.len(), 60_000);
    assert!(got.iter().enumerate().all(|(at, &byte)| usize::from(byte) == at / 1000));
}

fn a_write_without_the_right_fails_and_gives_its_slices_back(bench: &Bench) {
    bench.block_on(async {
        let read_only = fd(File::open("/dev/null").unwrap());
        let slices = vec![bench.slice(b"one").await, bench.slice(b"two").await];
        let (written, slices) = bench.ring.write_at(&read_only, slices, 0).await;
        assert_eq!(errno(written), libc::EBADF);
        assert_eq!((slices[0].bytes(), slices[1].bytes()), (&b"one"[..], &b"two"[..]));
        let write_only = fd(File::options().write(true).open("/dev/null").unwrap());
        let (count, buffer) = bench.ring.read_at(&write_only, bench.buffer().await, 0..1, 0).await;
        assert_eq!(errno(count), libc::EBADF);
        drop(buffer);
        assert_eq!(errno(bench.ring.allocate(&read_only, 1).await), libc::EBADF);
    });
}

fn a_full_device_says_so(bench: &Bench) {
    bench.block_on(async {
        let full = fd(File::options().write(true).open("/dev/full").unwrap());
        let (written, slices) =
            bench.ring.write_at(&full, vec![bench.slice(b"kept").await], 0).await;
        assert_eq!(errno(written), libc::ENOSPC);
        assert_eq!(slices[0].bytes(), b"kept");
    });
}

fn allocating_makes_the_length(bench: &Bench) {
    let file = tempfile::tempfile().unwrap();
    file.write_all_at(b"start", 0).unwrap();
    bench.block_on(async {
        let ours = fd(file.try_clone().unwrap());
        bench.ring.allocate(&ours, 100_000).await.unwrap();
        let told = file.metadata().unwrap();
        assert_eq!(told.len(), 100_000);
        assert!(told.blocks() * 512 >= 100_000, "reserved, not just a hole");
        bench.ring.allocate(&ours, 2).await.unwrap();
        assert_eq!(file.metadata().unwrap().len(), 2, "a shorter length cuts");
        bench.ring.allocate(&ours, 0).await.unwrap();
        assert_eq!(file.metadata().unwrap().len(), 0);
    });
}

fn names_move_and_go(bench: &Bench) {
    let temp = tempfile::tempdir().unwrap();
    std::fs::write(temp.path().join("new"), b"new").unwrap();
    bench.block_on(async {
        let dir = folder(temp.path());
        bench.ring.mkdir_at(&dir, &name("sub"), Mode::from_raw_mode(0o700)).await.unwrap();
        let sub = folder(&temp.path().join("sub"));
        std::fs::write(temp.path().join("sub/target"), b"old").unwrap();
        bench.ring.rename_at(&dir, &name("new"), &sub, &name("target")).await.unwrap();
        assert_eq!(std::fs::read(temp.path().join("sub/target")).unwrap(), b"new");
        assert!(!temp.path().join("new").exists());
        bench.ring.unlink_at(&sub, &name("target")).await.unwrap();
        assert_eq!(std::fs::read_dir(temp.path().join("sub")).unwrap().count(), 0);
    });
}

fn names_fail_with_the_kernels_errno(bench: &Bench) {
    let temp = tempfile::tempdir().unwrap();
    std::fs::create_dir(temp.path().join("folder")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"not \xff utf-8");
    std::fs::write(temp.path().join(odd), b"").unwrap();
    bench.block_on(async {
        let (ring, dir) = (&bench.ring, folder(temp.path()));
        let (missing, folder) = (name("missing"), name("folder"));
        assert_eq!(errno(ring.rename_at(&dir, &missing, &dir, &folder).await), libc::ENOENT);
        assert_eq!(errno(ring.unlink_at(&dir, &missing).await), libc::ENOENT);
        assert_eq!(errno(ring.unlink_at(&dir, &folder).await), libc::EISDIR);
        assert_eq!(errno(ring.mkdir_at(&dir, &folder, MADE).await), libc::EEXIST);
        let odd = CString::new(odd.as_bytes()).unwrap();
        ring.unlink_at(&dir, &odd).await.unwrap();
    });
}

fn more_reads_than_the_driver_takes(bench: &Bench) {
    const READS: usize = 1200;
    let file = tempfile::tempfile().unwrap();
    let content = (0..READS).flat_map(|at| (at as u16).to_be_bytes()).collect::<Vec<_>>();
    file.write_all_at(&content, 0).unwrap();
    let pool = osmo_engine::mem::Pool::new(READS, 2).unwrap();
    bench.block_on(async {
        let ours = fd(file.try_clone().unwrap());
        let mut tasks = Vec::new();
        for at in 0..READS {
            let (ring, ours) = (bench.ring.clone(), ours.clone());
            let buffer = pool.lease(1).await.take().unwrap();
            tasks.push(
                bench
                    .ring
                    .spawn(async move { ring.read_at(&ours, buffer, 0..2, 2 * at as u64).await }),
            );
        }
        for (at, task) in tasks.into_iter().enumerate() {
            let (count, buffer) = task.await;
            assert_eq!((count.unwrap(), &buffer[..]), (2, &(at as u16).to_be_bytes()[..]));
        }
    });
    assert_eq!(pool.free(), READS);
}
