//! From a steering programme to the table that carries it out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::{AddressRange, Family, PortRange};
use egret_core::programme::{FlowAction, SteeringProgramme};
use egret_ports::steering::SteeringDrop;
use sha2::{Digest, Sha256};

use super::flows::{self, MixedFamilies, Pair, widened};
use super::rules::{self, NO_ADDRESS, NO_BLOCK, NO_FAMILY, NO_RANGE, SELECTED};
use super::table::{Chain, Elements, Key, Rule, Set, Shape, Table, Verdict, merged};
use crate::constants::Settings;

/// Begins the names of the chains that depend on the programme.
const SNAT: &str = "snat-";

/// Begins the name of the empty chain that says which version of the fixed chains this is: two
/// tables of one layout differ in nothing but elements and SNAT chains.
pub(crate) const LAYOUT: &str = "layout-";

/// The table that carries out `programme` over a tunnel of this MTU.
pub(crate) fn table(
    settings: &Settings,
    mtu: u32,
    programme: &SteeringProgramme,
) -> Result<Table, MixedFamilies> {
    let mut table = Table {
        name: settings.nft_table.clone(),
        chains: rules::chains(settings, mtu),
        counters: SteeringDrop::ALL.iter().map(|drop| rules::counter(*drop)).collect(),
        sets: BTreeMap::new(),
    };
    table.counters.insert(SELECTED, "first packets of selected connections");
    for family in [Family::IPv4, Family::IPv6] {
        table.sets.extend(sets(family, programme)?);
    }
    // Of the empty sets and the fixed chains alone.
    let layout = digest(&fixed(&table).render());
    table.chains.insert(format!("{LAYOUT}{layout}"), Chain::default());
    for (address, blocks) in &programme.blocks {
        snat(*address, blocks, &mut table.chains);
    }
    Ok(table)
}

/// Whether a chain is one of those that depend on the programme.
pub(crate) fn is_snat(chain: &str) -> bool {
    chain.starts_with(SNAT)
}

fn fixed(table: &Table) -> Table {
    let mut fixed = table.clone();
    for set in fixed.sets.values_mut() {
        set.elements.clear();
    }
    fixed
}

fn sets(
    family: Family,
    programme: &SteeringProgramme,
) -> Result<Vec<(&'static str, Set)>, MixedFamilies> {
    let never = flows::never(family, programme);
    let peers = programme.peers.iter().filter(|peer| Family::of(**peer) == family);
    let peers = peers.filter_map(|peer| AddressRange::new(*peer, *peer));
    let pairs = flows::pairs(family, programme)?;
    let any = pairs.iter().map(|pair| Pair {
        source: pair.source,
        destination: pair.destination,
        action: (),
    });
    let selected = widened(any, &never)
        .into_iter()
        .map(|pair| (Key(pair.source, Some(pair.destination)), None))
        .collect();
    let mut policy = Elements::new();
    let mut refused = Elements::new();
    for pair in widened(pairs.into_iter(), &never) {
        let key = Key(pair.source, Some(pair.destination));
        match pair.action {
            FlowAction::Steer { address } if has_block(programme, address) => {
                policy.insert(key, Some(Verdict::Jump(address_chain(address))));
            }
            FlowAction::Steer { .. } => goto(&mut refused, key, NO_BLOCK),
            FlowAction::DropFamilyWithoutAddress => goto(&mut refused, key, NO_FAMILY),
            FlowAction::DropNoAddress => goto(&mut refused, key, NO_ADDRESS),
            FlowAction::DropUnknownRange => goto(&mut refused, key, NO_RANGE),
        }
    }
    let single = |ranges: Vec<AddressRange>| -> Elements {
        ranges.into_iter().map(|range| (Key(range, None), None)).collect()
    };
    let unknown = &programme.unknown;
    let of = |ranges: &BTreeSet<AddressRange>| -> Vec<AddressRange> {
        merged(ranges.iter().filter(|range| range.family() == family).copied().collect())
    };
    let set = |shape, comment, elements| Set { family, shape, comment, elements };
    let names = match family {
        Family::IPv4 => {
            ["never4", "peers4", "selected4", "policy4", "refused4", "unknown4", "claimed4"]
        }
        Family::IPv6 => {
            ["never6", "peers6", "selected6", "policy6", "refused6", "unknown6", "claimed6"]
        }
    };
    Ok(names
        .into_iter()
        .zip([
            set(Shape::Ranges, "destinations that are never steered", single(never)),
            set(Shape::Addresses, "underlay addresses of the nodes", single(peers.collect())),
            set(Shape::Pairs, "pod . destination of every flow", selected),
            set(Shape::Verdicts, "flows that have ports to leave with", policy),
            set(Shape::Verdicts, "flows that have not", refused),
            set(Shape::Ranges, "pod addresses of no known pod", single(of(&unknown.sources))),
            set(Shape::Ranges, "what any claim selects", single(of(&unknown.destinations))),
        ])
        .collect())
}

fn goto(elements: &mut Elements, key: Key, chain: &str) {
    elements.insert(key, Some(Verdict::Goto(chain.to_owned())));
}

fn has_block(programme: &SteeringProgramme, address: IpAddr) -> bool {
    programme.blocks.get(&address).is_some_and(|blocks| !blocks.is_empty())
}

fn address_chain(address: IpAddr) -> String {
    // ':' is not allowed in a name; '-' occurs in no address, so that names stay unique.
    format!("{SNAT}{}", address.to_string().replace(':', "-"))
}

/// The chains of one address: one block is one rule, several are drawn from at random.
///
/// `snat to A : numgen random mod 2 map { 0 : 1024-1151, … }` would be one rule, but nft 1.0.6
/// mis-parses it: hence a chain for each block and a verdict map.
fn snat(address: IpAddr, blocks: &BTreeSet<PortRange>, chains: &mut BTreeMap<String, Chain>) {
    let blocks = joined(blocks);
    let name = address_chain(address);
    match blocks.as_slice() {
        [] => {}
        [block] => {
            chains.insert(name, Chain { hook: None, rules: vec![snat_rule(address, *block)] });
        }
        several => {
            let mut slots = Vec::new();
            let mut shown = Vec::new();
            // Drawn in proportion to their size.
            let unit = several.iter().fold(0, |unit, block| gcd(unit, block.size())).max(1);
            for block in several {
                let chain = format!("{name}-{}", block.first());
                for _ in 0..block.size() / unit {
                    slots.push(format!("{} : goto {chain}", slots.len()));
                }
                shown.push(format!("{}-{}", block.first(), block.last()));
                let rules = vec![snat_rule(address, *block)];
                chains.insert(chain, Chain { hook: None, rules });
            }
            let draw = format!("numgen random mod {} vmap {{ {} }}", slots.len(), slots.join(", "));
            chains.insert(name, Chain { hook: None, rules: draw_rules(draw, &shown) });
        }
    }
}

fn draw_rules(draw: String, shown: &[String]) -> Vec<Rule> {
    let mut comment = format!("{} blocks: {}", shown.len(), shown.join(" "));
    if comment.len() > 120 {
        // nft takes 128 bytes; the digest keeps another choice of blocks another comment.
        comment = format!("{} blocks, digest {}", shown.len(), digest(&comment));
    }
    vec![Rule::new(draw, comment)]
}

fn snat_rule(address: IpAddr, block: PortRange) -> Rule {
    let (family, icmp, to) = match address {
        IpAddr::V4(address) => ("ip", "icmp", address.to_string()),
        IpAddr::V6(address) => ("ip6", "ipv6-icmp", format!("[{address}]")),
    };
    let (first, last) = (block.first(), block.last());
    Rule::new(
        // Picked at random (RFC 6056); the kernel searches the whole range up to 128 ports.
        format!(
            "meta l4proto {{ tcp, udp, sctp, {icmp} }} \
             snat {family} to {to}:{first}-{last} fully-random"
        ),
        format!("{address} ports {first}-{last}"),
    )
}

/// Adjacent blocks as one range: one search of the kernel instead of a draw between two.
fn joined(blocks: &BTreeSet<PortRange>) -> Vec<PortRange> {
    let mut joined: Vec<PortRange> = Vec::new();
    for block in blocks {
        let previous = joined.last_mut().filter(|p| p.last().checked_add(1) >= Some(block.first()));
        match previous {
            Some(previous) => {
                let last = previous.last().max(block.last());
                *previous = PortRange::new(previous.first(), last).unwrap_or(*previous);
            }
            None => joined.push(*block),
        }
    }
    joined
}

/// 48 bits of SHA-256, as hexadecimal digits.
fn digest(text: &str) -> String {
    Sha256::digest(text).iter().take(6).map(|byte| format!("{byte:02x}")).collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
