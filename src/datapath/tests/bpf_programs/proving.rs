//! Whether the programs of an uplink run, beside a filter of another that ends the chain.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use egret_datapath::bpf::AttachMode;
use egret_datapath::link_proof::{LinkProof, LinkQuestion, ProvedProtocol, is_answered, prove};

use super::net::{Net, Node, Underlay, ip, world};

fn question(node: &Node, v4: bool) -> LinkQuestion {
    LinkQuestion {
        link: node.uplink.index,
        mac: node.uplink.mac,
        own: ip(if v4 { "192.0.2.11" } else { "2001:db8:1::11" }),
        neighbour: world(v4),
    }
}

/// What a question to the world shows, of either family, by each protocol.
fn proofs(node: &Node, v4: bool) -> Vec<(ProvedProtocol, LinkProof)> {
    let _inside = node.namespace.enter();
    prove(&node.config.pin_dir, &question(node, v4)).unwrap()
}

/// The same where all show the same.
fn proof(node: &Node, v4: bool) -> LinkProof {
    let all = proofs(node, v4);
    assert!(all.iter().all(|(_, proof)| *proof == all[0].1), "{all:?}");
    assert_eq!(all.len(), if v4 { 2 } else { 1 });
    all[0].1
}

/// As a CNI's filter that is done with a packet: what stands behind it never runs.
fn foreign_filter(node: &Node, end: &str) {
    node.namespace.run(&format!(
        "tc filter add dev up0 {end} prio 1 protocol all u32 match u32 0 0 classid 1:1"
    ));
}

#[test]
fn with_clsact_a_filter_that_ends_the_chain_is_found() {
    for (end, expected) in
        [("ingress", LinkProof::IngressPassedBy), ("egress", LinkProof::EgressPassedBy)]
    {
        let net = Net::new(Underlay::V4);
        let node = Node::new(&net, "gateway", 11, AttachMode::Clsact);
        for v4 in [true, false] {
            assert_eq!(proof(&node, v4), LinkProof::Runs);
        }
        foreign_filter(&node, end);
        for v4 in [true, false] {
            assert_eq!(proof(&node, v4), expected, "{end}");
        }
        node.namespace.run(&format!("tc filter del dev up0 {end} prio 1"));
        assert_eq!(proof(&node, true), LinkProof::Runs);
    }
}

/// While others ask for IPv4 neighbours all the time.
#[test]
fn a_filter_for_ipv6_alone_is_found() {
    let net = Net::new(Underlay::V4);
    let node = Node::new(&net, "gateway", 11, AttachMode::Clsact);
    let filter = "prio 1 protocol ipv6 u32 match u32 0 0 classid 1:1";
    node.namespace.run(&format!("tc filter add dev up0 egress {filter}"));
    let (arp, ended) = (question(&node, true), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            let _inside = node.namespace.enter();
            while !ended.load(Ordering::Relaxed) {
                assert!(is_answered(&arp).unwrap());
            }
        });
        let inside = node.namespace.enter();
        let proofs = [true, false].map(|v4| prove(&node.config.pin_dir, &question(&node, v4)));
        ended.store(true, Ordering::Relaxed);
        drop(inside);
        let wanted = [
            (ProvedProtocol::Arp, LinkProof::Runs),
            (ProvedProtocol::Ipv4, LinkProof::Runs),
            (ProvedProtocol::Ipv6, LinkProof::EgressPassedBy),
        ];
        assert_eq!(proofs.map(Result::unwrap).concat(), wanted);
    });
}

/// ARP passes it, and what ARP alone shows is that all is well.
#[test]
fn a_filter_for_ipv4_alone_is_found() {
    for (end, expected) in
        [("ingress", LinkProof::IngressPassedBy), ("egress", LinkProof::EgressPassedBy)]
    {
        let net = Net::new(Underlay::V4);
        let node = Node::new(&net, "gateway", 11, AttachMode::Clsact);
        let filter = "prio 1 protocol ip u32 match u32 0 0 classid 1:1";
        node.namespace.run(&format!("tc filter add dev up0 {end} {filter}"));
        let wanted = [(ProvedProtocol::Arp, LinkProof::Runs), (ProvedProtocol::Ipv4, expected)];
        assert_eq!(proofs(&node, true), wanted, "{end}");
        assert_eq!(proof(&node, false), LinkProof::Runs, "{end}");
    }
}

/// As many routers do, and clouds' own: nothing is known of the ingress for IPv4 then, and of the egress all the same.
#[test]
fn who_answers_arp_alone_leaves_the_ingress_unproven_for_ipv4() {
    let net = Net::new(Underlay::V4);
    let node = Node::new(&net, "gateway", 11, AttachMode::Clsact);
    net.world.run("sysctl -qw net.ipv4.icmp_echo_ignore_all=1");
    let by_ipv4 = |proof| [(ProvedProtocol::Arp, LinkProof::Runs), (ProvedProtocol::Ipv4, proof)];
    assert_eq!(proofs(&node, true), by_ipv4(LinkProof::Unanswered));
    let filter = "prio 1 protocol ip u32 match u32 0 0 classid 1:1";
    node.namespace.run(&format!("tc filter add dev up0 egress {filter}"));
    assert_eq!(proofs(&node, true), by_ipv4(LinkProof::EgressPassedBy));
}

#[test]
fn with_tcx_such_a_filter_comes_after() {
    let net = Net::new(Underlay::V4);
    let node = Node::new(&net, "gateway", 11, AttachMode::Tcx);
    node.namespace.run("tc qdisc add dev up0 clsact");
    foreign_filter(&node, "ingress");
    foreign_filter(&node, "egress");
    for v4 in [true, false] {
        assert_eq!(proof(&node, v4), LinkProof::Runs);
    }
}

#[test]
fn where_nobody_answers_nothing_is_known_of_the_ingress() {
    let net = Net::new(Underlay::V4);
    let node = Node::new(&net, "gateway", 11, AttachMode::Clsact);
    net.world.run("ip link set eth0 down");
    assert_eq!(proof(&node, true), LinkProof::Unanswered);
}
