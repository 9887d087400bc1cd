//! Thousands of flows, and what one change of them costs. Needs root and nftables.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use egret_core::model::PortRange;
use egret_core::node_config::{Flow, FlowAction, SteeringConfig};
use egret_datapath::HostSettings;
use egret_datapath::nft::NftSteering;
use egret_netns::NetworkNamespace;
use egret_ports::steering::{Applied, Steering};
use ipnet::IpNet;

/// `pods` pods of each family, each with 20 destinations, over 50 addresses of each family.
fn config(pods: u32) -> SteeringConfig {
    let mut config = SteeringConfig::default();
    let block: BTreeSet<PortRange> = [PortRange::new(1024, 1151).unwrap()].into();
    for pod in 0..pods {
        for destination in 0..20_u32 {
            let four = Ipv4Addr::from_bits(0x0af4_0000 + pod);
            let egress = Ipv4Addr::from_bits(0xcb00_7100 + pod % 50);
            config.flows.push(flow(
                IpAddr::V4(four),
                IpNet::new(Ipv4Addr::from_bits(0x6440_0000 + (destination << 9)).into(), 24),
                egress.into(),
            ));
            config.blocks.insert(egress.into(), block.clone());
            let six = Ipv6Addr::from_bits((0xfd00_0244_u128 << 96) + u128::from(pod));
            let egress = Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) + u128::from(pod % 50));
            let net = (0x2001_0db9_u128 << 96) + (u128::from(destination) << 65);
            config.flows.push(flow(
                IpAddr::V6(six),
                IpNet::new(Ipv6Addr::from_bits(net).into(), 64),
                egress.into(),
            ));
            config.blocks.insert(egress.into(), block.clone());
        }
    }
    config.flows.sort();
    config
}

fn flow(
    source: IpAddr,
    destination: Result<IpNet, ipnet::PrefixLenError>,
    address: IpAddr,
) -> Flow {
    let action = FlowAction::Steer { address };
    Flow { source: source.into(), destination: destination.unwrap(), action }
}

#[test]
fn a_pod_more_among_thousands_of_flows_is_a_small_change() {
    let ns = NetworkNamespace::new("scale");
    let _inside = ns.enter();
    let mut steering = NftSteering::new(HostSettings::default(), 1450);
    let timed = |what: &str, steering: &mut NftSteering, config: &SteeringConfig| {
        let began = Instant::now();
        let applied = steering.apply(config).unwrap();
        println!("{what}: {} flows, {:?}", config.flows.len(), began.elapsed());
        applied
    };
    for pods in [2, 100] {
        let (some, more) = (config(pods), config(pods + 1));
        assert_eq!(timed("whole", &mut steering, &some), Applied::Changed);
        assert_eq!(timed("one pod more", &mut steering, &more), Applied::Changed);
        assert_eq!(timed("again", &mut steering, &more), Applied::AlreadySo);
        assert_eq!(timed("one pod fewer", &mut steering, &some), Applied::Changed);
        assert!(steering.verify(&some).unwrap());
        let mut restarted = NftSteering::new(HostSettings::default(), 1450);
        assert_eq!(timed("restarted", &mut restarted, &some), Applied::AlreadySo);
    }
}

/// A default destination: everything but what is never steered, as the steering config cuts it.
#[test]
fn the_pieces_of_a_default_destination_cost_one_element() {
    let ns = NetworkNamespace::new("scale");
    let _inside = ns.enter();
    let never: BTreeSet<IpNet> = (0..200_u32)
        .map(|n| IpNet::from(IpAddr::from((0xc000_0200 + 2 * n).to_be_bytes())))
        .collect();
    let mut pieces: Vec<IpNet> = vec!["0.0.0.0/0".parse().unwrap()];
    for hole in &never {
        pieces = pieces.iter().flat_map(|piece| without(*piece, *hole)).collect();
    }
    let mut config = SteeringConfig { never_steered: never, ..Default::default() };
    for pod in 0..100_u32 {
        let source = IpAddr::from((0x0af4_0000 + pod).to_be_bytes());
        let flows = pieces.iter().map(|piece| Flow {
            source: source.into(),
            destination: *piece,
            action: FlowAction::DropNoAddress,
        });
        config.flows.extend(flows);
    }
    let began = Instant::now();
    let mut steering = NftSteering::new(HostSettings::default(), 1450);
    assert_eq!(steering.apply(&config).unwrap(), Applied::Changed);
    println!("{} flows in {:?}", config.flows.len(), began.elapsed());
    let listed = ns.run("nft list set inet egret selected4");
    assert_eq!(listed.matches("10.244.0.").count(), 100, "one for each pod");
}

fn without(net: IpNet, hole: IpNet) -> Vec<IpNet> {
    if !net.contains(&hole) {
        return vec![net];
    }
    if net == hole {
        return Vec::new();
    }
    let halves = net.subnets(net.prefix_len() + 1).unwrap();
    halves.flat_map(|half| without(half, hole)).collect()
}
