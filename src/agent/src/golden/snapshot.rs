//! `snapshot.json`: every field of every object set, every variant at least once.

use std::fs;
use std::net::IpAddr;

use egret_core::lease::{AddressView, ClusterView, PlanView};
use egret_core::model::{
    AddressRange, AnnouncementForm, Attachment, EndpointChoice, Epoch, Holding, Millis, NodeName,
    PortRange, PublicKey, Voter, VoterSet,
};
use egret_core::node_config::{Flow, FlowAction, PodIdentity, SteeringConfig, UnknownPods};
use egret_core::tunnel_network::ToldEndpoint;
use egret_peers::Peer;

use super::{golden, only_file};
use crate::pod_owners::PodOwners;
use crate::router_watch::KeptRouters;
use crate::snapshot_cache::{CachedSnapshot, SnapshotCache};

fn v4() -> IpAddr {
    "203.0.113.17".parse().unwrap()
}

fn v6() -> IpAddr {
    "2001:db8:5::17".parse().unwrap()
}

fn other() -> IpAddr {
    "2001:db8:5::18".parse().unwrap()
}

fn node(number: u8) -> NodeName {
    NodeName::new(format!("gateway-{number}"))
}

fn voter_set() -> VoterSet {
    let member = |number: u8, endpoints| Voter {
        node: node(number),
        endpoints,
        peer_port: 7_946 + u16::from(number),
        public_key: PublicKey([0xc0 + number; 32]),
    };
    VoterSet { number: 301, members: vec![member(1, vec![v4(), v6()]), member(2, Vec::new())] }
}

fn holding(number: u8, counter: u64) -> Holding {
    Holding { node: node(number), epoch: Epoch { counter, node: node(number + 1) } }
}

/// One address with everything, one with the least, and one more. No two of their booleans are the
/// same in all three, so that none is taken for another.
fn view() -> PlanView {
    let full = AddressView {
        owner: Some(node(1)),
        standbys: vec![node(3), node(2)],
        fence: 500,
        lease: Millis(450),
        made_for: Some(holding(4, 600)),
        holding: Some(holding(6, 601)),
        probed: true,
        revoked: false,
        paused: false,
        no_deadline: true,
        attached: Some(node(8)),
        announces: false,
        directors: [node(9), node(10)].into(),
        gateways: [node(11), node(12)].into(),
        announcement: AnnouncementForm::GarpRa,
        accepted: Some(node(13)),
        foreign_host: true,
        on_interface: true,
        was_held: true,
        reach: Default::default(),
    };
    let bare = AddressView {
        owner: None,
        standbys: Vec::new(),
        fence: 501,
        lease: Millis(10_000),
        made_for: None,
        holding: None,
        probed: false,
        revoked: true,
        paused: false,
        no_deadline: true,
        attached: None,
        announces: true,
        directors: [].into(),
        gateways: [].into(),
        announcement: AnnouncementForm::ArpNdp,
        accepted: None,
        foreign_host: false,
        on_interface: false,
        was_held: false,
        reach: Default::default(),
    };
    let more = AddressView {
        probed: false,
        revoked: false,
        paused: true,
        no_deadline: false,
        announces: true,
        ..bare.clone()
    };
    let (id, set) = ("cluster-1".to_owned(), Some(voter_set()));
    PlanView {
        cluster: Some(ClusterView { id, set, t_max: Millis(20_000) }),
        addresses: [(v4(), full), (v6(), bare), (other(), more)].into(),
        nodes: [node(1), node(2)].into(),
    }
}

fn steering_config() -> SteeringConfig {
    let actions = [
        FlowAction::Steer { address: v4() },
        FlowAction::DropFamilyWithoutAddress,
        FlowAction::DropNoAddress,
        FlowAction::DropUnknownRange,
    ];
    let flow = |(number, action): (u8, FlowAction)| Flow {
        source: format!("10.244.1.{number}/32").parse().unwrap(),
        destination: format!("198.51.{number}.0/24").parse().unwrap(),
        action,
    };
    let range = |first: &str, last: &str| {
        AddressRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
    };
    let ports = |first| PortRange::new(first, first + 127).unwrap();
    SteeringConfig {
        never_steered: ["10.96.0.0/12", "fe80::/10"].map(|net| net.parse().unwrap()).into(),
        peers: ["192.0.2.1", "2001:db8::1"].map(|text| text.parse().unwrap()).into(),
        flows: (1..).zip(actions).map(flow).collect(),
        blocks: [(v4(), [ports(1024), ports(2048)].into()), (v6(), [].into())].into(),
        unknown: UnknownPods {
            sources: [range("10.244.1.128", "10.244.1.255")].into(),
            destinations: [range("2001:db8:7::", "2001:db8:7::ffff")].into(),
        },
        exempt: ["168.63.129.16/32"].map(|net| net.parse().unwrap()).into(),
    }
}

/// An address by word of the CNI, and a range.
fn owners() -> PodOwners {
    let pod = |name: &str, uid: &str| PodIdentity {
        namespace: "shop".into(),
        name: name.to_owned(),
        uid: uid.into(),
    };
    let mut owners = PodOwners::default();
    owners.add(&pod("web-0", "uid-1"), &["10.244.1.5/32".parse().unwrap()].into());
    owners.add(&pod("machines", ""), &["2001:db8:8::/64".parse().unwrap()].into());
    owners
}

fn full() -> CachedSnapshot {
    let peer = Peer {
        endpoints: vec![v4(), v6()],
        port: 7_950,
        public_key: PublicKey(std::array::from_fn(|at| at as u8)),
    };
    let attachment = Attachment {
        wire: Some("10.0.1.77".parse().unwrap()),
        interface: Some("eni-1".to_owned()),
        mac: Some("02:00:5e:10:00:01".to_owned()),
        allocation: Some("eipalloc-1".to_owned()),
        ..Attachment::at(node(1))
    };
    let with_link = Attachment {
        node: node(1),
        wire: Some("10.0.1.78".parse().unwrap()),
        interface: Some("eni-1".to_owned()),
        mac: Some("02:00:5e:10:00:01".to_owned()),
        allocation: Some("eipalloc-2".to_owned()),
        next_hop: Some("10.0.1.1".parse().unwrap()),
        primary_address: Some("10.0.1.20/24".parse().unwrap()),
    };
    CachedSnapshot {
        view: view(),
        peers: [(node(1), peer)].into(),
        endpoints: [(node(2), vec![v6(), v4()]), (node(3), Vec::new())].into(),
        steering: steering_config(),
        attachments: [
            (v4(), attachment),
            (v6(), Attachment::at(node(2))),
            (IpAddr::from([203, 0, 113, 18]), with_link),
        ]
        .into(),
        owners: owners(),
        told: Some(ToldEndpoint {
            annotated: Some(EndpointChoice::Within(vec!["10.1.0.0/16".parse().unwrap()])),
            default: Some(EndpointChoice::InternalIP),
        }),
        routers: routers(),
        judged: Some([2, 3].into()),
    }
}

fn routers() -> Vec<KeptRouters> {
    let kept = serde_json::json!([
        {
            "link": 3, "family": "IPv4", "inDoubt": {"203.0.113.1": true, "203.0.113.2": false},
            "silent": false, "again": true,
        },
        {"link": 3, "family": "IPv6", "inDoubt": {"fe80::1": true}, "silent": true, "again": false},
    ]);
    serde_json::from_value(kept).unwrap()
}

/// The file is in one line; the golden one has its fields in the same order, one a line.
fn pinned(name: &str, remembered: &CachedSnapshot) {
    let directory = tempfile::tempdir().unwrap();
    SnapshotCache::new(directory.path()).write(remembered.clone()).unwrap();
    let written = only_file(directory.path(), "snapshot.json");
    assert_eq!(written, serde_json::to_string(remembered).unwrap());
    let pretty = serde_json::to_string_pretty(remembered).unwrap();
    let text = golden(name, &format!("{pretty}\n"));

    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("snapshot.json"), text).unwrap();
    assert_eq!(SnapshotCache::new(other.path()).read().as_ref(), Some(remembered));
}

#[test]
fn a_snapshot_is_read_and_written_as_ever() {
    pinned("snapshot.json", &full());
    pinned("snapshot-of-nothing.json", &CachedSnapshot::default());
    // The cluster object exists, and has no voters yet.
    let cluster = ClusterView { id: "cluster-1".to_owned(), set: None, t_max: Millis(20_000) };
    let view = PlanView { cluster: Some(cluster), ..PlanView::default() };
    pinned("snapshot-before-voters.json", &CachedSnapshot { view, ..CachedSnapshot::default() });
}
