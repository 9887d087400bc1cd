//! S44: objects go in any order, and the controller crashes between any two of its writes.

use super::*;
use crate::memory::LeaderMemory;
use crate::planner::apply;

/// What a person deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deleted {
    Claim,
    Pool,
    Gateway,
}
use Deleted::{Claim, Gateway, Pool};

const ORDERS: [[Deleted; 3]; 6] = [
    [Claim, Pool, Gateway],
    [Claim, Gateway, Pool],
    [Pool, Claim, Gateway],
    [Pool, Gateway, Claim],
    [Gateway, Claim, Pool],
    [Gateway, Pool, Claim],
];

/// Writes until the crash; none behind it is made, and the next process remembers nothing.
struct Controller {
    writes: usize,
    crash_after: usize,
}

impl Controller {
    /// One turn, cut off by the crash where it comes.
    fn turn(&mut self, world: &mut Fixture) -> usize {
        let writes = world.writes();
        for planned in &writes {
            if self.writes == self.crash_after {
                self.crash_after = usize::MAX;
                world.memory = LeaderMemory::default();
                return writes.len();
            }
            apply(&mut world.snapshot, &planned.write);
            self.writes += 1;
        }
        writes.len()
    }
}

fn delete(world: &mut Fixture, what: Deleted, gateway: &str) {
    match what {
        Claim => world.delete_claim("payments/bank"),
        Pool => drop(world.snapshot.pools.remove(&"partners".into())),
        Gateway => {
            world.snapshot.nodes.remove(&gateway.into());
            // The Node owns it: the API server's garbage collector deletes it.
            let stored = world.snapshot.egress_nodes.get_mut(&gateway.into()).unwrap();
            stored.value.deleting = true;
        }
    }
}

/// Deletes in this order, a turn after each, until nothing is left to write. How many writes it took.
fn clean_up(order: [Deleted; 3], crash_after: usize) -> usize {
    let mut world = quiet();
    let gateway = owner(&world);
    let mut controller = Controller { writes: 0, crash_after };
    for what in order {
        delete(&mut world, what, &gateway);
        controller.turn(&mut world);
    }
    for _ in 0..40 {
        world.hold_all();
        world.acknowledge(&[&gateway]);
        world.absent(&[&gateway]);
        world.pass(3600);
        if controller.turn(&mut world) == 0 && world.snapshot.addresses.is_empty() {
            break;
        }
    }
    let left = render(&world.plan());
    assert!(world.snapshot.addresses.is_empty(), "{order:?}, crash {crash_after}: {left}");
    for node in world.snapshot.egress_nodes.values() {
        let blocks = &node.value.spec.blocks;
        assert!(blocks.is_empty(), "{order:?}, crash {crash_after}: {blocks:?}; {left}");
    }
    assert!(!world.snapshot.egress_nodes.contains_key(&gateway.as_str().into()), "{order:?}");
    controller.writes
}

#[test]
fn everything_is_cleaned_up_whatever_order_and_wherever_the_controller_crashes() {
    for order in ORDERS {
        let writes = clean_up(order, usize::MAX);
        assert!(writes > 5, "{order:?}: {writes} writes leave nothing to crash between");
        for crash_after in 0..=writes {
            clean_up(order, crash_after);
        }
    }
}
