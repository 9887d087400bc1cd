//! Marks in the nft rule set.

use egret_ports::error::PortError;
use egret_ports::steering::Collision;
use serde_json::Value;

use super::findings::HostFindings;
use super::iptables::is_about_our_packets;
use crate::constants::HostSettings;
use crate::nft_tool;
use crate::packet_mark::MarkMatch;

/// Adds rules of other tables that use our bit of the connection's mark, and what packets' marks are matched with.
pub(super) fn marks(settings: &HostSettings, found: &mut HostFindings) -> Result<(), PortError> {
    let listing = nft_tool::list(&["-t", "list", "ruleset"], "read the nft rule set")?;
    read(&listing, settings, found);
    Ok(())
}

fn read(listing: &Value, settings: &HostSettings, found: &mut HostFindings) {
    let objects = listing["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let rules = objects.iter().filter_map(|object| object.get("rule"));
    for rule in rules
        .filter(|rule| rule["family"] != "inet" || rule["table"] != settings.nft_table.as_str())
    {
        let name = |key: &str| rule[key].as_str().unwrap_or("?").to_owned();
        let who =
            format!("nft table {} {}, chain {}", name("family"), name("table"), name("chain"));
        let expressions = rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
        let matches: Vec<MarkMatch> =
            expressions.iter().flat_map(|expression| packet_marks(expression, &who)).collect();
        let uses = |expression| connection_bits(expression) & settings.mark != 0;
        if is_about_our_packets(&matches) && expressions.iter().any(uses) {
            found.collisions.insert(Collision {
                what: format!("the connection mark's bit {:#x}", settings.mark),
                who,
                setting: "mark",
            });
        }
        found.marks.extend(matches);
    }
}

/// What an expression matches packets' marks with; empty where it does not, or in a way that is not read here
/// (orders, named sets).
fn packet_marks(expression: &Value, who: &str) -> Vec<MarkMatch> {
    let matched = &expression["match"];
    let map = &expression["vmap"];
    let (left, right, inverted) = if map.is_object() {
        (&map["key"], &map["data"], false)
    } else {
        (&matched["left"], &matched["right"], matched["op"] == "!=")
    };
    if !map.is_object() && !["==", "in", "!="].iter().any(|op| matched["op"] == *op) {
        return Vec::new();
    }
    let mask = if is_mark(left, "meta") {
        u32::MAX
    } else {
        match left["&"].as_array().map(Vec::as_slice) {
            Some([mark, mask]) if is_mark(mark, "meta") => number(mask).unwrap_or(u32::MAX),
            _ => return Vec::new(),
        }
    };
    let wanted = values(right);
    // What is in no set of several is seldom nobody's: only one value is read so.
    if inverted && wanted.len() > 1 {
        return Vec::new();
    }
    wanted
        .into_iter()
        .map(|(want, bits)| MarkMatch {
            want: want & bits,
            mask: mask & bits,
            inverted,
            before: false,
            who: who.to_owned(),
        })
        .collect()
}

/// Values with the bits of them that count: numbers, sets of them, keys of maps, and ranges.
fn values(value: &Value) -> Vec<(u32, u32)> {
    if let Some(one) = number(value) {
        return vec![(one, u32::MAX)];
    }
    if let Some([first, last]) = value["range"].as_array().map(Vec::as_slice) {
        let ends = (number(first), number(last));
        return if let (Some(first), Some(last)) = ends { blocks(first, last) } else { Vec::new() };
    }
    let elements = value["set"].as_array().map(Vec::as_slice).unwrap_or_default();
    let key = |element: &Value| match element.as_array().map(Vec::as_slice) {
        Some([key, _]) => values(key),
        _ => values(element),
    };
    elements.iter().flat_map(key).collect()
}

/// A range as the fewest blocks of values that have their upper bits in common.
fn blocks(first: u32, last: u32) -> Vec<(u32, u32)> {
    let mut blocks = Vec::new();
    let mut next = u64::from(first);
    while let Ok(start) = u32::try_from(next)
        && start <= last
    {
        let fits = |bits: &u32| {
            let size = 1_u64 << bits;
            next % size == 0 && next + size - 1 <= u64::from(last)
        };
        let bits = (0..=32).rev().find(fits).unwrap_or(0);
        blocks.push((start, u32::MAX.checked_shl(bits).unwrap_or(0)));
        next += 1 << bits;
    }
    blocks
}

/// Bits of the connection's mark that an expression matches by name, or writes.
///
/// A rule that compares or overwrites all 32 bits with a value without our bit is no user. What copies it to a
/// packet does not touch it.
fn connection_bits(expression: &Value) -> u32 {
    if let Some(mangle) = expression.get("mangle") {
        return if is_mark(&mangle["key"], "ct") { written(&mangle["value"]) } else { 0 };
    }
    if let Some(matched) = expression.get("match")
        && is_mark(&matched["left"], "ct")
    {
        return numbers(&matched["right"]);
    }
    masks(expression)
}

fn written(value: &Value) -> u32 {
    if is_mark(value, "meta") {
        return u32::MAX;
    }
    if let Some(number) = number(value) {
        return number;
    }
    let operands = |key: &str| value.get(key).and_then(Value::as_array);
    if let Some([left, right]) = operands("&").map(Vec::as_slice) {
        let kept = number(right).unwrap_or(u32::MAX);
        if is_mark(left, "meta") {
            return kept;
        }
        let cleared = if kept == 0 { 0 } else { !kept };
        return cleared | if is_mark(left, "ct") { 0 } else { written(left) };
    }
    for key in ["|", "^"] {
        if let Some([left, right]) = operands(key).map(Vec::as_slice) {
            let others = [left, right].into_iter().filter(|value| !is_mark(value, "ct"));
            return others.fold(0, |bits, value| bits | written(value));
        }
    }
    0
}

/// All masks that a connection's mark is read with, anywhere in `value`.
fn masks(value: &Value) -> u32 {
    match value {
        Value::Object(fields) => {
            let own = match fields.get("&").and_then(Value::as_array).map(Vec::as_slice) {
                Some([left, right]) if is_mark(left, "ct") => match number(right) {
                    Some(u32::MAX) | None => 0,
                    Some(mask) => mask,
                },
                _ => 0,
            };
            fields.values().fold(own, |bits, value| bits | masks(value))
        }
        Value::Array(values) => values.iter().fold(0, |bits, value| bits | masks(value)),
        _ => 0,
    }
}

fn numbers(value: &Value) -> u32 {
    match value {
        Value::Object(fields) => fields.values().fold(0, |bits, value| bits | numbers(value)),
        Value::Array(values) => values.iter().fold(0, |bits, value| bits | numbers(value)),
        other => number(other).unwrap_or(0),
    }
}

/// Whether it is the mark of the packet (`meta`) or of the connection (`ct`).
fn is_mark(value: &Value, of: &str) -> bool {
    value[of]["key"] == "mark"
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests;
