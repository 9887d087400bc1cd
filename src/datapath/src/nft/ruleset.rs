//! From a steering config to the table that carries it out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::{AddressRange, Family, PortRange};
use egret_core::node_config::{FlowAction, SteeringConfig};
use egret_ports::steering::SteeringDrop;
use sha2::{Digest, Sha256};

use super::flows::{self, FlowPair, MixedFamilies, widened};
use super::rules::{
    self, IPV4_WAY, IPV6_WAY, NO_ADDRESS, NO_BLOCK, NO_FAMILY, NO_RANGE, TunnelEntry,
};
use super::table::{
    Chain, ElementKey, Elements, KeyShape, NftRule, NftTable, Set, Verdict, merged,
};
use crate::constants::HostSettings;

/// Begins the names of the chains that depend on the steering config.
const SNAT: &str = "snat-";

/// Begins the name of the empty chain that says which version of the fixed chains this is: two
/// tables of one layout differ in nothing but elements and SNAT chains.
pub(super) const LAYOUT: &str = "layout-";

/// The table that carries out `config` over a tunnel with this entry.
pub(crate) fn table(
    settings: &HostSettings,
    entry: TunnelEntry,
    config: &SteeringConfig,
) -> Result<NftTable, MixedFamilies> {
    let mut table = NftTable {
        name: settings.nft_table.clone(),
        chains: rules::chains(settings, entry),
        counters: SteeringDrop::ALL.iter().map(|drop| rules::counter(*drop)).collect(),
        sets: BTreeMap::new(),
    };
    for way in [IPV4_WAY, IPV6_WAY] {
        table.counters.insert(way.selected, "first packets of selected connections");
        table.counters.insert(way.entered, "first packets into the tunnel");
        table.counters.insert(way.returned, "packets from the tunnel to pods");
    }
    for family in [Family::IPv4, Family::IPv6] {
        table.sets.extend(sets(family, config)?);
    }
    // Of the empty sets and the fixed chains alone.
    let layout = digest(&fixed(&table).render());
    table.chains.insert(format!("{LAYOUT}{layout}"), Chain::default());
    for (address, blocks) in &config.blocks {
        snat(*address, blocks, &mut table.chains);
    }
    Ok(table)
}

/// Whether a chain is one of those that depend on the steering config.
pub(crate) fn is_snat(chain: &str) -> bool {
    chain.starts_with(SNAT)
}

fn fixed(table: &NftTable) -> NftTable {
    let mut fixed = table.clone();
    for set in fixed.sets.values_mut() {
        set.elements.clear();
    }
    fixed
}

fn sets(
    family: Family,
    config: &SteeringConfig,
) -> Result<Vec<(&'static str, Set)>, MixedFamilies> {
    let never = flows::never(family, config);
    let peers = config.peers.iter().filter(|peer| Family::of(**peer) == family);
    let peers = peers.filter_map(|peer| AddressRange::new(*peer, *peer));
    let pairs = flows::pairs(family, config)?;
    let any = pairs.iter().map(|pair| FlowPair {
        source: pair.source,
        destination: pair.destination,
        action: (),
    });
    let selected = widened(any, &never)
        .into_iter()
        .map(|pair| (ElementKey(pair.source, Some(pair.destination)), None))
        .collect();
    let (policy, refused) = verdicts(config, pairs, &never);
    let single = |ranges: Vec<AddressRange>| -> Elements {
        ranges.into_iter().map(|range| (ElementKey(range, None), None)).collect()
    };
    let unknown = &config.unknown;
    let of = |ranges: &BTreeSet<AddressRange>| -> Vec<AddressRange> {
        merged(ranges.iter().filter(|range| range.family() == family).copied().collect())
    };
    let egress = config.blocks.keys().filter(|address| Family::of(**address) == family);
    let egress = egress.filter_map(|address| AddressRange::new(*address, *address));
    let set = |shape, comment, elements| Set { family, shape, comment, elements };
    let names = match family {
        Family::IPv4 => [
            "never4",
            "peers4",
            "selected4",
            "policy4",
            "refused4",
            "unknown4",
            "claimed4",
            "egress4",
        ],
        Family::IPv6 => [
            "never6",
            "peers6",
            "selected6",
            "policy6",
            "refused6",
            "unknown6",
            "claimed6",
            "egress6",
        ],
    };
    Ok(names
        .into_iter()
        .zip([
            set(KeyShape::Ranges, "destinations that are never steered", single(never)),
            set(KeyShape::Addresses, "underlay addresses of the nodes", single(peers.collect())),
            set(KeyShape::Pairs, "pod . destination of every flow", selected),
            set(KeyShape::Verdicts, "flows that have ports to leave with", policy),
            set(KeyShape::Verdicts, "flows that have not", refused),
            set(KeyShape::Ranges, "pod addresses of no known pod", single(of(&unknown.sources))),
            set(KeyShape::Ranges, "what any claim selects", single(of(&unknown.destinations))),
            set(KeyShape::Addresses, "addresses with blocks here", single(egress.collect())),
        ])
        .collect())
}

/// What becomes of each flow: what has ports to leave with, and what has not.
fn verdicts(
    config: &SteeringConfig,
    pairs: Vec<FlowPair<FlowAction>>,
    never: &[AddressRange],
) -> (Elements, Elements) {
    let mut policy = Elements::new();
    let mut refused = Elements::new();
    for pair in widened(pairs.into_iter(), never) {
        let key = ElementKey(pair.source, Some(pair.destination));
        match pair.action {
            FlowAction::Steer { address } if has_block(config, address) => {
                policy.insert(key, Some(Verdict::Jump(address_chain(address))));
            }
            FlowAction::Steer { .. } => goto(&mut refused, key, NO_BLOCK),
            FlowAction::DropFamilyWithoutAddress => goto(&mut refused, key, NO_FAMILY),
            FlowAction::DropNoAddress => goto(&mut refused, key, NO_ADDRESS),
            FlowAction::DropUnknownRange => goto(&mut refused, key, NO_RANGE),
        }
    }
    (policy, refused)
}

fn goto(elements: &mut Elements, key: ElementKey, chain: &str) {
    elements.insert(key, Some(Verdict::Goto(chain.to_owned())));
}

fn has_block(config: &SteeringConfig, address: IpAddr) -> bool {
    config.blocks.get(&address).is_some_and(|blocks| !blocks.is_empty())
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

fn draw_rules(draw: String, shown: &[String]) -> Vec<NftRule> {
    let mut comment = format!("{} blocks: {}", shown.len(), shown.join(" "));
    if comment.len() > 120 {
        // nft takes 128 bytes; the digest keeps another choice of blocks another comment.
        comment = format!("{} blocks, digest {}", shown.len(), digest(&comment));
    }
    vec![NftRule::new(draw, comment)]
}

fn snat_rule(address: IpAddr, block: PortRange) -> NftRule {
    let (family, icmp, to) = match address {
        IpAddr::V4(address) => ("ip", "icmp", address.to_string()),
        IpAddr::V6(address) => ("ip6", "ipv6-icmp", format!("[{address}]")),
    };
    let (first, last) = (block.first(), block.last());
    NftRule::new(
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
