//! Operations begun, awaited and dropped at random, from a list of seeds: no
//! byte of a stream may be lost, doubled or moved, and everything comes back.

use std::io::{Read, Write};
use std::time::Duration;

use osmo_engine::mem::Slice;
use osmo_engine::ring::Ring;

use crate::support::{BYTES, Bench, fd, under_both_drivers, under_simulation};

under_both_drivers!(streams_survive_random_drops, files_survive_random_drops);

under_simulation!(files_survive_random_drops,);

/// A failure names its seed; these repeat it.
const SEEDS: [u64; 8] = [1, 2, 3, 5, 8, 13, 0xdead_beef, u64::MAX];

/// Bytes of a stream.
const STREAM: usize = 200_000;

/// xorshift64*: small, and the same everywhere.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % limit
    }
}

fn pattern(at: usize) -> u8 {
    (at % 241) as u8
}

fn streams_survive_random_drops(bench: &Bench) {
    for seed in SEEDS {
        bench.block_on(async {
            let mut streams = Vec::new();
            for number in 0..3 {
                let (ours, mut theirs) = bench.pair().await;
                let mut chance = Chance(seed.wrapping_add(number).max(1));
                let writer = std::thread::spawn(move || {
                    let mut at = 0;
                    while at < STREAM {
                        let end = STREAM.min(at + 1 + chance.below(6000) as usize);
                        let bytes = (at..end).map(pattern).collect::<Vec<_>>();
                        theirs.write_all(&bytes).unwrap();
                        at = end;
                        if chance.below(4) == 0 {
                            std::thread::yield_now();
                        }
                    }
                    // Stays open until the reader has seen everything.
                    let _closed = theirs.read(&mut [0]);
                });
                let (ring, pool) = (bench.ring.clone(), bench.pool.clone());
                let mut chance = Chance(seed.rotate_left(7).wrapping_add(number).max(1));
                let reader = bench.ring.spawn(async move {
                    let mut at = 0;
                    while at < STREAM {
                        let start = chance.below(100) as usize;
                        let end = start + 1 + chance.below(3000) as usize;
                        let buffer = pool.lease(1).await.take().unwrap();
                        let receive = ring.recv(&ours, buffer, start..end);
                        let limit = Duration::from_micros(chance.below(120));
                        let Some((count, buffer)) = ring.within(limit, receive).await else {
                            continue;
                        };
                        let count = count.unwrap();
                        assert!(count > 0, "seed {seed}: the stream is still open");
                        for byte in &buffer[start..start + count] {
                            assert_eq!(*byte, pattern(at), "seed {seed}, byte {at}");
                            at += 1;
                        }
                    }
                    assert_eq!(at, STREAM, "seed {seed}");
                });
                streams.push((reader, writer));
            }
            for (reader, writer) in streams {
                reader.await;
                writer.join().unwrap();
            }
        });
    }
}

/// A place of its own for each write: whole if it was awaited, and one of the
/// two contents if it was dropped.
fn files_survive_random_drops(bench: &Bench) {
    for seed in SEEDS {
        let file = tempfile::tempfile().unwrap();
        let mut kept = Vec::new();
        bench.block_on(async {
            let ours = fd(file.try_clone().unwrap());
            let mut chance = Chance(seed);
            for place in 0..150_u64 {
                let mut slice = bench.slice(&[0; BYTES]).await;
                slice.buffer.fill(pattern(place as usize) + 1);
                let write = bench.ring.write_at(&ours, vec![slice], place * BYTES as u64);
                if chance.below(3) > 0 {
                    write.await.0.unwrap();
                    kept.push(place);
                } else {
                    let limit = Duration::from_micros(chance.below(40));
                    if let Some((written, slices)) = bench.ring.within(limit, write).await {
                        written.unwrap();
                        kept.push(place);
                        assert!(slices.iter().all(whole));
                    }
                }
                if chance.below(10) == 0 {
                    short_sleep(&bench.ring, chance.below(50)).await;
                }
            }
        });
        let mut got = vec![0; 150 * BYTES];
        let read = std::os::unix::fs::FileExt::read_at(&file, &mut got, 0).unwrap();
        for place in kept {
            let from = place as usize * BYTES;
            assert!(from + BYTES <= read, "seed {seed}: place {place} is in the file");
            let wanted = pattern(place as usize) + 1;
            let same = got[from..from + BYTES].iter().all(|byte| *byte == wanted);
            assert!(same, "seed {seed}: place {place} holds its own bytes");
        }
    }
}

fn whole(slice: &Slice) -> bool {
    slice.bytes().len() == BYTES
}

async fn short_sleep(ring: &Ring, us: u64) {
    ring.sleep_until(ring.now() + Duration::from_micros(us)).await;
}
