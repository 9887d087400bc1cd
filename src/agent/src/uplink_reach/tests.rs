use super::*;
use crate::testing::uplink;
use LinkCarrier::{Down, Missing, There};
use UplinkReach::{Lost, Steady, Unsteady};
use egret_datapath::link_proof::{LinkProof, LinkQuestion, ProvedProtocol};

const HELD: &str = "203.0.113.17";
const NET: &str = "203.0.113.11/24";

fn held() -> IpAddr {
    HELD.parse().unwrap()
}

/// Looks at links from time to time.
struct Watch {
    begun: Instant,
    reaches: UplinkReaches,
}

impl Watch {
    fn new() -> Self {
        Self { begun: Instant::now(), reaches: UplinkReaches::default() }
    }

    /// So many milliseconds after the first look these are uplinks, and the kernel has these links.
    fn at(&mut self, ms: u64, uplinks: &[HostUplink], links: &[(u32, LinkCarrier)]) -> bool {
        let now = self.begun + Duration::from_millis(ms);
        self.reaches.note((uplinks, true), &links.iter().copied().collect(), now)
    }

    fn of(&self, carrying: Option<u32>) -> UplinkReach {
        self.reaches.of(carrying, held())
    }
}

/// What link 3 is taken for after each look: so many seconds after the first, and whether it has its address.
fn reaches(looks: &[(u64, LinkCarrier, bool)]) -> Vec<UplinkReach> {
    let mut watch = Watch::new();
    let look = |(at, carrier, has_address): &(u64, LinkCarrier, bool)| {
        let seen = has_address.then(|| uplink(3, &[NET]));
        watch.at(at * 1000, seen.as_slice(), &[(3, *carrier)]);
        watch.of(seen.map(|uplink| uplink.index))
    };
    looks.iter().map(look).collect()
}

#[test]
fn a_loss_counts_at_once_and_its_end_after_a_minute() {
    let looks = [(0, There), (1, Missing), (2, There), (61, There), (62, There)];
    let looks = looks.map(|(at, carrier)| (at, carrier, true));
    assert_eq!(reaches(&looks), [Steady, Lost, Unsteady, Unsteady, Steady]);
    let flaps = [(0, There), (5, Down), (6, There), (50, Missing), (51, There), (110, There)];
    let flaps = flaps.map(|(at, carrier)| (at, carrier, true));
    assert_eq!(reaches(&flaps), [Steady, Lost, Unsteady, Lost, Unsteady, Unsteady]);
    let from_the_start = [(0, Missing, true), (1, There, true)];
    assert_eq!(reaches(&from_the_start), [Lost, Unsteady]);
}

#[test]
fn an_address_that_goes_with_the_carrier_is_lost_with_it() {
    // As systemd-networkd does it, and the address comes a while after the carrier.
    let looks = [(0, There, true), (1, Missing, false), (2, There, false), (4, There, true)];
    assert_eq!(reaches(&looks), [Steady, Lost, Lost, Unsteady]);
}

#[test]
fn an_address_may_be_renewed_and_counts_when_it_does_not_come_back() {
    let renewed = [(0, There, true), (1, There, false), (2, There, true)];
    assert_eq!(reaches(&renewed), [Steady; 3]);
    let lost = [(0, There, true), (1, There, false), (3, There, false), (4, There, true)];
    assert_eq!(reaches(&lost), [Steady, Steady, Lost, Unsteady]);
    // The same with one of two subnets.
    let (both, one) = (uplink(3, &[NET, "2001:db8:5::b/64"]), uplink(3, &["2001:db8:5::b/64"]));
    let mut watch = Watch::new();
    watch.at(0, &[both], &[(3, There)]);
    for (ms, wanted) in [(1000, Steady), (2999, Steady), (3000, Lost)] {
        watch.at(ms, std::slice::from_ref(&one), &[(3, There)]);
        assert_eq!(watch.of(None), wanted, "after {ms} ms");
    }
    assert_eq!(watch.reaches.of(Some(3), "2001:db8:5::11".parse().unwrap()), Steady);
}

#[test]
fn uplinks_of_before_are_those_that_were_lost() {
    // With --uplink alone there is no other list once it has no address.
    let (mut watch, there) = (Watch::new(), [uplink(3, &[NET])]);
    watch.at(0, &there, &[(3, There)]);
    for (ms, carrier, wanted) in [(1, There, Steady), (2001, There, Lost), (2002, Missing, Lost)] {
        let now = watch.begun + Duration::from_millis(ms);
        watch.reaches.note((&there, false), &[(3, carrier)].into(), now);
        assert_eq!(watch.of(Some(3)), wanted, "after {ms} ms");
    }
    assert!(watch.reaches.absent(&there, &[held()]).is_empty(), "it is told of as before");
}

#[test]
fn only_what_the_kernel_has_no_more_and_what_moved_elsewhere_is_forgotten() {
    let mut watch = Watch::new();
    let there = uplink(3, &[NET]);
    assert!(!watch.at(0, std::slice::from_ref(&there), &[(3, There)]));
    assert_eq!(watch.reaches.links(&[]), [3].into());
    assert!(watch.at(1, &[], &[(3, Missing)]));
    assert!(!watch.at(2, &[], &[(3, Missing)]), "nothing new");
    assert!(watch.reaches.absent(&[], &[]).is_empty(), "no address needs it");
    assert_eq!(watch.reaches.absent(&[], &[held()]), std::slice::from_ref(&there));
    assert!(watch.at(3, &[], &[]), "it is gone");
    assert_eq!((watch.of(None), watch.reaches.all().count()), (Lost, 0));
    // One that is made anew again and again moves nothing each time.
    watch.at(4, &[uplink(5, &[NET])], &[(5, There)]);
    assert_eq!(watch.of(Some(5)), Unsteady);
    watch.at(60_004, &[uplink(5, &[NET])], &[(5, There)]);
    assert_eq!(watch.of(Some(5)), Steady);
    // A bridge gets the address.
    watch.at(60_005, &[uplink(7, &[NET])], &[(5, There), (7, There)]);
    assert_eq!((watch.of(Some(7)), watch.reaches.all().count()), (Steady, 1));
}

#[test]
fn a_link_in_a_larger_network_is_no_way_to_the_smaller_one() {
    let (wide, own) = (uplink(2, &["203.0.0.7/16"]), uplink(3, &[NET]));
    let mut watch = Watch::new();
    watch.at(0, &[wide.clone(), own.clone()], &[(2, There), (3, There)]);
    assert_eq!(watch.of(Some(3)), Steady);
    watch.at(1, std::slice::from_ref(&wide), &[(2, There), (3, Down)]);
    assert_eq!(watch.of(Some(2)), Lost);
    watch.at(2, &[wide, own], &[(2, Missing), (3, There)]);
    assert_eq!(watch.of(Some(3)), Unsteady);
}

#[test]
fn of_links_with_one_hardware_address_each_is_looked_at_by_itself() {
    let (parent, mut vlan) = (uplink(3, &["10.0.0.1/24"]), uplink(4, &[NET]));
    vlan.mac = parent.mac;
    let all = [parent.clone(), vlan];
    let both = [held(), "10.0.0.17".parse().unwrap()];
    let mut watch = Watch::new();
    watch.at(0, &all, &[(3, There), (4, Down)]);
    let troubles = |watch: &Watch, addresses: &[IpAddr]| -> Vec<(String, bool)> {
        let troubles = watch.reaches.troubles(addresses).into_iter();
        troubles
            .map(|(name, (mac, why))| {
                assert_eq!(mac, parent.mac);
                (name, why.is_some())
            })
            .collect()
    };
    let [own, dead] = [("eth3".to_owned(), false), ("eth4".to_owned(), true)];
    assert_eq!(troubles(&watch, &both), [own, dead.clone()]);
    assert_eq!(troubles(&watch, &both[..1]), [dead], "the other carries nothing");
    assert_eq!(troubles(&watch, &[]), []);
    watch.at(1, &all, &[(3, Missing), (4, Missing)]);
    assert!(troubles(&watch, &both).iter().all(|(_, dead)| *dead));
}

#[test]
fn what_was_needed_once_is_told_until_it_is_mended() {
    let (own, spare) = (uplink(3, &[NET]), uplink(4, &["198.51.100.11/24"]));
    let all = [own, spare];
    let mut watch = Watch::new();
    watch.at(0, &all, &[(3, Missing), (4, Missing)]);
    let cut_off = [held(), "198.51.100.17".parse().unwrap()];
    assert_eq!(watch.reaches.blame(&[], &cut_off), [], "nobody needs it");
    for in_need in [&[held()][..], &[]] {
        let told = watch.reaches.blame(in_need, &cut_off);
        assert!(told.len() == 1 && told[0].1.starts_with("eth3 has no carrier"), "{told:?}");
    }
    watch.at(1, &all, &[(3, There), (4, Missing)]);
    assert_eq!(watch.reaches.blame(&[], &cut_off[1..]), []);
    let nowhere = ["192.0.2.17".parse().unwrap()];
    let told = watch.reaches.blame(&nowhere, &nowhere);
    assert!(told[0].1.ends_with("is in the subnet of 192.0.2.17"), "{told:?}");
}

#[test]
fn a_link_without_its_first_proof_is_as_one_that_was_cut_off() {
    let (mut watch, mut proofs) = (Watch::new(), ProgramProofs::default());
    let link = [uplink(3, &[NET])];
    watch.at(0, &link, &[(3, There)]);
    watch.reaches.note_proofs(&proofs);
    assert_eq!(watch.of(Some(3)), Unsteady);
    assert!(watch.reaches.troubles(&[held()]).values().all(|(_, why)| why.is_none()));
    watch.at(1, &link, &[(3, There)]);
    proofs.note(3, ProvedProtocol::Arp, LinkProof::Unanswered);
    watch.reaches.note_proofs(&proofs);
    assert!(watch.at(2, &link, &[(3, There)]), "it has changed");
    assert_eq!(watch.of(Some(3)), Steady, "at once");
    assert!(!watch.at(3, &link, &[(3, There)]), "nothing new");
    proofs.note(3, ProvedProtocol::Ipv4, LinkProof::IngressPassedBy);
    proofs.note(3, ProvedProtocol::Ipv4, LinkProof::IngressPassedBy);
    watch.reaches.note_proofs(&proofs);
    watch.at(4, &link, &[(3, There)]);
    assert_eq!(watch.of(Some(3)), Lost);
}

#[test]
fn a_silent_router_loses_the_addresses_of_its_family_alone() {
    let (mut watch, mut routers) = (Watch::new(), RouterWatch::default());
    let link = uplink(3, &[NET, "2001:db8:5::b/64"]);
    let six: IpAddr = "2001:db8:5::11".parse().unwrap();
    watch.at(0, std::slice::from_ref(&link), &[(3, There)]);
    let router = |answered| {
        let address = |last| IpAddr::from([203, 0, 113, last]);
        let question =
            LinkQuestion { link: 3, mac: link.mac, own: address(11), neighbour: address(1) };
        [(question, answered)]
    };
    routers.note(&router(true), watch.begun);
    watch.reaches.note_routers(&routers, watch.begun);
    watch.at(1, std::slice::from_ref(&link), &[(3, There)]);
    assert_eq!(watch.of(Some(3)), Steady);
    for _ in 0..7 {
        routers.note(&router(false), watch.begun);
    }
    assert!(watch.reaches.note_routers(&routers, watch.begun));
    assert!(watch.at(2, std::slice::from_ref(&link), &[(3, There)]), "it has changed");
    assert_eq!((watch.of(Some(3)), watch.reaches.of(Some(3), six)), (Lost, Steady));
    let told = watch.reaches.blame(&[held()], &[held()]);
    let [(AgentReason::RouterSilent, why)] = told.as_slice() else { panic!("{told:?}") };
    assert!(why.contains("203.0.113.1") && why.contains("eth3"), "{why}");
    assert!(watch.reaches.troubles(&[held(), six]).values().all(|(_, why)| why.is_some()));
    assert!(
        watch.reaches.troubles(&[six]).values().all(|(_, why)| why.is_none()),
        "the other family's"
    );
    assert!(!watch.at(3, &[link], &[(3, There)]), "nothing new");
}
