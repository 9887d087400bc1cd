use std::collections::BTreeSet;

use super::random::Random;
use super::setup::MS;

/// What is between the nodes.
#[derive(Debug)]
pub(super) struct SimulatedNetwork {
    /// Lost datagrams in a thousand.
    pub(super) loss: u64,
    /// Pairs of nodes of which the first does not reach the second.
    cut: BTreeSet<(usize, usize)>,
}

impl SimulatedNetwork {
    pub(super) fn new(loss: u64) -> Self {
        Self { loss, cut: BTreeSet::new() }
    }

    /// How many nanoseconds a datagram takes, where it arrives.
    pub(super) fn deliver(&self, from: usize, to: usize, random: &mut Random) -> Option<u64> {
        let lost = random.below(1000) < self.loss;
        (!lost && !self.cut.contains(&(from, to))).then(|| latency(random))
    }

    /// The first does not reach the second any more.
    pub(super) fn cut_one_way(&mut self, from: usize, to: usize) {
        self.cut.insert((from, to));
    }

    /// Those `inside` of the `nodes` and the others do not reach each other any more.
    pub(super) fn cut_off(&mut self, inside: &[usize], nodes: usize) {
        for one in 0..nodes {
            for other in 0..nodes {
                if inside.contains(&one) != inside.contains(&other) {
                    self.cut.insert((one, other));
                }
            }
        }
    }

    /// All reach all, and nothing is lost.
    pub(super) fn heal(&mut self) {
        self.cut.clear();
        self.loss = 0;
    }
}

/// Half of a round trip of 0.3 ms, with a tail: one in a hundred takes up to 5 ms, one in two
/// thousand up to 60 ms.
fn latency(random: &mut Random) -> u64 {
    let tail = match random.below(2000) {
        0 => random.below(60 * MS),
        1..20 => random.below(5 * MS),
        _ => random.below(MS / 20),
    };
    MS * 13 / 100 + tail
}
