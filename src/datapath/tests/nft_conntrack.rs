//! Connections as conntrack has them, and the probe. Needs root, iproute2, nftables.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::time::Duration;

use egret_core::model::PortRange;
use egret_core::node_config::{Flow, FlowAction, SteeringConfig};
use egret_datapath::conntrack::StaleScope;
use egret_datapath::nft::NftSteering;
use egret_datapath::probe::{self, Probe, ProbeResult};
use egret_datapath::{HostSettings, conntrack, packet_mark, route, rule};
use egret_netns::{NetworkNamespace, veth};
use egret_ports::steering::Steering;

const POD: &str = "10.244.1.2";
const SERVER: &str = "198.51.100.1";
const EGRESS: &str = "203.0.113.17";

/// A pod, its director, and an outside that the tunnel and the uplink lead to alike.
struct Nodes {
    pod: NetworkNamespace,
    director: NetworkNamespace,
    outside: NetworkNamespace,
}

impl Nodes {
    fn new() -> Self {
        let (pod, director) = (NetworkNamespace::new("pod"), NetworkNamespace::new("director"));
        let outside = NetworkNamespace::new("outside");
        veth(&director, "pod0", &pod, "eth0");
        veth(&director, "eth0", &outside, "eth0");
        veth(&director, "egret0", &outside, "tun");
        director.sysctl("net/ipv4/ip_forward", "1");
        pod.batch(&format!("addr add {POD}/24 dev eth0\nroute add default via 10.244.1.1\n"));
        director.batch(
            "addr add 10.244.1.1/24 dev pod0\naddr add 192.0.2.11/24 dev eth0\n\
             link set egret0 address 02:00:00:00:00:01 arp off\n\
             addr add 169.254.54.80/32 dev egret0\n\
             route add default via 192.0.2.1\nroute add default dev egret0 table 5480\n",
        );
        director.sysctl("net/ipv4/conf/egret0/rp_filter", "2");
        outside.batch(&format!(
            "addr add 192.0.2.1/24 dev eth0\naddr add {SERVER}/32 dev lo\n\
             link set tun address 02:00:00:00:00:01 arp off\n\
             route add {EGRESS} dev tun\nroute add 10.244.0.0/16 via 192.0.2.11\n",
        ));
        let _inside = director.enter();
        rule::ensure(&HostSettings::default(), packet_mark::DEFAULT).unwrap();
        Self { pod, director, outside }
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn config() -> SteeringConfig {
    SteeringConfig {
        never_steered: ["10.244.0.0/16".parse().unwrap()].into(),
        flows: vec![Flow {
            source: ip(POD).into(),
            destination: "198.51.100.0/24".parse().unwrap(),
            action: FlowAction::Steer { address: ip(EGRESS) },
        }],
        blocks: [(ip(EGRESS), [PortRange::new(1024, 1151).unwrap()].into())].into(),
        ..SteeringConfig::default()
    }
}

fn udp(namespace: &NetworkNamespace, at: SocketAddr) -> UdpSocket {
    let _inside = namespace.enter();
    let socket = UdpSocket::bind(at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket
}

fn source(socket: &UdpSocket) -> IpAddr {
    let mut bytes = [0; 16];
    socket.recv_from(&mut bytes).unwrap().1.ip()
}

#[test]
fn a_one_way_flow_from_before_the_claim_is_steered_once_it_is_forgotten() {
    let nodes = Nodes::new();
    let settings = HostSettings::default();
    let server = udp(&nodes.outside, SocketAddr::new(ip(SERVER), 514));
    let other = udp(&nodes.outside, SocketAddr::new(ip(SERVER), 515));
    let pod = udp(&nodes.pod, SocketAddr::new(ip(POD), 0));
    let _inside = nodes.director.enter();
    let mut steering = NftSteering::new(settings.clone(), 1450);
    // Conntrack works from the first rule that asks it something.
    steering.apply(&SteeringConfig::default()).unwrap();
    let log = |to: &UdpSocket| {
        pod.send_to(b"log", to.local_addr().unwrap()).unwrap();
        source(to)
    };
    assert_eq!(log(&server), ip(POD), "before the claim");
    // A flow with a reply is none of those.
    pod.send_to(b"hello", other.local_addr().unwrap()).unwrap();
    let mut bytes = [0; 16];
    let (_, from) = other.recv_from(&mut bytes).unwrap();
    other.send_to(b"hello", from).unwrap();
    pod.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    pod.recv(&mut bytes).unwrap();

    steering.apply(&config()).unwrap();
    assert_eq!(log(&server), ip(POD), "its NAT was decided before");
    let sources = [ip(POD).into()].into();
    let forget = |config: &SteeringConfig| {
        conntrack::forget_stale(&settings, config, &sources, StaleScope::Unanswered).unwrap()
    };
    assert_eq!(forget(&config()), 1);
    assert_eq!(log(&server), ip(EGRESS), "after its entry was forgotten");
    assert_eq!(log(&other), ip(POD), "a connection with replies was touched");
    assert_eq!(forget(&config()), 0);

    let usage = conntrack::usage(&settings).unwrap();
    assert_eq!(usage.keys().copied().collect::<Vec<_>>(), [ip(EGRESS)]);
    assert_eq!(usage[&ip(EGRESS)].connections, 1);
    let busiest = usage[&ip(EGRESS)].busiest.unwrap();
    assert_eq!(busiest, (17, SocketAddr::new(ip(SERVER), 514), 1));

    assert_eq!(conntrack::forget_all(&settings).unwrap(), 1);
    assert!(conntrack::usage(&settings).unwrap().is_empty());
}

/// A changed claim cuts nothing, and no more does an API server that comes to be known.
#[test]
fn a_steered_connection_to_what_is_exempt_from_now_on_goes_on() {
    let nodes = Nodes::new();
    let settings = HostSettings::default();
    let server = udp(&nodes.outside, SocketAddr::new(ip(SERVER), 514));
    let pod = || udp(&nodes.pod, SocketAddr::new(ip(POD), 0));
    let (before, after) = (pod(), pod());
    let _inside = nodes.director.enter();
    let tunnel = nix::net::if_::if_nametoindex("egret0").unwrap();
    let mut steering = NftSteering::new(settings.clone(), 1450);
    let mut apply = |config: &SteeringConfig| {
        steering.apply(config).unwrap();
        route::ensure(&settings, &config.never_steered, tunnel).unwrap();
        let sources = [ip(POD).into()].into();
        conntrack::forget_stale(&settings, config, &sources, StaleScope::Unanswered).unwrap()
    };
    let asked_by = |pod: &UdpSocket| {
        pod.send_to(b"hello", server.local_addr().unwrap()).unwrap();
        let mut bytes = [0; 16];
        let (_, from) = server.recv_from(&mut bytes).unwrap();
        server.send_to(b"hello", from).unwrap();
        pod.recv(&mut bytes).unwrap();
        from.ip()
    };
    apply(&config());
    assert_eq!(asked_by(&before), ip(EGRESS));
    let exempt = SteeringConfig { exempt: [ip(SERVER).into()].into(), ..config() };
    assert_eq!(apply(&exempt), 0);
    assert_eq!(asked_by(&before), ip(EGRESS), "a steered connection goes on");
    assert_eq!(asked_by(&after), ip(POD), "a new one is not steered");
    let known = apply(&config());
    assert_eq!((known, asked_by(&after)), (0, ip(POD)), "nor is it when it comes back");
}

/// Entries of both families in both directions, with DNAT, of a pod and of its neighbour.
#[test]
fn a_pods_connections_end_and_its_neighbours_go_on() {
    let node = NetworkNamespace::new("node");
    node.batch(
        "addr add 10.244.1.2/32 dev lo\naddr add 10.244.1.3/32 dev lo\n\
         addr add 198.51.100.1/32 dev lo\naddr add fd00::2/128 dev lo nodad\n\
         addr add fd00::3/128 dev lo nodad\naddr add 2001:db8::1/128 dev lo nodad\n\
         route add 10.96.0.1/32 dev lo\n",
    );
    node.nft(
        "table inet cni {
            chain service {
                type nat hook output priority -100
                ip daddr 10.96.0.1 dnat ip to 10.244.1.2
            }
            chain track {
                type filter hook input priority 0
                ct state new accept
            }
        }",
    );
    let _inside = node.enter();
    let send = |from: &str, to: &str| {
        let socket = UdpSocket::bind((ip(from), 5000)).unwrap();
        socket.send_to(b"log", (ip(to), 6000)).unwrap();
    };
    let gone = [
        ("10.244.1.2", "198.51.100.1"),
        ("198.51.100.1", "10.244.1.2"),
        ("198.51.100.1", "10.96.0.1"),
        ("fd00::2", "2001:db8::1"),
        ("2001:db8::1", "fd00::2"),
    ];
    let stay = [
        ("10.244.1.3", "198.51.100.1"),
        ("198.51.100.1", "10.244.1.3"),
        ("fd00::3", "2001:db8::1"),
        ("2001:db8::1", "fd00::3"),
    ];
    for (from, to) in gone.iter().chain(&stay) {
        send(from, to);
    }
    let listed = |ends: &[(&str, &str)]| {
        let table = node.run("conntrack -L");
        let of =
            |(from, to): &&(&str, &str)| table.contains(&format!("src={from} dst={to} sport=5000"));
        ends.iter().filter(of).count()
    };
    assert_eq!((listed(&gone), listed(&stay)), (5, 4), "all were tracked");
    conntrack::forget_pods(&[ip(POD).into(), ip("fd00::2").into()].into()).unwrap();
    assert_eq!((listed(&gone), listed(&stay)), (0, 4), "those of the pod ended, and no others");
    conntrack::forget_pods(&["10.244.1.2/31".parse().unwrap()].into()).unwrap();
    assert_eq!(listed(&stay), 2, "a range's ended");
}

#[test]
fn the_probe_sees_a_pods_connection_reach_the_hook() {
    let nodes = Nodes::new();
    let settings = HostSettings::default();
    let _listener = listen(&nodes);
    let _inside = nodes.director.enter();
    let mut steering = NftSteering::new(settings, 1450);
    steering.apply(&config()).unwrap();
    let window = Duration::from_millis(300);
    let probe = |steering: &NftSteering, last| {
        probe::run(&*steering.counters(), &config(), last, window).unwrap()
    };
    let quiet = probe(&steering, None);
    assert_eq!(quiet, Probe { result: ProbeResult::NoTraffic, selected: 0 });
    let verdict = while_connecting(&nodes, &mut steering);
    assert_eq!(verdict, ProbeResult::Passed);
    // What has reached the hook since the last probe says so, and is said once.
    let later = probe(&steering, Some(quiet.selected));
    assert_eq!(later.result, ProbeResult::Passed);
    assert_eq!(probe(&steering, Some(later.selected)).result, ProbeResult::NoTraffic);
}

/// What eBPF host routing does, by other means: what comes from the pod's device goes out of the
/// uplink before the IP stack, and its hooks, see it.
#[test]
fn the_probe_sees_that_a_cni_forwards_past_the_hooks() {
    let nodes = Nodes::new();
    let settings = HostSettings::default();
    let _listener = listen(&nodes);
    nodes.director.nft(
        "table netdev cni {
            chain past {
                type filter hook ingress device pod0 priority 0; policy accept;
                ip protocol tcp fwd to eth0
            }
        }",
    );
    let _inside = nodes.director.enter();
    let mut steering = NftSteering::new(settings, 1450);
    steering.apply(&config()).unwrap();
    match while_connecting(&nodes, &mut steering) {
        ProbeResult::Bypassed { evidence } => assert!(evidence.contains(POD), "{evidence}"),
        other => panic!("{other:?}"),
    }
}

fn listen(nodes: &Nodes) -> TcpListener {
    let _inside = nodes.outside.enter();
    TcpListener::bind((SERVER, 443)).unwrap()
}

/// Runs the probe while the pod tries five connections.
fn while_connecting(nodes: &Nodes, steering: &mut NftSteering) -> ProbeResult {
    let path = nodes.pod.path();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let _inside = egret_netns::enter(&path);
            let to = SocketAddr::new(ip(SERVER), 443);
            for _ in 0..5 {
                let _ = std::net::TcpStream::connect_timeout(&to, Duration::from_millis(200));
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        probe::run(&*steering.counters(), &config(), None, Duration::from_secs(3)).unwrap().result
    })
}
