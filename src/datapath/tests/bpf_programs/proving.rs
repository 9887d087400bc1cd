//! Whether the programs of an uplink run, beside a filter of another that ends the chain.

use egret_datapath::bpf::AttachMode;
use egret_datapath::link_proof::{LinkProof, LinkQuestion, prove};

use super::net::{Net, Node, Underlay, ip, world};

/// What a question to the world shows, of either family.
fn proof(node: &Node, v4: bool) -> LinkProof {
    let question = LinkQuestion {
        link: node.uplink.index,
        mac: node.uplink.mac,
        own: ip(if v4 { "192.0.2.11" } else { "2001:db8:1::11" }),
        neighbour: world(v4),
    };
    let _inside = node.namespace.enter();
    prove(&node.config.pin_dir, &question).unwrap()
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
