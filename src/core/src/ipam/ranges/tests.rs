use super::*;
use crate::model::{Cluster, ResourceVersion, Stored};
use crate::testing::*;

fn unread(snapshot: &Snapshot, settings: &ControllerSettings) -> BTreeSet<String> {
    desired(snapshot, &LeaderMemory::default(), settings, Timestamp(0)).unread
}

/// A list of ranges is believed whole or not at all: what was read before stays, and only what never
/// could be read makes the outside of the cluster unknown.
#[test]
fn ranges_that_cannot_be_read_take_nothing_away() {
    let mut world = Fixture::empty();
    let settings = world.settings.clone();
    world.node("node-1", 1, false, "a");
    world.node("node-2", 2, false, "a");
    let seen = |world: &mut Fixture| {
        let ranges = desired(&world.snapshot, &LeaderMemory::default(), &settings, Timestamp(0));
        let cluster = Cluster {
            id: "c".to_owned(),
            set: None,
            t_max: settings.t_max,
            ranges: ranges.clone(),
            uninstalling: false,
        };
        let version = ResourceVersion("1".to_owned());
        world.snapshot.cluster = Some(Stored { version, value: cluster });
        let text = |each: BTreeSet<String>| each.into_iter().collect::<Vec<_>>().join(" ");
        let pods = ranges.pods.iter().map(ToString::to_string).collect();
        (text(pods), text(ranges.unread), text(ranges.kept))
    };
    let read = |world: &mut Fixture, name: &str, reading: RangeReading| {
        let node = world.snapshot.nodes.get_mut(&NodeName::new(name)).unwrap();
        node.pod_cidrs_reading = reading;
        if reading == RangeReading::Unread {
            node.pod_cidrs = Vec::new();
        }
    };
    let said = |pods: &str, unread: &str, kept: &str| (pods.into(), unread.into(), kept.into());
    let both = "10.244.1.0/24 10.244.2.0/24";
    assert_eq!(seen(&mut world), said(both, "", ""));
    read(&mut world, "node-2", RangeReading::Kept);
    assert_eq!(seen(&mut world), said(both, "", "Node node-2"));
    // A controller that starts finds what an earlier one has read.
    read(&mut world, "node-2", RangeReading::Unread);
    assert_eq!(seen(&mut world), said(both, "", "Node node-2"));
    // What came while no controller ran, or with an older one, nobody has read.
    world.node("node-3", 3, false, "a");
    read(&mut world, "node-3", RangeReading::Unread);
    for _ in 0..2 {
        assert_eq!(seen(&mut world), said(both, "Node node-3", "Node node-2"));
    }
    // A source that is not believed has no say.
    let mut named = settings.clone();
    named.pods.insert(net("10.0.0.0/8"));
    assert!(unread(&world.snapshot, &named).is_empty());
    let pools = [(PodRangeSource::CalicoIPPools, [net("10.244.0.0/16")].into())];
    world.snapshot.discovered.pods = pools.into();
    assert!(unread(&world.snapshot, &settings).is_empty());
    world.snapshot.discovered.pods.clear();
    world.snapshot.nodes.remove(&NodeName::new("node-3"));
    world.node("node-2", 2, false, "a");
    assert_eq!(seen(&mut world), said(both, "", ""));
}

/// What turned odd while no controller ran, the node's `EgressNode` still has.
#[test]
fn ranges_of_a_node_that_an_earlier_controller_has_read_are_kept() {
    let mut world = Fixture::empty();
    let settings = world.settings.clone();
    world.node("node-3", 3, false, "a");
    let node = world.snapshot.nodes.get_mut(&NodeName::new("node-3")).unwrap();
    (node.pod_cidrs, node.pod_cidrs_reading) = (Vec::new(), RangeReading::Unread);
    let cilium = UnreadableRanges {
        pods: Some(PodRangeSource::CiliumNodes),
        object: "CiliumNode.cilium.io node-3".to_owned(),
        reading: RangeReading::Unread,
    };
    world.snapshot.discovered.unreadable.insert(cilium.clone());
    let both = [cilium.object.clone(), "Node node-3".to_owned()].into();
    assert_eq!(unread(&world.snapshot, &settings), both);
    world.status("node-3");
    let egress = world.snapshot.egress_nodes.get_mut(&NodeName::new("node-3")).unwrap();
    egress.value.spec.pod_cidrs = [net("10.244.3.0/24")].into();
    let odd = [cilium.object].into();
    assert_eq!(unread(&world.snapshot, &settings), odd, "a copy of the Node's is none of its");
}

/// What the leader makes of the API servers' addresses, turn by turn.
struct ApiServers {
    world: Fixture,
    memory: LeaderMemory,
}

impl ApiServers {
    fn new() -> Self {
        let mut world = Fixture::small();
        world.settle();
        Self { world, memory: LeaderMemory::default() }
    }

    /// What the cluster object names after a turn at this second, with what is kept.
    fn turn(&mut self, reading: ApiServerReading, second: i64) -> (String, bool) {
        let now = Timestamp(second * 1000);
        self.world.snapshot.discovered.api_servers = reading;
        self.memory.observe(&self.world.snapshot, now);
        let settings = &self.world.settings;
        let ranges = desired(&self.world.snapshot, &self.memory, settings, now);
        let names = ranges.api_servers.iter().map(|address| address.to_string());
        let named = (names.collect::<Vec<_>>().join(" "), ranges.kept.contains(API_SERVERS));
        assert!(ranges.unread.is_empty(), "what is outside the cluster stays known");
        self.world.snapshot.cluster.as_mut().unwrap().value.ranges = ranges;
        named
    }
}

fn there(addresses: &[&str]) -> ApiServerReading {
    ApiServerReading::Read(addresses.iter().map(|address| ip(address)).collect())
}

#[test]
fn an_api_server_that_restarts_is_named_for_ten_minutes() {
    let mut servers = ApiServers::new();
    let (one, two) = ("198.51.100.44", "198.51.100.45");
    let both = format!("{one} {two}");
    let mut named = |reading, second, text: &str| {
        assert_eq!(servers.turn(reading, second), (text.to_owned(), false), "{second}");
    };
    named(there(&[one, two]), 0, &both);
    named(there(&[two]), 100, &both);
    named(there(&[two]), 699, &both);
    named(there(&[one, two]), 699, &both);
    named(there(&[two]), 800, &both);
    named(there(&[two]), 1399, &both);
    named(there(&[two]), 1400, two);
    // With the last one too, and a replacement counts at once.
    named(there(&[]), 1500, two);
    named(there(&[one]), 1600, &both);
    named(there(&[one]), 2100, one);
}

#[test]
fn api_servers_that_nobody_can_name_stay_as_they_were() {
    let mut servers = ApiServers::new();
    let one = "198.51.100.44".to_owned();
    assert_eq!(servers.turn(ApiServerReading::NotAllowed, 0), (String::new(), true));
    assert_eq!(servers.turn(there(&[&one]), 10), (one.clone(), false));
    for (reading, kept) in [
        (ApiServerReading::NotAllowed, true),
        (ApiServerReading::Missing, true),
        (ApiServerReading::NotAsked, false),
    ] {
        assert_eq!(servers.turn(reading, 100_000), (one.clone(), kept));
    }
    // How long it has been gone is counted from when it was seen to be.
    assert_eq!(servers.turn(there(&[]), 200_000), (one.clone(), false));
    assert_eq!(servers.turn(ApiServerReading::NotAllowed, 200_300), (one.clone(), true));
    assert_eq!(servers.turn(there(&[]), 200_650), (one.clone(), false));
    assert_eq!(servers.turn(there(&[]), 201_250), (String::new(), false));
}

/// What of the cluster is never given out is its nodes' addresses; of an API server nobody says that.
#[test]
fn an_api_server_is_no_node() {
    let mut servers = ApiServers::new();
    servers.turn(there(&["198.51.100.44"]), 0);
    let ranges = written(&servers.world.snapshot);
    assert!(!is_node_address(&ranges, ip("198.51.100.44")));
    assert!(exempt(&ranges).contains(&net("198.51.100.44/32")));
    assert!(!never_steered(&ranges).contains(&net("198.51.100.44/32")));
}

/// OVN-Kubernetes and Kube-OVN give pods addresses of their own choice beside podCIDRs that the controller manager
/// goes on to give to Nodes: first packets of such pods are held off by the ranges of all.
#[test]
fn a_nodes_own_ranges_count_only_while_its_pods_are_in_them() {
    let mut world = Fixture::small();
    world.settle();
    let all = written(&world.snapshot).pods;
    let own = |world: &Fixture| of_node(&world.snapshot, &"d1".into());
    assert_eq!(own(&world), [net("10.244.4.0/24")].into());
    world.pod(mk_pod("shop/a", "a", "d1", &["10.244.4.7/32"]));
    world.pod(mk_pod("shop/b", "b", "d2", &["10.244.4.8/32"]));
    assert_eq!(own(&world), [net("10.244.4.0/24")].into(), "another node's pod says nothing");
    world.pod(mk_pod("shop/c", "c", "d1", &["10.244.1.7/32"]));
    assert_eq!(own(&world), all);
    world.snapshot.nodes.clear();
    assert_eq!(own(&world), all, "also as an agent knows it, by its EgressNode");
}
