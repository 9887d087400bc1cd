//! kube-proxy in IPVS mode. Its addresses are on a device of the node, IPVS takes what pods send to them in the hook input,
//! gives it the endpoint's address and sends it by output: no forward hook sees it, and prerouting sees the Service's
//! address. Needs `ip_vs` of the kernel, and ipvsadm.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};

use super::Factory;
use super::addresses::{Both, EGRESS, MTU, NEVER, NODE, OTHER, POD, PORT, SERVER, steered};
use super::fixture::{SteeringFixture, ip};
use super::load::{exchange, one_way, tcp_echo, udp, udp_echo};
use super::own_traffic::{errors_to, short_way};
use super::packets::{SeenPacket, TCP, UDP};
use super::refusals::unknown;
use super::steered::{assert_nothing_leaked, one_block};
use crate::steering::SteeringDrop;

/// A Service's own address.
const CLUSTER_IP: Both = Both { v4: "10.96.0.10", v6: "fd00:96::10" };
/// An external address of a Service, which the claim selects as it selects the servers.
const EXTERNAL_IP: Both = Both { v4: "198.51.100.50", v6: "2001:db8:100::30" };
/// The port of Services.
const SERVICE_PORT: u16 = 80;

/// kube-proxy with `masqueradeAll`: a bit of the packet's mark says so in postrouting.
const MASQUERADE_ALL: &str = "table inet proxy {
    chain pre {
        type nat hook prerouting priority -100; policy accept;
        ip daddr { 10.96.0.10, 198.51.100.50 } meta mark set meta mark | 0x4000
        ip6 daddr { fd00:96::10, 2001:db8:100::30 } meta mark set meta mark | 0x4000
    }
    chain post {
        type nat hook postrouting priority 100; policy accept;
        meta mark & 0x4000 == 0x4000 meta mark set meta mark ^ 0x4000 masquerade
    }
}
";

/// A Service whose endpoint is outside the cluster: TCP and UDP leave through the tunnel with the egress address, and are
/// answered, also where kube-proxy masquerades everything and where the claim selects the Service's address.
pub fn what_ipvs_sends_to_outside_is_steered(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    serve(&world, CLUSTER_IP, SERVER, PORT);
    serve(&world, EXTERNAL_IP, SERVER, PORT);
    world.apply(&one_block());
    for masquerade in ["", MASQUERADE_ALL] {
        world.director.nft(masquerade);
        for service in [CLUSTER_IP, EXTERNAL_IP] {
            for (pod, to) in to_service(POD, service) {
                tcp_echo(&world.pod, pod, to).unwrap_or_else(|e| panic!("TCP to {to}: {e}"));
                let socket = udp(&world.pod, pod, to);
                for _ in 0..3 {
                    exchange(&socket).unwrap_or_else(|e| panic!("UDP to {to}: {e}"));
                }
            }
        }
    }
    world.settle();
    assert_nothing_leaked(&world);
    for ((server, address), headers) in SERVER.each().into_iter().zip(EGRESS.each()).zip([40, 60]) {
        let seen = world.tunnel.to(server);
        for protocol in [TCP, UDP] {
            assert!(seen.iter().any(|packet| packet.protocol == protocol), "no {protocol}");
        }
        assert!(seen.iter().all(|packet| packet.source == address), "{seen:?}");
        let of_block = |packet: &SeenPacket| (1024..=1151).contains(&packet.source_port);
        assert!(seen.iter().all(of_block), "{seen:?}");
        let offered = seen.iter().find_map(|packet| packet.mss);
        assert_eq!(offered.map(u32::from), Some(MTU - headers), "offered to {server}");
    }
}

/// A Service whose endpoint is never steered to, a pod that no claim selects, and the node itself: they go the node's way.
pub fn what_ipvs_sends_elsewhere_goes_its_way(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    serve(&world, CLUSTER_IP, SERVER, PORT);
    serve(&world, EXTERNAL_IP, NEVER, PORT);
    world.apply(&one_block());
    let (pod, director) = (&world.pod, &world.director);
    for (namespace, from, service) in [
        (pod, POD, EXTERNAL_IP),
        (pod, OTHER, EXTERNAL_IP),
        (pod, OTHER, CLUSTER_IP),
        (director, NODE, CLUSTER_IP),
    ] {
        for (from, to) in to_service(from, service) {
            tcp_echo(namespace, from, to).unwrap_or_else(|e| panic!("TCP {from} to {to}: {e}"));
            udp_echo(namespace, from, to).unwrap_or_else(|e| panic!("UDP {from} to {to}: {e}"));
        }
    }
    world.settle();
    for server in SERVER.each().into_iter().chain(NEVER.each()) {
        assert_eq!(world.tunnel.to(server), [], "was steered");
    }
    for reason in [SteeringDrop::MarkOverwritten, SteeringDrop::WrongDevice] {
        assert_eq!(world.dropped(reason), 0, "{reason:?}");
    }
}

/// While the pod is not known, and without a block, it is dropped by that name, and goes on the same socket once nothing is
/// lacking. Where IPVS keeps conntrack from its packets (`net.ipv4.vs.conntrack` 0, which kube-proxy never sets), it is
/// dropped too.
pub fn what_ipvs_sends_is_refused_by_name(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    serve(&world, CLUSTER_IP, SERVER, PORT);
    let flows = to_service(POD, CLUSTER_IP).map(|(pod, to)| udp(&world.pod, pod, to));
    let refused_once = |world: &mut SteeringFixture<_>, reason| {
        for socket in &flows {
            let before = world.dropped(reason);
            one_way(socket);
            world.settle_uplink();
            assert_eq!(world.dropped(reason) - before, 1, "{reason:?}, {socket:?}");
        }
    };
    world.apply(&unknown());
    refused_once(&mut world, SteeringDrop::UnknownPod);
    world.apply(&steered(&[]));
    refused_once(&mut world, SteeringDrop::NoBlock);
    world.apply(&one_block());
    for socket in &flows {
        exchange(socket).unwrap_or_else(|error| panic!("after the block came: {error}"));
    }
    world.director.sysctl("net/ipv4/vs/conntrack", "0");
    for (pod, to) in to_service(POD, CLUSTER_IP) {
        let before = world.dropped(SteeringDrop::InvalidOrUntracked);
        one_way(&udp(&world.pod, pod, to));
        world.settle_uplink();
        assert_eq!(world.dropped(SteeringDrop::InvalidOrUntracked) - before, 1, "{pod}");
    }
    world.settle();
    assert_nothing_leaked(&world);
}

/// What is too long for the tunnel: IPVS has its packets fragmented, also those that must not be. A reply that is too long
/// for the pod's link: what the director says of it goes through the tunnel.
pub fn what_ipvs_sends_may_be_long(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    serve(&world, CLUSTER_IP, SERVER, PORT);
    world.apply(&one_block());
    let flows = to_service(POD, CLUSTER_IP).map(|(pod, to)| udp(&world.pod, pod, to));
    for socket in &flows {
        socket.send(&[b'x'; 1_440]).unwrap_or_else(|error| panic!("{socket:?}: {error}"));
        let length = socket.recv(&mut [0; 2_048]);
        assert_eq!(length.ok(), Some(1_440), "{socket:?}");
    }
    short_way(&world);
    for (socket, server) in flows.iter().zip(SERVER.each()) {
        socket.send(&[b'x'; 1_350]).unwrap_or_else(|error| panic!("{server}: {error}"));
        world.tunnel.wait("the error", 1, errors_to(server));
    }
    world.settle();
    assert_nothing_leaked(&world);
}

/// An endpoint where nobody listens: what it says of that reaches the pod.
pub fn errors_about_what_ipvs_sends_reach_the_pod(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    serve(&world, CLUSTER_IP, SERVER, PORT + 1);
    world.apply(&one_block());
    for (pod, to) in to_service(POD, CLUSTER_IP) {
        let refused = Some(ErrorKind::ConnectionRefused);
        let tcp = tcp_echo(&world.pod, pod, to);
        assert_eq!(tcp.err().map(|error| error.kind()), refused, "TCP to {to}");
        let udp = udp_echo(&world.pod, pod, to);
        assert_eq!(udp.err().map(|error| error.kind()), refused, "UDP to {to}");
    }
    world.settle();
    assert_nothing_leaked(&world);
}

/// As kube-proxy sets IPVS up on the director: a Service's addresses, with one endpoint of each family.
fn serve<F: Factory>(world: &SteeringFixture<F>, service: Both, endpoint: Both, port: u16) {
    let director = &world.director;
    let loaded = director.output("modprobe ip_vs");
    assert!(
        loaded.status.success(),
        "IPVS: this kernel has no ip_vs; one that has it is in the machine of `make vm`: {}",
        String::from_utf8_lossy(&loaded.stderr)
    );
    for (key, value) in [("conntrack", "1"), ("conn_reuse_mode", "0"), ("expire_nodest_conn", "1")]
    {
        director.sysctl(&format!("net/ipv4/vs/{key}"), value);
    }
    if !director.output("ip link show kube-ipvs0").status.success() {
        director.run("ip link add kube-ipvs0 type dummy");
    }
    ip(
        director,
        &format!(
            "addr add {}/32 dev kube-ipvs0\naddr add {}/128 dev kube-ipvs0 nodad\n",
            service.v4, service.v6
        ),
    );
    for (service, endpoint) in service.each().into_iter().zip(endpoint.each()) {
        let service = SocketAddr::new(service, SERVICE_PORT);
        let endpoint = SocketAddr::new(endpoint, port);
        for protocol in ["-t", "-u"] {
            director.run(&format!("ipvsadm -A {protocol} {service} -s rr"));
            director.run(&format!("ipvsadm -a {protocol} {service} -r {endpoint} -m"));
        }
    }
}

fn to_service(from: Both, service: Both) -> [(IpAddr, SocketAddr); 2] {
    let [four, six] = from.each();
    let [of_four, of_six] = service.each().map(|ip| SocketAddr::new(ip, SERVICE_PORT));
    [(four, of_four), (six, of_six)]
}
