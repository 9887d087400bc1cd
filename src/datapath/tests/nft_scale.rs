//! Thousands of flows, and what one change of them costs. Needs root and nftables.
#![expect(clippy::unwrap_used, reason = "helpers of tests panic as tests do")]

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Instant;

use egret_core::model::PortRange;
use egret_core::programme::{Flow, FlowAction, SteeringProgramme};
use egret_datapath::Settings;
use egret_datapath::nft::NftSteering;
use egret_netns::Namespace;
use egret_ports::steering::{Applied, Steering};
use ipnet::IpNet;

/// `pods` pods of each family, each with 20 destinations, over 50 addresses of each family.
fn programme(pods: u32) -> SteeringProgramme {
    let mut programme = SteeringProgramme::default();
    let block: BTreeSet<PortRange> = [PortRange::new(1024, 1151).unwrap()].into();
    for pod in 0..pods {
        for destination in 0..20_u32 {
            let four = Ipv4Addr::from_bits(0x0af4_0000 + pod);
            let egress = Ipv4Addr::from_bits(0xcb00_7100 + pod % 50);
            programme.flows.push(flow(
                IpAddr::V4(four),
                IpNet::new(Ipv4Addr::from_bits(0x6440_0000 + (destination << 8)).into(), 24),
                egress.into(),
            ));
            programme.blocks.insert(egress.into(), block.clone());
            let six = Ipv6Addr::from_bits((0xfd00_0244_u128 << 96) + u128::from(pod));
            let egress = Ipv6Addr::from_bits((0x2001_0db8_u128 << 96) + u128::from(pod % 50));
            let net = (0x2001_0db9_u128 << 96) + (u128::from(destination) << 64);
            programme.flows.push(flow(
                IpAddr::V6(six),
                IpNet::new(Ipv6Addr::from_bits(net).into(), 64),
                egress.into(),
            ));
            programme.blocks.insert(egress.into(), block.clone());
        }
    }
    programme.flows.sort();
    programme
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
    let ns = Namespace::new("scale");
    let _inside = ns.enter();
    let mut steering = NftSteering::new(Settings::default(), 1450);
    let timed = |what: &str, steering: &mut NftSteering, programme: &SteeringProgramme| {
        let began = Instant::now();
        let applied = steering.apply(programme).unwrap();
        println!("{what}: {} flows, {:?}", programme.flows.len(), began.elapsed());
        applied
    };
    for pods in [2, 100] {
        let (some, more) = (programme(pods), programme(pods + 1));
        assert_eq!(timed("whole", &mut steering, &some), Applied::Changed);
        assert_eq!(timed("one pod more", &mut steering, &more), Applied::Changed);
        assert_eq!(timed("again", &mut steering, &more), Applied::AlreadySo);
        assert_eq!(timed("one pod fewer", &mut steering, &some), Applied::Changed);
        assert!(steering.verify().unwrap());
        let mut restarted = NftSteering::new(Settings::default(), 1450);
        assert_eq!(timed("restarted", &mut restarted, &some), Applied::AlreadySo);
    }
}
