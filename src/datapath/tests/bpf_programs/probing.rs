//! Questions through the tunnel, and their answers.

use std::time::Duration;

use egret_datapath::tunnel_probe::{TunnelQuestion, TunnelReach, ask};
use egret_ports::gateway::{AddressEntry, AddressMap as _, AddressState};

use super::net::{Net, Node, TUNNEL_PORT, Underlay, egress};

const REACHED: TunnelReach = TunnelReach { short: true, longest: true };
const SILENT: TunnelReach = TunnelReach { short: false, longest: false };

/// What the director finds out about the holder of an address, with a port.
fn reach(director: &Node, v4: bool, port: u16) -> TunnelReach {
    let _inside = director.namespace.enter();
    let question = TunnelQuestion { address: egress(v4), port };
    ask(&director.config.pin_dir, "egret0", &[question]).unwrap().0[0]
}

fn gateway_and_director(net: &Net) -> (Node, Node) {
    let (mut gateway, mut director) = (net.node("gateway", 11), net.node("director", 12));
    for v4 in [true, false] {
        gateway.holds(egress(v4));
        director.stands_by(egress(v4), &gateway);
    }
    gateway.knows_block_of(director.endpoint);
    director.knows_block_of(director.endpoint);
    (gateway, director)
}

#[test]
fn a_holder_answers_short_and_long_questions_of_both_families() {
    for underlay in [Underlay::V4, Underlay::V6] {
        let net = Net::new(underlay);
        let (mut gateway, mut director) = gateway_and_director(&net);
        for v4 in [true, false] {
            assert_eq!(reach(&director, v4, 1024), REACHED, "{underlay:?}, IPv4: {v4}");
        }
        assert_eq!(gateway.count("probe_answered"), 4);
        assert_eq!(gateway.count("to_world") + director.count("to_pod"), 0);
    }
}

#[test]
fn who_does_not_hold_the_address_and_whose_port_is_anothers_gets_no_answer() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = gateway_and_director(&net);
    assert_eq!(reach(&director, true, 1152), SILENT, "a port of nobody");
    assert_eq!(gateway.count("no_block"), 2);
    let stranger = net.node("stranger", 13);
    gateway.knows_block_of(stranger.endpoint);
    assert_eq!(reach(&director, true, 1024), SILENT, "a port of another");
    assert_eq!(gateway.count("foreign_block"), 2);
    gateway.knows_block_of(director.endpoint);
    let ended = gateway.entry(AddressState::Held, &gateway, Duration::ZERO);
    gateway.addresses.put(egress(true), &ended).unwrap();
    assert_eq!(reach(&director, true, 1024), SILENT, "the lease has ended");
    let standby = AddressEntry { state: AddressState::Standby, ..ended };
    gateway.addresses.put(egress(true), &standby).unwrap();
    assert_eq!(reach(&director, true, 1024), SILENT, "it stands by");
    assert_eq!((gateway.count("lease_expired"), gateway.count("not_held")), (2, 2));
    assert_eq!(gateway.count("probe_answered"), 0);
}

#[test]
fn a_closed_port_and_a_way_that_takes_less_are_told_apart() {
    let net = Net::new(Underlay::V4);
    let (gateway, director) = gateway_and_director(&net);
    gateway.namespace.nft(&format!(
        "table inet firewall {{ chain input {{ type filter hook input priority 0; \
           udp dport {TUNNEL_PORT} meta length > 1400 drop; }}; }}"
    ));
    assert_eq!(reach(&director, true, 1024), TunnelReach { short: true, longest: false });
    director.namespace.nft(&format!(
        "table inet firewall {{ chain input {{ type filter hook input priority 0; \
           udp dport {TUNNEL_PORT} drop; }}; }}"
    ));
    assert_eq!(reach(&director, false, 1024), SILENT, "the answer is dropped");
}
