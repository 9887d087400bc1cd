//! The table as the kernel has it, read from `nft -j list table`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::model::AddressRange;
use ipnet::IpNet;
use serde_json::Value;

use super::table::{ElementKey, Elements, Hook, KeyShape, NftTable, Verdict, merged};

/// What is there of a table, in the terms in which two tables are compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObservedTable {
    pub(crate) counters: BTreeSet<String>,
    pub(crate) sets: BTreeMap<String, Elements>,
    pub(crate) chains: BTreeMap<String, ObservedChain>,
}

/// A chain as it is compared: its hook, and the comments of its rules in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ObservedChain {
    pub(crate) hook: Option<Hook>,
    pub(crate) rules: Vec<String>,
}

/// A table read back, with what the rules say in nft's own words: comparable only to a reading of
/// the same table by the same nft.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Reading {
    pub(crate) observed: ObservedTable,
    pub(crate) expressions: BTreeMap<String, Vec<Value>>,
    pub(crate) packets: BTreeMap<String, u64>,
}

impl ObservedTable {
    /// What a table must look like when it is read back.
    pub(crate) fn of(table: &NftTable) -> Self {
        let chain = |chain: &super::table::Chain| ObservedChain {
            hook: chain.hook.clone(),
            rules: chain.rules.iter().map(|rule| rule.comment.clone()).collect(),
        };
        Self {
            counters: table.counters.keys().map(|name| (*name).to_owned()).collect(),
            sets: table
                .sets
                .iter()
                .map(|(name, set)| ((*name).to_owned(), set.elements.clone()))
                .collect(),
            chains: table.chains.iter().map(|(name, c)| (name.clone(), chain(c))).collect(),
        }
    }
}

/// Reads a listing; `None` where it has something that this code did not write, such as an element
/// that is no address: the table then differs, whatever was meant.
pub(crate) fn read(listing: &Value, table: &NftTable) -> Option<Reading> {
    let mut reading = Reading::default();
    for object in listing["nftables"].as_array()? {
        let (kind, body) = object.as_object()?.iter().next()?;
        let name = || body["name"].as_str().map(str::to_owned);
        match kind.as_str() {
            "counter" => {
                reading.packets.insert(name()?, body["packets"].as_u64()?);
                reading.observed.counters.insert(name()?);
            }
            "set" | "map" => {
                let name = name()?;
                let ranges =
                    table.sets.get(name.as_str()).is_some_and(|set| set.shape == KeyShape::Ranges);
                let elements = elements(&body["elem"])?;
                let elements = if ranges { normal(&elements) } else { elements };
                reading.observed.sets.insert(name, elements);
            }
            "chain" => {
                reading.observed.chains.entry(name()?).or_default().hook = hook(body);
            }
            "rule" => {
                let chain = body["chain"].as_str()?;
                let comment = body["comment"].as_str().unwrap_or_default().to_owned();
                let observed = reading.observed.chains.entry(chain.to_owned()).or_default();
                observed.rules.push(comment);
                reading.expressions.entry(chain.to_owned()).or_default().push(body["expr"].clone());
            }
            _ => {}
        }
    }
    Some(reading)
}

fn hook(chain: &Value) -> Option<Hook> {
    // A changed policy would show as another kind of chain.
    let kind = chain["type"].as_str()?;
    let policy = chain["policy"].as_str().unwrap_or("accept");
    let kind = if policy == "accept" { kind.to_owned() } else { format!("{kind}, {policy}") };
    let hook = chain["hook"].as_str()?.to_owned();
    Some(Hook { kind, hook, priority: chain["prio"].as_i64()? })
}

fn elements(value: &Value) -> Option<Elements> {
    let Some(elements) = value.as_array() else { return Some(Elements::new()) };
    elements
        .iter()
        .map(|element| match element.as_array().map(Vec::as_slice) {
            Some([key_value, verdict_value]) => {
                Some((key(key_value)?, Some(verdict(verdict_value)?)))
            }
            _ => Some((key(element)?, None)),
        })
        .collect()
}

fn verdict(value: &Value) -> Option<Verdict> {
    let target = |key: &str| value[key]["target"].as_str().map(str::to_owned);
    target("jump").map(Verdict::Jump).or_else(|| target("goto").map(Verdict::Goto))
}

fn key(value: &Value) -> Option<ElementKey> {
    match value.get("concat").and_then(Value::as_array).map(Vec::as_slice) {
        Some([one, two]) => Some(ElementKey(range(one)?, Some(range(two)?))),
        Some(_) => None,
        None => Some(ElementKey(range(value)?, None)),
    }
}

fn range(value: &Value) -> Option<AddressRange> {
    let address = |value: &Value| value.as_str()?.parse::<IpAddr>().ok();
    if let Some([first, last]) = value.get("range").and_then(Value::as_array).map(Vec::as_slice) {
        return AddressRange::new(address(first)?, address(last)?);
    }
    if let Some(prefix) = value.get("prefix") {
        let length = u8::try_from(prefix["len"].as_u64()?).ok()?;
        let net = IpNet::new(address(&prefix["addr"])?, length).ok()?;
        return AddressRange::new(net.network(), net.broadcast());
    }
    let address = address(value)?;
    AddressRange::new(address, address)
}

/// The kernel may keep what touches apart or not: both mean the same.
fn normal(elements: &Elements) -> Elements {
    let ranges = elements.keys().map(|key| key.0).collect();
    merged(ranges).into_iter().map(|range| (ElementKey(range, None), None)).collect()
}
