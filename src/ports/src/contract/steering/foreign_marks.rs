//! Marks of others: bits that they share with ours, and chains that overwrite or copy marks.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use super::addresses::{OTHER, POD, PORT, SERVER};
use super::fixture::{SteeringFixture, ip};
use super::load::{connect, one_way, talk, tcp_echo, udp, udp_echo};
use super::oracle::PATIENCE;
use super::steered::{assert_nothing_leaked, one_block};
use super::{Factory, Names};
use crate::steering::SteeringDrop;

/// Marks that Cilium gives to what it encrypts (IPsec key 3, WireGuard), and every bit at once.
const FOREIGN: [u32; 4] = [0x3e00, 0x1e00, 0x1000, 0xffff_ffff];

/// What is not selected goes its way, whatever mark somebody has set on it: with a bit that is ours
/// in the connection's mark too.
pub fn foreign_marks_are_left_alone(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    for mark in FOREIGN {
        world.director.nft(&foreign("filter", "prerouting", -150, &marks_other(mark)));
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
    world.director.nft(&foreign("filter", "prerouting", -150, "meta mark set ct mark"));
    world.apply(&one_block());
    for (pod, server) in POD.each().into_iter().zip(SERVER.each()) {
        let to = SocketAddr::new(server, PORT);
        tcp_echo(&world.pod, pod, to).unwrap_or_else(|e| panic!("TCP to {to}: {e}"));
        udp_echo(&world.pod, pod, to).unwrap_or_else(|e| panic!("UDP to {to}: {e}"));
    }
    world.settle();
    assert_nothing_leaked(&world);
}

/// A foreign chain behind ours overwrites the mark of one family's packets: what is steered is dropped
/// under a name of its own and does not leave the node's way, on connections that are open and on new
/// ones. Without the chain the open ones go on.
pub fn an_overwritten_mark_leaks_nothing(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    let mut open = open(&world);
    for (index, (pod, to)) in ends().into_iter().enumerate() {
        for mark in [0, 0x3e00] {
            let before = world.dropped(SteeringDrop::MarkOverwritten);
            let rule = format!("{} meta mark set {mark:#x}", from(pod));
            world.director.nft(&foreign("filter", "prerouting", -80, &rule));
            one_way(&udp(&world.pod, pod, to));
            world.settle_uplink();
            let counted = world.dropped(SteeringDrop::MarkOverwritten) - before;
            assert!(counted >= 1, "{pod} sent a datagram with mark {mark:#x}");
            assert_silent(&mut open[index], &format!("{pod} with mark {mark:#x}"));
            world.settle_uplink();
            assert_nothing_leaked(&world);
        }
        world.director.run(REMOVE);
        go_on(&mut open[index]);
    }
    for (pod, to) in ends() {
        tcp_echo(&world.pod, pod, to).unwrap_or_else(|error| panic!("after: {error}"));
    }
}

/// A foreign chain before ours overwrites the whole mark of connections, and our bit with it
/// (`CONNMARK --set-mark`, `--save-mark`): what has an egress address is dropped under a name of its
/// own, and does not leave with it by the uplink.
pub fn a_wiped_connection_mark_leaks_nothing(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    for (pod, to) in ends() {
        let mut open = connect(&world.pod, pod, to).unwrap_or_else(|e| panic!("before: {e}"));
        let before = world.dropped(SteeringDrop::ConnectionMarkOverwritten);
        let rule = format!("{} ct mark set 0x5", from(pod));
        world.director.nft(&foreign("filter", "prerouting", -150, &rule));
        assert_silent(&mut open, &format!("{pod} without our bit"));
        world.settle_uplink();
        assert_nothing_leaked(&world);
        let counted = world.dropped(SteeringDrop::ConnectionMarkOverwritten) - before;
        assert!(counted >= 1, "{pod}: nothing was counted");
        world.director.run(REMOVE);
        tcp_echo(&world.pod, pod, to).unwrap_or_else(|error| panic!("after: {error}"));
    }
}

/// Another mark takes the place of the former one: each packet of open connections goes on into the
/// tunnel, before, between and after the steps in which it does.
pub fn another_mark_loses_no_connection(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    let mut open = open(&world);
    let Names { packet_mark: former, route_table: table, rule_priority: priority, .. } =
        world.names.clone();
    let mark = 0x35;
    let rules = |verb: &str, mark: u32| {
        let rule = format!("rule {verb} fwmark {mark:#x} table {table} priority {priority}");
        format!("-4 {rule}\n-6 {rule}\n")
    };
    let mut talk_on = |step: &str| {
        for stream in &mut open {
            talk(stream).unwrap_or_else(|error| panic!("{step}: {error}"));
        }
    };
    talk_on("before");
    ip(&world.director, &rules("add", mark));
    talk_on("with both rules");
    world.set_packet_mark(mark);
    world.apply(&one_block());
    talk_on("with the new rule set");
    ip(&world.director, &rules("del", former));
    talk_on("with the new rule alone");
    for (pod, to) in ends() {
        tcp_echo(&world.pod, pod, to).unwrap_or_else(|error| panic!("a new one: {error}"));
    }
    world.settle();
    assert_nothing_leaked(&world);
    for reason in [SteeringDrop::MarkOverwritten, SteeringDrop::WrongDevice] {
        assert_eq!(world.dropped(reason), 0, "{reason:?}");
    }
}

/// Cilium has its proxy on the node take packets by a mark and a policy rule before ours, also those of
/// selected pods: they come to the node itself, and neither into the tunnel nor to the uplink.
pub fn what_a_proxy_takes_is_left_to_it(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.set_proxy(true);
    world.apply(&one_block());
    // With it strict `rp_filter` would look the pod up by the proxy's rule. Cilium turns that off.
    world.director.sysctl("net/ipv4/conf/all/src_valid_mark", "0");
    ip(
        &world.director,
        "-4 rule add fwmark 0x200/0xf00 table 2004 priority 9\n\
         -6 rule add fwmark 0x200/0xf00 table 2004 priority 9\n\
         -4 route add local default dev lo table 2004\n\
         -6 route add local default dev lo table 2004\n",
    );
    world.director.nft(
        "table inet proxy { counter taken { }\n\
         chain marks { type filter hook prerouting priority -150; \
           iifname pod0 udp dport 7000 meta mark set 0x1b580200; }\n\
         chain arrived { type filter hook input priority 0; udp dport 7000 counter name taken; }; }",
    );
    for (pod, to) in ends() {
        one_way(&udp(&world.pod, pod, to));
    }
    world.settle();
    let taken = world.director.run("nft list counter inet proxy taken");
    assert!(taken.contains("packets 2 "), "the proxy got others than one datagram each: {taken}");
    assert_nothing_leaked(&world);
    for server in SERVER.each() {
        assert_eq!(world.tunnel.to(server), [], "was steered past the proxy");
    }
}

/// Where there is no such proxy its mark is one like any other: what is selected is steered.
pub fn a_proxys_mark_without_a_proxy_is_another(factory: &impl Factory) {
    let mut world = SteeringFixture::new(factory);
    world.apply(&one_block());
    let rule = "iifname pod0 meta mark set 0x1b580200";
    world.director.nft(&foreign("filter", "prerouting", -150, rule));
    for (pod, to) in ends() {
        tcp_echo(&world.pod, pod, to).unwrap_or_else(|e| panic!("TCP to {to}: {e}"));
    }
    world.settle();
    assert_nothing_leaked(&world);
}

/// The pod's addresses with what they send to.
pub(super) fn ends() -> [(IpAddr, SocketAddr); 2] {
    let [four, six] = POD.each();
    let [server, other] = SERVER.each().map(|server| SocketAddr::new(server, PORT));
    [(four, server), (six, other)]
}

fn open<F: Factory>(world: &SteeringFixture<F>) -> Vec<TcpStream> {
    let open = |(pod, to)| connect(&world.pod, pod, to).unwrap_or_else(|e| panic!("{pod}: {e}"));
    ends().into_iter().map(open).collect()
}

fn assert_silent(stream: &mut TcpStream, what: &str) {
    let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
    assert!(talk(stream).is_err(), "answered: {what}");
}

/// What was not answered is sent again, after as long as it was silent: on a slow machine that is long.
fn go_on(stream: &mut TcpStream) {
    let _ = stream.set_read_timeout(Some(6 * PATIENCE));
    talk(stream).unwrap_or_else(|error| panic!("an open connection did not go on: {error}"));
}

/// Matches what an address of the pod sends.
fn from(pod: IpAddr) -> String {
    let family = if pod.is_ipv4() { "ip" } else { "ip6" };
    format!("iifname \"pod0\" {family} saddr {pod}")
}

/// Takes away what [`foreign`] has made.
const REMOVE: &str = "nft delete table inet foreign";

/// Another's chain, in the place of the last one.
pub(super) fn foreign(kind: &str, hook: &str, priority: i32, rules: &str) -> String {
    format!(
        "table inet foreign\ndelete table inet foreign\ntable inet foreign {{ chain marks {{\n\
         type {kind} hook {hook} priority {priority}; policy accept;\n{rules}\n}}; }}\n"
    )
}

fn marks_other(mark: u32) -> String {
    format!(
        "ip saddr {} meta mark set {mark:#x}\nip6 saddr {} meta mark set {mark:#x}",
        OTHER.v4, OTHER.v6
    )
}
