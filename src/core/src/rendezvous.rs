//! Rendezvous hashing: everybody who computes it gets the same answer, and taking one candidate
//! away moves only what it had.

use std::fmt::Display;

use sha2::{Digest, Sha256};

/// 64 bits of SHA-256 over `text`. Agents and controllers of different versions must agree, so it
/// never changes.
pub fn seed(text: impl Display) -> u64 {
    let digest = Sha256::digest(text.to_string().as_bytes());
    digest.iter().take(8).fold(0, |bits, byte| bits << 8 | u64::from(*byte))
}

/// The weight of a pair of seeds: the candidate with the greatest wins.
///
/// A finalizer of the splitmix64 kind over the two seeds: the seeds are already uniform, and
/// hashing every pair anew would cost seconds for 1,000 nodes and 5,000 addresses.
pub fn weight(a: u64, b: u64) -> u64 {
    let mut bits = a ^ b.rotate_left(32);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}
