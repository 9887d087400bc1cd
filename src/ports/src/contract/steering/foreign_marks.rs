//! Marks of others: bits that they share with ours, and chains that overwrite or copy marks.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::Factory;
use super::addresses::{EGRESS, OTHER, POD, PORT, SERVER};
use super::fixture::SteeringFixture;
use super::load::{connect, one_way, talk, tcp_echo, udp, udp_echo};
use super::oracle::{Oracle, PATIENCE};
use super::packets::{ICMP, ICMP6, SeenPacket};
use super::steered::{assert_nothing_leaked, one_block};
use crate::steering::SteeringDrop;

/// Marks that Cilium gives to what it encrypts (IPsec key 3, WireGuard), and every bit at once.
const FOREIGN: [u32; 4] = [0x3e00, 0x1e00, 0x1000, 0xffff_ffff];

/// What is not selected goes its way, whatever mark somebody has set on it: with a bit that is ours
/// in the connection's mark too.
pub fn foreign_marks_are_left_alone(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    for mark in FOREIGN {
        world.director.nft(&foreign(-150, &marks_other(mark)));
        for (other, server) in OTHER.each().into_iter().zip(SERVER.each()) {
            let to = SocketAddr::new(server, PORT);
            tcp_echo(&world.pod, other, to).unwrap_or_else(|e| panic!("{mark:#x} to {to}: {e}"));
            udp_echo(&world.pod, other, to).unwrap_or_else(|e| panic!("{mark:#x} to {to}: {e}"));
        }
    }
    world.settle();
    for server in SERVER.each() {
        assert_eq!(world.tunnel.to(server), [], "was steered");
    }
}

/// wg-quick copies the whole mark of a connection to every packet of it: those of a steered one reach
/// the tunnel, and its replies the pod.
pub fn a_copied_connection_mark_steers_nothing(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.director.nft(&foreign(-150, "meta mark set ct mark"));
    world.apply(&one_block());
    for (pod, server) in POD.each().into_iter().zip(SERVER.each()) {
        let to = SocketAddr::new(server, PORT);
        tcp_echo(&world.pod, pod, to).unwrap_or_else(|e| panic!("TCP to {to}: {e}"));
        udp_echo(&world.pod, pod, to).unwrap_or_else(|e| panic!("UDP to {to}: {e}"));
    }
    world.settle();
    assert_nothing_leaked(&world);
}

/// A foreign chain behind ours overwrites the mark: what is steered is dropped under a name of its own
/// and does not leave the node's way, on connections that are open and on new ones. Without the chain
/// the open ones go on.
pub fn an_overwritten_mark_leaks_nothing(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    let ends: Vec<_> = POD
        .each()
        .into_iter()
        .zip(SERVER.each())
        .map(|(pod, server)| (pod, SocketAddr::new(server, PORT)))
        .collect();
    let mut open: Vec<_> = ends
        .iter()
        .map(|(pod, to)| connect(&world.pod, *pod, *to))
        .map(|stream| stream.unwrap_or_else(|error| panic!("before: {error}")))
        .collect();
    for mark in [0, 0x3e00] {
        let before = world.dropped(SteeringDrop::MarkOverwritten);
        world.director.nft(&foreign(-80, &format!("iifname \"pod0\" meta mark set {mark:#x}")));
        for stream in &mut open {
            let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
            assert!(talk(stream).is_err(), "answered with mark {mark:#x}");
        }
        for (pod, to) in &ends {
            one_way(&udp(&world.pod, *pod, *to));
        }
        world.settle_uplink();
        assert_nothing_leaked(&world);
        let dropped = world.dropped(SteeringDrop::MarkOverwritten) - before;
        assert!(dropped >= 2, "a datagram of each family was sent, {dropped} counted");
    }
    world.director.run("nft delete table inet foreign");
    for (pod, to) in ends {
        tcp_echo(&world.pod, pod, to).unwrap_or_else(|error| panic!("after: {error}"));
    }
}

/// What the director itself says of a steered connection, here that a reply is too long for the pod's
/// link: it goes through the tunnel, as the connection does.
pub fn the_directors_own_errors_are_steered(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    let to_pod = Oracle::start(&world.pod);
    let _sockets = too_long_replies(&world);
    for ((pod, server), address) in POD.each().into_iter().zip(SERVER.each()).zip(EGRESS.each()) {
        let errors = errors_to(server);
        world.tunnel.wait("the error", 1, errors);
        let sources: Vec<_> = world.tunnel.seen(errors).iter().map(|p| p.source).collect();
        assert!(sources.iter().all(|source| *source == address), "{sources:?}");
        assert_eq!(to_pod.seen(|p| p.destination == pod && p.source == server), [], "too long");
        assert_eq!(world.leaked.seen(errors), [], "left by the uplink");
    }
    world.settle();
    assert_nothing_leaked(&world);
}

/// Where somebody sends them another way, they are dropped under a name of their own.
pub fn the_directors_own_errors_never_leak(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    world.director.nft(
        "table inet foreign { chain own { type route hook output priority 0; meta mark set 0; }; }",
    );
    let _sockets = too_long_replies(&world);
    let end = Instant::now() + PATIENCE;
    while world.dropped(SteeringDrop::MarkOverwritten) < 2 {
        assert!(Instant::now() < end, "an error of each family was to be dropped");
        std::thread::sleep(Duration::from_millis(10));
    }
    world.settle();
    for server in SERVER.each() {
        assert_eq!(world.leaked.seen(errors_to(server)), [], "left by the uplink");
    }
}

/// Has the servers send datagrams to the pod that do not fit the director's way to it.
fn too_long_replies<F: Factory>(world: &SteeringFixture<F>) -> Vec<UdpSocket> {
    world.director.run("ip route replace 10.244.1.0/24 dev pod0 mtu lock 1300");
    world.director.sysctl("net/ipv6/conf/pod0/mtu", "1300");
    let ends = POD.each().into_iter().zip(SERVER.each());
    ends.map(|(pod, server)| {
        let socket = udp(&world.pod, pod, SocketAddr::new(server, PORT));
        socket.send(&[b'x'; 1_350]).unwrap_or_else(|error| panic!("{pod}: {error}"));
        socket
    })
    .collect()
}

fn errors_to(server: IpAddr) -> impl Fn(&SeenPacket) -> bool + Copy {
    move |p| p.destination == server && [ICMP, ICMP6].contains(&p.protocol)
}

/// Another's chain in prerouting, in the place of the last one.
fn foreign(priority: i32, rules: &str) -> String {
    format!(
        "table inet foreign\ndelete table inet foreign\ntable inet foreign {{ chain marks {{\n\
         type filter hook prerouting priority {priority}; policy accept;\n{rules}\n}}; }}\n"
    )
}

fn marks_other(mark: u32) -> String {
    format!(
        "ip saddr {} meta mark set {mark:#x}\nip6 saddr {} meta mark set {mark:#x}",
        OTHER.v4, OTHER.v6
    )
}
