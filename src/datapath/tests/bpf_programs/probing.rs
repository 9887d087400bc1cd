//! Questions through the tunnel, and their answers.

use std::time::Duration;

use std::net::IpAddr;

use egret_datapath::tunnel_probe::{StandbyQuestion, TunnelProbe, TunnelQuestion, TunnelReach};
use egret_ports::gateway::{AddressEntry, AddressMap as _, AddressState};
use etherparse::PacketBuilder;

use super::net::{Net, Node, TUNNEL_PORT, Underlay, egress};
use super::packets::Port;

const REACHED: TunnelReach = TunnelReach { short: true, longest: true, segments: Some(true) };
const SILENT: TunnelReach = TunnelReach { short: false, longest: false, segments: None };

/// What the director finds out about the holder of an address, with a port.
fn reach(director: &Node, v4: bool, port: u16) -> TunnelReach {
    let _inside = director.namespace.enter();
    let question = TunnelQuestion { address: egress(v4), port };
    probe(director).ask(&[question]).unwrap().0[0]
}

fn probe(director: &Node) -> TunnelProbe {
    TunnelProbe::new(director.config.pin_dir.clone(), "egret0".to_owned())
}

/// Whether these answer the director as standbys, asked at once.
fn standbys(director: &Node, v4: bool, port: u16, standbys: &[IpAddr]) -> Vec<bool> {
    let _inside = director.namespace.enter();
    let question = TunnelQuestion { address: egress(v4), port };
    let ask = |standby: &IpAddr| StandbyQuestion { question: question.clone(), standby: *standby };
    let questions: Vec<_> = standbys.iter().map(ask).collect();
    probe(director).ask_standbys(&questions).unwrap()
}

#[test]
fn a_holder_answers_short_and_long_questions_of_both_families() {
    for underlay in [Underlay::V4, Underlay::V6] {
        let net = Net::new(underlay);
        let (mut gateway, mut director) = net.gateway_and_director();
        for v4 in [true, false] {
            assert_eq!(reach(&director, v4, 1024), REACHED, "{underlay:?}, IPv4: {v4}");
        }
        assert!(
            gateway.count("probe_answered") >= 6,
            "two of each family, and segments, joined or not"
        );
        assert_eq!(gateway.count("to_world") + director.count("to_pod"), 0);
    }
}

/// A card that breaks what it should cut: the cables here carry long packets whole.
#[test]
fn segments_that_are_lost_are_told_apart_from_long_packets() {
    for underlay in [Underlay::V4, Underlay::V6] {
        let net = Net::new(underlay);
        let (gateway, director) = net.gateway_and_director();
        let broken = TunnelReach { segments: Some(false), ..REACHED };
        gateway.namespace.nft(&format!(
            "table inet card {{ chain input {{ type filter hook input priority 0; \
               udp dport {TUNNEL_PORT} meta length > 1500 drop; }}; }}"
        ));
        for v4 in [true, false] {
            assert_eq!(reach(&director, v4, 1024), broken, "{underlay:?}, IPv4: {v4}");
        }
        gateway.namespace.run("nft delete table inet card");
        // Cut by the kernel: each arrives by itself.
        director
            .namespace
            .run("ethtool -K up0 tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off");
        for v4 in [true, false] {
            assert_eq!(reach(&director, v4, 1024), REACHED, "{underlay:?}, IPv4: {v4}");
        }
    }
}

/// What a holder sends is cut by its own card.
#[test]
fn segments_that_are_lost_on_the_way_back_are_found_too() {
    for underlay in [Underlay::V4, Underlay::V6] {
        let net = Net::new(underlay);
        let (gateway, director) = net.gateway_and_director();
        let broken = TunnelReach { segments: Some(false), ..REACHED };
        director.namespace.nft(&format!(
            "table inet card {{ chain input {{ type filter hook input priority 0; \
               udp dport {TUNNEL_PORT} meta length > 1500 drop; }}; }}"
        ));
        for v4 in [true, false] {
            assert_eq!(reach(&director, v4, 1024), broken, "{underlay:?}, IPv4: {v4}");
        }
        // Cut by the kernel: each answer arrives by itself.
        gateway
            .namespace
            .run("ethtool -K up0 tx-udp_tnl-segmentation off tx-udp_tnl-csum-segmentation off");
        for v4 in [true, false] {
            assert_eq!(reach(&director, v4, 1024), REACHED, "{underlay:?}, IPv4: {v4}");
        }
    }
}

/// A pod may write into TCP what it likes, but its node gives it a port.
#[test]
fn what_a_pod_can_send_is_no_question() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = net.gateway_and_director();
    assert_eq!(reach(&director, true, 1024), REACHED);
    let answered = gateway.count("probe_answered");
    let forged = |port: u16| {
        let address = [192, 0, 2, 200];
        let builder = PacketBuilder::ethernet2([0; 6], [0; 6]).ipv4(address, address, 64);
        let mut payload = 0x4567_5072_u32.to_be_bytes().to_vec();
        payload.extend([1, 0, 4, 0, 1, 2, 3, 4, 5, 6, 7, 8]);
        let mut frame = Vec::new();
        builder.tcp(port, 0, 1, 1000).ack(1).write(&mut frame, &payload).unwrap();
        frame
    };
    let tunnel = Port::of(&director.namespace, "egret0", egress(true));
    tunnel.send(&forged(1024));
    gateway.await_count("destination_is_here", 1);
    assert_eq!(gateway.count("probe_answered"), answered);
    tunnel.send(&forged(0));
    gateway.await_count("probe_answered", answered + 1);
}

#[test]
fn who_does_not_hold_the_address_and_whose_port_is_anothers_gets_no_answer() {
    let net = Net::new(Underlay::V4);
    let (mut gateway, director) = net.gateway_and_director();
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

/// Whoever holds the address: whether the way to a standby is open both ways is known before it is needed.
#[test]
fn a_standby_answers_who_has_ports_of_the_address() {
    for underlay in [Underlay::V4, Underlay::V6] {
        let net = Net::new(underlay);
        let (mut gateway, director) = net.gateway_and_director();
        let other = net.node("other", 13);
        let entry = gateway.entry(AddressState::Standby, &other, Duration::ZERO);
        for v4 in [true, false] {
            let ask = |port, nodes: &[IpAddr]| standbys(&director, v4, port, nodes);
            gateway.addresses.put(egress(v4), &entry).unwrap();
            assert_eq!(ask(1024, &[gateway.endpoint]), [true], "{underlay:?}, IPv4: {v4}");
            assert_eq!(reach(&director, v4, 1024), SILENT, "it does not hold the address");
            assert_eq!(ask(1024, &[other.endpoint, gateway.endpoint]), [false, true]);
            assert_eq!(ask(1152, &[gateway.endpoint]), [false], "a port of nobody");
        }
        gateway.namespace.nft(&format!(
            "table inet card {{ chain input {{ type filter hook input priority 0; \
               udp dport {TUNNEL_PORT} meta length > 1400 drop; }}; }}"
        ));
        let asked = standbys(&director, true, 1024, &[gateway.endpoint]);
        assert_eq!(asked, [false], "long packets are lost");
    }
}

#[test]
fn a_closed_port_and_a_way_that_takes_less_are_told_apart() {
    let net = Net::new(Underlay::V4);
    let (gateway, director) = net.gateway_and_director();
    gateway.namespace.nft(&format!(
        "table inet firewall {{ chain input {{ type filter hook input priority 0; \
           udp dport {TUNNEL_PORT} meta length > 1400 drop; }}; }}"
    ));
    assert_eq!(
        reach(&director, true, 1024),
        TunnelReach { longest: false, segments: Some(false), ..REACHED }
    );
    director.namespace.nft(&format!(
        "table inet firewall {{ chain input {{ type filter hook input priority 0; \
           udp dport {TUNNEL_PORT} drop; }}; }}"
    ));
    assert_eq!(reach(&director, false, 1024), SILENT, "the answer is dropped");
}
