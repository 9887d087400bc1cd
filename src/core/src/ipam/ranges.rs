//! What of the address space is the cluster's own, and so is never steered and never given out.

use std::collections::BTreeSet;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::cidr::{self, Span};
use crate::memory::LeaderMemory;
use crate::model::{
    ApiServerReading, ClusterRanges, ControllerSettings, Family, Millis, Node, NodeName,
    PodRangeSource, RangeReading, Snapshot, SnapshotScope, Timestamp, UnreadableRanges,
};

/// Ranges that no claim may ever select, in any cluster: this network, loopback, link-local (cloud
/// metadata lives there), multicast, broadcast (RFC 6890, RFC 4291).
const NEVER: [&str; 9] = [
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "224.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "fe80::/10",
    "ff00::/8",
];

/// What clouds answer each machine by itself, metadata, names and time, elsewhere than link-local: through a
/// gateway they would answer as they do the gateway. Of AWS, Google Cloud, Azure and Alibaba Cloud.
const CLOUDS: [&str; 4] =
    ["fd00:ec2::/32", "fd20:ce::254/128", "168.63.129.16/32", "100.100.100.200/32"];

/// The ranges that the cluster object should name.
///
/// Those of pods come from the first that has any: the settings, the network plug-in's own objects,
/// the Nodes. Those of Services come from the settings and from the ServiceCIDRs. While the ranges of
/// some object cannot be read, nothing that the cluster object names goes: its own may be among them.
/// Whether they are, the cluster object says of an earlier controller, and the `EgressNode` of a node's.
pub fn desired(
    snapshot: &Snapshot,
    memory: &LeaderMemory,
    settings: &ControllerSettings,
    now: Timestamp,
) -> ClusterRanges {
    let nodes = snapshot.nodes.values();
    let (pods_from, pods) = pods(snapshot, settings);
    let mut ranges = ClusterRanges {
        pods,
        pods_from,
        services: settings.services.union(&snapshot.discovered.services).copied().collect(),
        nodes: nodes.flat_map(|node| node.addresses.iter().copied()).collect(),
        unread: BTreeSet::new(),
        kept: BTreeSet::new(),
        api_servers: api_servers(snapshot, memory, now),
    };
    for node in snapshot.egress_nodes.values() {
        ranges.nodes.extend(&node.value.status.endpoints);
    }
    if let ApiServerReading::NotAllowed | ApiServerReading::Missing =
        snapshot.discovered.api_servers
    {
        ranges.kept.insert(API_SERVERS.to_owned());
    }
    let known = written(snapshot);
    // Sources that come after the one that is believed have no say.
    let matters = |of: &UnreadableRanges| of.pods.is_none_or(|source| source <= pods_from);
    for UnreadableRanges { pods, object, reading } in unreadable(snapshot).filter(matters) {
        let lost = reading == RangeReading::Unread;
        let read_before = known.kept.contains(&object) || was_read(snapshot, pods, &object);
        if lost && !read_before {
            ranges.unread.insert(object);
        } else {
            ranges.kept.insert(object);
        }
        if lost {
            ranges.pods.extend(&known.pods);
            ranges.services.extend(&known.services);
        }
    }
    ranges
}

/// Whether an earlier controller has read the ranges of this Node: it has copied them into its `EgressNode`.
/// Those of another object of that name may be the Node's there, and say nothing of that object.
fn was_read(snapshot: &Snapshot, pods: Option<PodRangeSource>, object: &str) -> bool {
    let of_node = pods == Some(PodRangeSource::Nodes);
    let name = object.rsplit(' ').next().filter(|_| of_node);
    let ranges = name.and_then(|name| copied(snapshot, &NodeName::new(name)));
    ranges.is_some_and(|ranges| !ranges.is_empty())
}

/// What has the addresses of the API servers.
const API_SERVERS: &str = "EndpointSlice default/kubernetes";

/// How long the address of an API server counts after it was there last: one that restarts takes its own out,
/// and connections to it begin again at once.
pub(crate) const API_SERVER_KEPT: Millis = Millis::from_secs(600);

/// Those that are there, those that the cluster object names and that were there a short while ago, and
/// all that it names where nobody can tell.
fn api_servers(snapshot: &Snapshot, memory: &LeaderMemory, now: Timestamp) -> BTreeSet<IpAddr> {
    let known = written(snapshot).api_servers;
    let ApiServerReading::Read(there) = &snapshot.discovered.api_servers else { return known };
    let kept = |address: &IpAddr| {
        // Before the leader has taken note of it, it has not been gone for long.
        let gone = memory.api_servers_gone_since.get(address);
        gone.is_none_or(|since| now.since(*since) < API_SERVER_KEPT)
    };
    there.iter().copied().chain(known.into_iter().filter(kept)).collect()
}

fn unreadable(snapshot: &Snapshot) -> impl Iterator<Item = UnreadableRanges> {
    let of_node = |node: &Node| UnreadableRanges {
        pods: Some(PodRangeSource::Nodes),
        object: format!("Node {}", node.name),
        reading: node.pod_cidrs_reading,
    };
    let nodes = snapshot.nodes.values().map(of_node);
    let nodes = nodes.filter(|of| of.reading != RangeReading::Read);
    nodes.chain(snapshot.discovered.unreadable.iter().cloned())
}

fn pods(snapshot: &Snapshot, settings: &ControllerSettings) -> (PodRangeSource, BTreeSet<IpNet>) {
    let nodes = snapshot.nodes.values().flat_map(|node| node.pod_cidrs.iter().map(IpNet::trunc));
    let found = &snapshot.discovered.pods;
    let of = |source| (source, found.get(&source).cloned().unwrap_or_default());
    [
        (PodRangeSource::Flags, settings.pods.clone()),
        of(PodRangeSource::CalicoIPPools),
        of(PodRangeSource::CiliumNodes),
    ]
    .into_iter()
    .find(|(_, ranges)| !ranges.is_empty())
    .unwrap_or_else(|| (PodRangeSource::Nodes, nodes.collect()))
}

/// The ranges that the source which is believed assigns to this node alone, for its `EgressNode`;
/// empty where it assigns none to nodes. `None` where they cannot be read: what was written stays.
pub fn assigned_to(
    snapshot: &Snapshot,
    pods_from: PodRangeSource,
    name: &NodeName,
) -> Option<BTreeSet<IpNet>> {
    let found = &snapshot.discovered;
    match pods_from {
        // Calico's nodes take blocks of a pool as they need them, and addresses of each other's: a
        // block is known too late, and not all.
        PodRangeSource::Flags | PodRangeSource::CalicoIPPools => Some(BTreeSet::new()),
        PodRangeSource::CiliumNodes => {
            let lost = |of: &UnreadableRanges| {
                of.pods == Some(pods_from) && of.reading == RangeReading::Unread
            };
            match found.by_node.get(name) {
                Some(own) => Some(own.clone()),
                None if found.unreadable.iter().any(lost) => None,
                // Its CiliumNode comes later than it, and may be made of these.
                None => of_its_node(snapshot, name),
            }
        }
        PodRangeSource::Nodes => of_its_node(snapshot, name),
    }
}

fn of_its_node(snapshot: &Snapshot, name: &NodeName) -> Option<BTreeSet<IpNet>> {
    let node = snapshot.nodes.get(name);
    let readable = node.is_none_or(|node| node.pod_cidrs_reading != RangeReading::Unread);
    let own = node.into_iter().flat_map(|node| &node.pod_cidrs);
    readable.then(|| own.map(IpNet::trunc).collect())
}

/// The ranges from which pods of this node get their addresses: what the source that is believed
/// assigns to it, else those of all pods. A range too much holds off only first packets.
pub fn of_node(snapshot: &Snapshot, me: &NodeName) -> BTreeSet<IpNet> {
    let ClusterRanges { pods, pods_from, .. } = written(snapshot);
    let assigned = match pods_from {
        PodRangeSource::Flags | PodRangeSource::CalicoIPPools => None,
        // A network plug-in may give addresses of its own choice, and the Nodes keep ranges that nobody uses.
        PodRangeSource::Nodes if is_elsewhere(snapshot, me) => None,
        // In a directory of manifests an agent reads its Node.
        PodRangeSource::Nodes if snapshot.nodes.contains_key(me) => {
            assigned_to(snapshot, pods_from, me).or_else(|| copied(snapshot, me))
        }
        PodRangeSource::Nodes => copied(snapshot, me),
        // What is no CiliumNode's is the Node's, which Cilium may use or not.
        PodRangeSource::CiliumNodes => copied(snapshot, me).map(|own| {
            let is_ciliums = |range: &IpNet| pods.iter().any(|all| all.contains(range));
            if own.iter().all(is_ciliums) { own } else { own.union(&pods).copied().collect() }
        }),
    };
    assigned.filter(|ranges| !ranges.is_empty()).unwrap_or(pods)
}

/// Whether a pod of this node has an address outside of the ranges that its Node names.
fn is_elsewhere(snapshot: &Snapshot, me: &NodeName) -> bool {
    let own = match snapshot.nodes.get(me) {
        Some(node) => node.pod_cidrs.iter().map(IpNet::trunc).collect(),
        None => copied(snapshot, me).unwrap_or_default(),
    };
    let mine = snapshot.pods.values().filter(|pod| pod.node == *me && !pod.host_network);
    let mut addresses = mine.flat_map(|pod| pod.sources.iter().map(IpNet::network));
    addresses.any(|address| !own.iter().any(|range: &IpNet| range.contains(&address)))
}

fn copied(snapshot: &Snapshot, me: &NodeName) -> Option<BTreeSet<IpNet>> {
    snapshot.egress_nodes.get(me).map(|node| node.value.spec.pod_cidrs.clone())
}

/// The addresses of this node's pods that lie in no range of pods that the cluster object names:
/// what is outside the cluster cannot be told then. Empty where the snapshot is not a node's own
/// view: there, workloads may have any address.
pub fn pods_outside(snapshot: &Snapshot, me: &NodeName) -> BTreeSet<IpAddr> {
    if snapshot.scope != SnapshotScope::Node {
        return BTreeSet::new();
    }
    let ranges = written(snapshot).pods;
    let mine = snapshot.pods.values().filter(|pod| pod.node == *me && !pod.host_network);
    let addresses = mine.flat_map(|pod| pod.sources.iter().map(IpNet::network));
    addresses.filter(|address| !ranges.iter().any(|range| range.contains(address))).collect()
}

/// The ranges as the cluster object names them; empty before it exists.
pub fn written(snapshot: &Snapshot) -> ClusterRanges {
    snapshot.cluster.as_ref().map(|cluster| cluster.value.ranges.clone()).unwrap_or_default()
}

/// Destinations that are never steered and may be the cluster's own: also what a steered packet's way back
/// must not be looked up by.
pub fn never_steered(ranges: &ClusterRanges) -> BTreeSet<IpNet> {
    let fixed = NEVER.iter().filter_map(|net| net.parse().ok());
    let nodes = ranges.nodes.iter().map(|address| cidr::host(*address));
    let cluster = ranges.pods.iter().chain(&ranges.services).map(IpNet::trunc);
    covered(fixed.chain(nodes).chain(cluster))
}

/// Destinations outside the cluster to which no connection is steered from now on; one that is goes on.
/// They may overlap what is never steered.
pub fn exempt(ranges: &ClusterRanges) -> BTreeSet<IpNet> {
    let fixed = CLOUDS.iter().filter_map(|net| net.parse().ok());
    covered(fixed.chain(ranges.api_servers.iter().map(|address| cidr::host(*address))))
}

fn covered(nets: impl Iterator<Item = IpNet>) -> BTreeSet<IpNet> {
    cidr::merge(nets.map(Span::of_net).collect()).iter().flat_map(Span::cover).collect()
}

/// The families that the cluster's pods have: of the pod ranges, else of the pods themselves, else
/// both.
pub fn families(snapshot: &Snapshot, ranges: &ClusterRanges) -> BTreeSet<Family> {
    let of_net = |net: &IpNet| Family::of(net.network());
    let mut families: BTreeSet<Family> = ranges.pods.iter().map(of_net).collect();
    if families.is_empty() {
        let pods = snapshot.pods.values().filter(|pod| !pod.host_network);
        families = pods.flat_map(|pod| pod.sources.iter().map(of_net)).collect();
    }
    if families.is_empty() {
        families = BTreeSet::from([Family::IPv4, Family::IPv6]);
    }
    families
}

/// Whether a node has this address.
pub fn is_node_address(ranges: &ClusterRanges, address: IpAddr) -> bool {
    ranges.nodes.contains(&address)
}

#[cfg(test)]
mod tests;
