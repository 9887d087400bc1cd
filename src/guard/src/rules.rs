//! The guard as messages to nf_tables. Names and numbers are those of linux/netfilter/nf_tables.h.

use std::collections::BTreeSet;
use std::net::IpAddr;

use egret_core::cidr::{self, Span};
use egret_core::model::{AddressRange, Family};
use egret_core::node_config::BootGuard;

use crate::attributes::Attributes;
use crate::socket::NftMessage;

/// The nft table of family inet, the agent's too: whoever has loaded his first replaces the other's.
const TABLE: &str = "egret";

const NEWTABLE: u8 = 0;
const GETTABLE: u8 = 1;
const DELTABLE: u8 = 2;
const NEWCHAIN: u8 = 3;
const GETCHAIN: u8 = 4;
const NEWRULE: u8 = 6;
const NEWSET: u8 = 9;
const NEWSETELEM: u8 = 12;
const NLM_F_EXCL: u16 = 0x200;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;

/// NFTA_*_TABLE, which is the first of all of them, and a table's own name.
const OF_TABLE: u16 = 1;
const NAME: u16 = 2;
const LIST_ELEM: u16 = 1;
const DATA_VALUE: u16 = 1;
const REGISTER: u32 = 1;
const SET_INTERVAL: u32 = 4;
const INTERVAL_END: u32 = 1;

/// A list of elements is one attribute, which has 64 KiB at most.
const MOST_ELEMENTS: usize = 500;

/// The chains with their hooks (NF_INET_FORWARD, NF_INET_LOCAL_OUT: what a proxy in the kernel sends on). The agent
/// has one of the first name too; the other tells the guard from an agent's table.
const CHAINS: [(&str, u32); 2] = [("guard", 2), (OWN_CHAIN, 3)];
const OWN_CHAIN: &str = "guard-output";
const COMMENT: &str = "Egret's guard until its agent runs; egret teardown lifts it";

const NF_DROP: u32 = 0;
const NF_ACCEPT: u32 = 1;

pub(crate) fn get_table() -> NftMessage {
    NftMessage { kind: GETTABLE, flags: 0, attributes: Attributes::new().text(OF_TABLE, TABLE) }
}

pub(crate) fn delete_table() -> NftMessage {
    NftMessage { kind: DELTABLE, flags: 0, attributes: Attributes::new().text(OF_TABLE, TABLE) }
}

pub(crate) fn get_own_chain() -> NftMessage {
    let attributes = Attributes::new().text(OF_TABLE, TABLE).text(3, OWN_CHAIN);
    NftMessage { kind: GETCHAIN, flags: 0, attributes }
}

/// The whole guard.
///
/// Pods' answers to connections from elsewhere pass, as they do by the agent's rules; what conntrack does
/// not know (`invalid`, `untracked`) is dropped.
pub(crate) fn messages(guard: &BootGuard) -> Vec<NftMessage> {
    let create =
        |kind, flags, attributes| NftMessage { kind, flags: NLM_F_CREATE | flags, attributes };
    // libnftnl's userdata: type, length, text with its zero.
    let length = u8::try_from(COMMENT.len() + 1).unwrap_or(u8::MAX);
    let comment = [&[0, length], COMMENT.as_bytes(), &[0]].concat();
    let table = Attributes::new().text(OF_TABLE, TABLE).bytes(6, &comment);
    let mut all = vec![create(NEWTABLE, NLM_F_EXCL, table)];
    let sets = Sets::of(guard);
    for (id, (name, family, ranges)) in (1..).zip(&sets.0) {
        all.push(create(NEWSET, 0, set(name, *family, id)));
        for elements in elements(*family, ranges).chunks(MOST_ELEMENTS) {
            all.push(create(NEWSETELEM, 0, list(name, id, elements)));
        }
    }
    for (name, hook) in CHAINS {
        let hook = Attributes::new().number(1, hook).number(2, 0);
        let chain = Attributes::new().text(OF_TABLE, TABLE).text(3, name);
        let chain = chain.nested(4, &hook).number(5, NF_ACCEPT).text(7, "filter");
        all.push(create(NEWCHAIN, 0, chain));
    }
    for (chain, _) in CHAINS {
        for expressions in rules() {
            let rule = Attributes::new().text(OF_TABLE, TABLE).text(NAME, chain);
            all.push(create(NEWRULE, NLM_F_APPEND, rule.nested(4, &expressions)));
        }
    }
    all
}

/// Name, family, ranges; the number of each is its place.
struct Sets(Vec<(&'static str, Family, Vec<AddressRange>)>);

const SETS: [[&str; 3]; 2] = [["pods4", "claimed4", "passed4"], ["pods6", "claimed6", "passed6"]];

impl Sets {
    fn of(guard: &BootGuard) -> Self {
        let mut all = Vec::new();
        for (names, family) in SETS.into_iter().zip([Family::IPv4, Family::IPv6]) {
            let parts = [&guard.pods, &guard.claimed, &guard.passed];
            let of = |(name, ranges)| (name, family, disjoint(ranges, family));
            all.extend(names.into_iter().zip(parts).map(of));
        }
        Self(all)
    }
}

/// An interval set refuses what overlaps.
fn disjoint(ranges: &BTreeSet<AddressRange>, family: Family) -> Vec<AddressRange> {
    let of_family = ranges.iter().filter(|range| range.family() == family);
    let merged = cidr::merge(of_family.copied().map(Span::of_range).collect());
    merged.iter().filter_map(|span| AddressRange::new(span.first(), span.last())).collect()
}

fn set(name: &str, family: Family, id: u32) -> Attributes {
    // Types of nft's own, which the kernel keeps for it: ipv4_addr and ipv6_addr.
    let (kind, length) = match family {
        Family::IPv4 => (7, 4),
        Family::IPv6 => (8, 16),
    };
    let set = Attributes::new().text(OF_TABLE, TABLE).text(NAME, name).number(3, SET_INTERVAL);
    set.number(4, kind).number(5, length).number(10, id)
}

/// Where each range begins, and where it has ended.
fn elements(family: Family, ranges: &[AddressRange]) -> Vec<Attributes> {
    let element = |address: IpAddr, flags: Option<u32>| {
        let key = Attributes::new().bytes(DATA_VALUE, &octets(address));
        let element = Attributes::new().nested(1, &key);
        flags.into_iter().fold(element, |element, flags| element.number(3, flags))
    };
    let ends = |range: &AddressRange| {
        debug_assert_eq!(range.family(), family);
        let end = cidr::next(range.last()).map(|end| element(end, Some(INTERVAL_END)));
        [Some(element(range.first(), None)), end]
    };
    ranges.iter().flat_map(ends).flatten().collect()
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn list(name: &str, id: u32, elements: &[Attributes]) -> Attributes {
    let all = elements.iter().fold(Attributes::new(), |all, one| all.nested(LIST_ELEM, one));
    Attributes::new().text(OF_TABLE, TABLE).text(NAME, name).number(4, id).nested(3, &all)
}

/// The rules of one chain, each its expressions.
fn rules() -> Vec<Attributes> {
    let mut rules = vec![all(&[load_direction(), equals(&[1]), verdict(NF_ACCEPT)])];
    for (names, family) in SETS.into_iter().zip([Family::IPv4, Family::IPv6]) {
        let [pods, claimed, passed] = names;
        let (protocol, source, destination, length) = match family {
            Family::IPv4 => (2, 12, 16, 4),
            Family::IPv6 => (10, 8, 24, 16),
        };
        let from = [load_protocol(), equals(&[protocol]), load(source, length), is_in(pods)];
        let to = |set| [load(destination, length), is_in(set)];
        rules.push(all(&[&from[..], &to(passed), &[verdict(NF_ACCEPT)]].concat()));
        rules.push(all(&[&from[..], &to(claimed), &[count(), verdict(NF_DROP)]].concat()));
    }
    rules
}

fn all(expressions: &[Attributes]) -> Attributes {
    expressions.iter().fold(Attributes::new(), |all, one| all.nested(LIST_ELEM, one))
}

fn expression(name: &str, data: &Attributes) -> Attributes {
    Attributes::new().text(1, name).nested(2, data)
}

/// NFT_CT_DIRECTION; matches nothing that conntrack does not know.
fn load_direction() -> Attributes {
    expression("ct", &Attributes::new().number(1, REGISTER).number(2, 1))
}

/// NFT_META_NFPROTO.
fn load_protocol() -> Attributes {
    expression("meta", &Attributes::new().number(1, REGISTER).number(2, 15))
}

fn load(offset: u32, length: u32) -> Attributes {
    // Base 1 is the network header.
    let data = Attributes::new().number(1, REGISTER).number(2, 1);
    expression("payload", &data.number(3, offset).number(4, length))
}

fn equals(value: &[u8]) -> Attributes {
    let value = Attributes::new().bytes(DATA_VALUE, value);
    expression("cmp", &Attributes::new().number(1, REGISTER).number(2, 0).nested(3, &value))
}

fn is_in(set: &str) -> Attributes {
    expression("lookup", &Attributes::new().text(1, set).number(2, REGISTER))
}

fn count() -> Attributes {
    let zero = 0_u64.to_be_bytes();
    expression("counter", &Attributes::new().bytes(1, &zero).bytes(2, &zero))
}

fn verdict(code: u32) -> Attributes {
    // Register 0 is the verdict's.
    let code = Attributes::new().number(1, code);
    let data = Attributes::new().nested(2, &code);
    expression("immediate", &Attributes::new().number(1, 0).nested(2, &data))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard(pods: &[(&str, &str)]) -> BootGuard {
        let range = |(first, last): &(&str, &str)| {
            AddressRange::new(first.parse().unwrap(), last.parse().unwrap()).unwrap()
        };
        let all = range(&("0.0.0.0", "255.255.255.255"));
        let pods = pods.iter().map(range).collect();
        BootGuard { pods, claimed: [all].into(), ..BootGuard::default() }
    }

    #[test]
    fn the_table_is_made_or_nothing_is() {
        let messages = messages(&guard(&[("10.0.0.0", "10.0.0.255")]));
        assert_eq!(messages[0].kind, NEWTABLE);
        assert_eq!(messages[0].flags, NLM_F_CREATE | NLM_F_EXCL);
        let rules = messages.iter().filter(|message| message.kind == NEWRULE).count();
        assert_eq!(rules, 2 * 5);
        assert_eq!(messages.iter().filter(|message| message.kind == NEWSET).count(), 6);
    }

    #[test]
    fn ranges_that_touch_are_one_and_the_last_address_needs_no_end() {
        let touching = guard(&[("10.0.0.0", "10.0.0.255"), ("10.0.1.0", "10.0.1.255")]);
        let ranges = disjoint(&touching.pods, Family::IPv4);
        assert_eq!(elements(Family::IPv4, &ranges).len(), 2);
        let everything = disjoint(&touching.claimed, Family::IPv4);
        assert_eq!(elements(Family::IPv4, &everything).len(), 1);
        assert_eq!(elements(Family::IPv6, &disjoint(&touching.claimed, Family::IPv6)), []);
    }

    #[test]
    fn many_elements_are_many_messages() {
        let mut many = guard(&[]);
        for number in 0..2000_u32 {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + 2 * number);
            many.passed.insert(AddressRange::of(address.into()));
        }
        let messages = messages(&many);
        let lists = messages.iter().filter(|message| message.kind == NEWSETELEM);
        assert!(lists.clone().count() >= 8);
        assert!(lists.clone().all(|list| list.attributes.as_bytes().len() < 60_000));
    }
}
