use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::cidr::{contains_net, subtract_nets};
use crate::model::{NodeName, Snapshot};

use super::{Flow, FlowAction, SteeringConfig};

/// Goes on with the flows of `former`, the steering config of an earlier process, that belong to claims
/// which are there and cannot be read now: nobody knows what they select, and without a flow their
/// pods would leave with the node's address. `sources` are the addresses that have had the same pod
/// since then. A claim that can be read has no say where such a flow goes.
///
/// Guarantees: the steering config's own; nothing changes while every claim can be read.
pub fn keep_unreadable(
    config: &mut SteeringConfig,
    former: &SteeringConfig,
    (snapshot, me): (&Snapshot, &NodeName),
    sources: &BTreeSet<IpNet>,
) {
    let addresses = addresses(snapshot);
    if addresses.is_empty() {
        return;
    }
    let mine = snapshot.pods.values().filter(|pod| pod.node == *me && !pod.host_network);
    let pods: Vec<BTreeSet<IpNet>> =
        mine.map(|pod| pod.sources.iter().map(IpNet::trunc).collect()).collect();
    let shown: BTreeSet<IpNet> = pods.iter().flatten().copied().collect();
    let alone = |source: &IpNet| {
        let mut others = shown.iter().filter(|other| *other != source);
        !others.any(|other| contains_net(*other, *source) || contains_net(*source, *other))
    };
    let kept: Vec<&Flow> = former
        .flows
        .iter()
        .filter(|flow| matches!(flow.action, FlowAction::Steer { address } if addresses.contains(&address)))
        .filter(|flow| sources.contains(&flow.source) && shown.contains(&flow.source))
        .filter(|flow| alone(&flow.source))
        .collect();
    let steered: BTreeSet<IpNet> = kept.iter().map(|flow| flow.source).collect();
    let refused = refused(former, &pods, &steered);
    let not_steered: Vec<IpNet> = config.not_steered().copied().collect();
    let mut flows = Vec::new();
    for flow in std::mem::take(&mut config.flows) {
        let of_source = kept.iter().filter(|kept| kept.source == flow.source);
        let rest = subtract_nets([flow.destination], of_source.map(|kept| kept.destination));
        flows.extend(rest.into_iter().map(|destination| Flow { destination, ..flow.clone() }));
    }
    for flow in kept {
        let rest = subtract_nets([flow.destination], not_steered.iter().copied());
        flows.extend(rest.into_iter().map(|destination| Flow { destination, ..flow.clone() }));
    }
    // What was refused beside it is refused still, unless somebody who can be read has a say.
    for flow in refused.filter(|flow| sources.contains(&flow.source)) {
        let others = flows.iter().filter(|other: &&Flow| other.source == flow.source);
        let others: Vec<IpNet> = others.map(|other| other.destination).collect();
        let decided = not_steered.iter().copied().chain(others);
        let rest = subtract_nets([flow.destination], decided);
        flows.extend(rest.into_iter().map(|destination| Flow { destination, ..flow.clone() }));
    }
    flows.sort_unstable();
    config.flows = flows;
}

/// The flows that were dropped, such as those of a family without an address, of pods of which a source
/// goes on to be steered.
fn refused<'a>(
    former: &'a SteeringConfig,
    pods: &[BTreeSet<IpNet>],
    steered: &BTreeSet<IpNet>,
) -> impl Iterator<Item = &'a Flow> {
    let of_such = pods.iter().filter(|pod| !pod.is_disjoint(steered));
    let sources: BTreeSet<IpNet> = of_such.flatten().copied().collect();
    let dropped = |flow: &&Flow| !matches!(flow.action, FlowAction::Steer { .. });
    former.flows.iter().filter(dropped).filter(move |flow| sources.contains(&flow.source))
}

/// Those of claims that cannot be read.
fn addresses(snapshot: &Snapshot) -> BTreeSet<IpAddr> {
    let all = snapshot.addresses.values().map(|stored| &stored.value);
    let unreadable = all.filter(|address| {
        let claim = &address.plan.claim;
        address.plan.end.is_none()
            && snapshot.unreadable_claims.contains(claim)
            && !snapshot.claims.contains_key(claim)
    });
    unreadable.map(|address| address.address).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{AddressAvailability, steering_config};
    use super::*;
    use crate::model::Claim;
    use crate::testing::*;

    fn config(world: &Fixture) -> SteeringConfig {
        steering_config(&world.snapshot, &"d1".into(), &AddressAvailability::default())
    }

    /// Two pods of d1 that `bank` selects for a range, and `wide`, younger, for everything.
    fn world() -> Fixture {
        let mut world = Fixture::small();
        let mut bank = mk_claim("payments/bank", "partners");
        bank.destinations = Some(vec![crate::model::Destination {
            cidr: net("198.51.100.0/24"),
            except: Vec::new(),
        }]);
        world.claim(bank.clone());
        world.claim(Claim { pods: bank.pods, ..mk_claim("payments/wide", "partners") });
        world.pod(mk_pod("payments/p", "bank", "d1", &["10.244.4.7/32"]));
        world.pod(mk_pod("payments/q", "bank", "d1", &["10.244.4.8/32"]));
        world.settle();
        world
    }

    fn unread(world: &mut Fixture, name: &str) {
        world.delete_claim(name);
        world.snapshot.unreadable_claims.insert(mk_ref(name));
    }

    fn kept(world: &Fixture, former: &SteeringConfig, sources: &[&str]) -> SteeringConfig {
        let mut config = config(world);
        let sources = sources.iter().map(|source| net(source)).collect();
        keep_unreadable(&mut config, former, (&world.snapshot, &"d1".into()), &sources);
        config
    }

    const BOTH: [&str; 2] = ["10.244.4.7/32", "10.244.4.8/32"];

    #[test]
    fn a_claim_that_cannot_be_read_after_a_restart_goes_on_to_be_steered() {
        let mut world = world();
        let former = config(&world);
        let goes_on = |world: &Fixture| kept(world, &former, &BOTH).flows == former.flows;
        assert!(goes_on(&world), "all can be read");
        unread(&mut world, "payments/bank");
        assert!(config(&world).flows != former.flows, "`wide` would take what is `bank`'s");
        assert!(goes_on(&world));
        unread(&mut world, "payments/wide");
        assert_eq!(config(&world).flows, []);
        assert!(goes_on(&world));
    }

    #[test]
    fn the_family_without_an_address_goes_on_to_be_dropped() {
        let mut world = Fixture::small();
        world.claim(mk_claim("payments/bank", "partners"));
        let both = ["10.244.4.7/32", "fd00::7/128"];
        world.settings.pods.extend([net("10.244.0.0/16"), net("fd00::/48")]);
        world.pod(mk_pod("payments/p", "bank", "d1", &both));
        world.settle();
        let former = config(&world);
        let dropped = |config: &SteeringConfig| {
            let is_drop = |flow: &&Flow| flow.action == FlowAction::DropFamilyWithoutAddress;
            config.flows.iter().filter(is_drop).count()
        };
        assert!(dropped(&former) > 0);
        unread(&mut world, "payments/bank");
        assert_eq!(kept(&world, &former, &both).flows, former.flows);
        assert_eq!(dropped(&kept(&world, &former, &both[..1])), 0, "another pod has that address");
    }

    #[test]
    fn another_pod_and_a_claim_that_is_gone_inherit_nothing() {
        let mut world = world();
        let former = config(&world);
        unread(&mut world, "payments/wide");
        world.delete_claim("payments/bank");
        let sources: BTreeSet<IpNet> =
            kept(&world, &former, &BOTH[..1]).flows.iter().map(|flow| flow.source).collect();
        assert_eq!(sources, [net(BOTH[0])].into(), "the other address has another pod");
        let addresses = kept(&world, &former, &BOTH).flows.into_iter().map(|flow| flow.action);
        assert_eq!(addresses.collect::<BTreeSet<_>>().len(), 1, "of `wide` alone");
        world.snapshot.pods.clear();
        assert_eq!(kept(&world, &former, &BOTH).flows, []);
    }
}
