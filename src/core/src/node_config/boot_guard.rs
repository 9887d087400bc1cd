use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::cidr::{self, Span};
use crate::ipam::ranges;
use crate::model::{AddressRange, NodeName, Snapshot};

use super::unknown_pods::{destinations, range};

/// What a node holds off after a boot, before its agent runs: what pods send from `pods` to `claimed`, but
/// for what goes to `passed`. It does not know which pods a claim selects.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct BootGuard {
    /// The ranges from which this node's pods get their addresses; disjoint.
    pub pods: BTreeSet<AddressRange>,
    /// What any claim with an address selects; disjoint.
    pub claimed: BTreeSet<AddressRange>,
    /// What is never steered; disjoint. It goes before `claimed`.
    pub passed: BTreeSet<AddressRange>,
}

impl BootGuard {
    /// It would drop nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.pods.is_empty() || self.claimed.is_empty()
    }
}

/// What node `me` is to hold off after its next boot.
///
/// Guarantee: empty while no claim has an address, and before the cluster object exists, as what an agent
/// does about pods that it does not know.
pub fn boot_guard(snapshot: &Snapshot, me: &NodeName) -> BootGuard {
    let claimed = destinations(snapshot);
    if claimed.is_empty() || snapshot.cluster.is_none() {
        return BootGuard::default();
    }
    let written = ranges::written(snapshot);
    let merged = |spans: Vec<Span>| cidr::merge(spans).iter().filter_map(range).collect();
    let not_steered = ranges::never_steered(&written).into_iter().chain(ranges::exempt(&written));
    BootGuard {
        pods: merged(ranges::of_node(snapshot, me).into_iter().map(Span::of_net).collect()),
        claimed,
        passed: merged(not_steered.map(Span::of_net).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::*;

    #[test]
    fn it_holds_whole_ranges_of_pods_off_what_is_claimed() {
        let mut world = Fixture::small();
        assert!(boot_guard(&world.snapshot, &"d1".into()).is_empty(), "no claim has an address");
        world.settings.pods.insert(net("10.244.0.0/16"));
        let mut bank = mk_claim("payments/bank", "partners");
        bank.destinations = Some(vec![crate::model::Destination {
            cidr: net("198.51.100.0/24"),
            except: Vec::new(),
        }]);
        world.claim(bank);
        world.pod(mk_pod("payments/p", "bank", "d1", &["10.244.4.7/32"]));
        world.settle();
        let guard = boot_guard(&world.snapshot, &"d1".into());
        let range = |net| range(&Span::of_net(net));
        assert_eq!(guard.pods, range(net("10.244.0.0/16")).into_iter().collect());
        assert_eq!(guard.claimed, range(net("198.51.100.0/24")).into_iter().collect());
        let passes = |address: &str| {
            let address = address.parse().unwrap();
            guard.passed.iter().any(|range| range.contains(address))
        };
        assert!(passes("10.244.9.9") && passes("127.0.0.1") && passes("fe80::1"));
        assert!(!passes("198.51.100.20"));
        world.snapshot.cluster = None;
        assert!(boot_guard(&world.snapshot, &"d1".into()).is_empty());
    }
}
