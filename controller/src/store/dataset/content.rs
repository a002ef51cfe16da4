//! The bytes of a generated object: ChaCha8, keyed by seed, bucket and key.
//!
//! They cannot be compressed, are the same on every machine, and differ between
//! any two objects.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{RngCore as _, SeedableRng as _};
use sha2::{Digest as _, Sha256};

/// A stream of an object's bytes.
pub(super) struct Content(ChaCha8Rng);

impl Content {
    pub(super) fn new(seed: u64, bucket: &str, key: &str) -> Self {
        Self(ChaCha8Rng::from_seed(object_key(seed, bucket, key)))
    }

    /// The next bytes. Every call but the last must ask for a multiple of four.
    pub(super) fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

/// A number for an object that has nothing to do with its bytes' key stream.
pub(super) fn size_draw(seed: u64, bucket: &str, key: &str) -> u64 {
    let mut rng = ChaCha8Rng::from_seed(object_key(seed, bucket, key));
    rng.set_stream(1);
    rng.next_u64()
}

fn object_key(seed: u64, bucket: &str, key: &str) -> [u8; 32] {
    // A bucket name has no slash, so no two objects share this text.
    Sha256::digest(format!("{seed}/{bucket}/{key}")).into()
}
