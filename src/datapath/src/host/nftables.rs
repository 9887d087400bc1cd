//! Marks in the nft rule set.

use egret_ports::error::PortError;
use serde_json::Value;

use super::firewall::{Firewall, FirewallRule, HookPlace, RuleVerdict};
use crate::constants::HostSettings;
use crate::nft_tool;

/// Where our chain in prerouting hangs.
const OURS: i64 = -90;

/// Targets of xtables that may write marks, and those whose name an older nft does not say.
const MARKING: [&str; 6] = ["MARK", "CONNMARK", "TPROXY", "SET", "HMARK", "?"];

/// What the rules of other tables do with marks.
pub(super) fn firewall(settings: &HostSettings) -> Result<Firewall, PortError> {
    let all = ["-t", "list", "ruleset"];
    let listing = nft_tool::list(&all, "read the nft rule set", nft_tool::LONG_LISTING)?;
    Ok(read(&listing, settings))
}

pub(super) fn read(listing: &Value, settings: &HostSettings) -> Firewall {
    let mut firewall = Firewall::default();
    for object in listing["nftables"].as_array().map(Vec::as_slice).unwrap_or_default() {
        let is_ours = |of: &Value| of["family"] == "inet" && of["table"] == *settings.nft_table;
        if let Some(chain) = object.get("chain").filter(|chain| !is_ours(chain))
            && let Some(place) = place(chain)
        {
            firewall.bases.insert(chain_name(chain, "name"), place);
        }
        if let Some(one) = object.get("rule").filter(|rule| !is_ours(rule)) {
            firewall.rules.extend(rules(one));
        }
    }
    firewall
}

fn place(chain: &Value) -> Option<HookPlace> {
    let priority = chain["prio"].as_i64().unwrap_or(i64::MIN);
    Some(match chain["hook"].as_str()? {
        "prerouting" if priority <= OURS => HookPlace::Before,
        "prerouting" | "forward" | "postrouting" | "egress" => HookPlace::Behind,
        "input" | "output" => HookPlace::Local,
        _ => HookPlace::Before,
    })
}

fn chain_name(of: &Value, chain: &str) -> String {
    let name = |key: &str| of[key].as_str().unwrap_or("?");
    format!("{} {} {}", name("family"), name("table"), name(chain))
}

/// A rule, and one more for each chain that it jumps to by a map.
fn rules(rule: &Value) -> Vec<FirewallRule> {
    let name = |key: &str| rule[key].as_str().unwrap_or("?");
    let expressions = rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
    let table = format!("{} {}", name("family"), name("table"));
    let mut read = FirewallRule {
        chain: chain_name(rule, "chain"),
        who: format!("nft table {table}, chain {}", name("chain")),
        ..FirewallRule::default()
    };
    let mut verdicts = Vec::new();
    for expression in expressions {
        read.marks.extend(packet_marks(expression));
        let xtables = expression.get("xt").map(|xt| xt["name"].as_str().unwrap_or("?"));
        let is_target = expression["xt"]["type"] == "target";
        read.conditional |= xtables.is_some() && !is_target
            || ["match", "vmap", "limit"].iter().any(|kind| expression.get(kind).is_some());
        let (bits, overwrites) = connection_bits(expression);
        read.connection_bits |= bits;
        read.overwrites_connection |= overwrites;
        read.saved |= saved(expression);
        read.written.extend(given(expression));
        read.may_set |= may_set(expression);
        read.is_unread |= xtables.is_some_and(|name| MARKING.contains(&name));
        if is_target && xtables == Some("REJECT") {
            verdicts.push(RuleVerdict::Refuses);
        }
        collect_verdicts(expression, &table, &mut verdicts);
    }
    // Of several, which a map has, the worst says what becomes of a packet.
    verdicts.sort_by_key(|verdict| *verdict != RuleVerdict::Refuses);
    let mut verdicts = verdicts.into_iter();
    read.verdict = verdicts.next().unwrap_or_default();
    let chain = read.chain.clone();
    let others = verdicts.filter(|verdict| matches!(verdict, RuleVerdict::Jumps(_)));
    let others = others.map(|verdict| FirewallRule {
        chain: chain.clone(),
        conditional: true,
        verdict,
        ..FirewallRule::default()
    });
    let others: Vec<FirewallRule> = others.collect();
    [read].into_iter().chain(others).collect()
}

fn collect_verdicts(value: &Value, table: &str, found: &mut Vec<RuleVerdict>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match key.as_str() {
                    "accept" | "return" => found.push(RuleVerdict::Spares),
                    "drop" | "reject" => found.push(RuleVerdict::Refuses),
                    "jump" | "goto" => {
                        let to = value["target"].as_str().unwrap_or("?");
                        found.push(RuleVerdict::Jumps(format!("{table} {to}")));
                    }
                    _ => collect_verdicts(value, table, found),
                }
            }
        }
        Value::Array(values) => {
            values.iter().for_each(|value| collect_verdicts(value, table, found))
        }
        _ => {}
    }
}

/// What an expression gives to the mark of a packet or a connection, where it says a number, and the bits that it is about.
fn given(expression: &Value) -> Option<(u32, u32)> {
    let mangle = expression.get("mangle")?;
    let (key, value) = (&mangle["key"], &mangle["value"]);
    let kind = ["meta", "ct"].into_iter().find(|kind| is_mark(key, kind))?;
    if let Some(whole) = number(value) {
        return Some((whole, u32::MAX));
    }
    let [kept, given] = ["|", "^"].iter().find_map(|one| operands(value, one))?;
    let given = number(given)?;
    let kept_bits = match operands(kept, "&") {
        Some([mark, bits]) if is_mark(mark, kind) => number(bits)?,
        _ if is_mark(kept, kind) => u32::MAX,
        _ => return None,
    };
    Some((given, !kept_bits | given))
}

/// Bits that an expression may set in a packet's mark.
fn may_set(expression: &Value) -> u32 {
    let Some(mangle) = expression.get("mangle").filter(|one| is_mark(&one["key"], "meta")) else {
        return 0;
    };
    settable(&mangle["value"])
}

/// Bits that a value may have, but for those that the packet's mark has already.
fn settable(value: &Value) -> u32 {
    if let Some(number) = number(value) {
        return number;
    }
    if is_mark(value, "meta") {
        return 0;
    }
    if let Some([left, right]) = operands(value, "&") {
        return match number(right) {
            Some(mask) => settable(left) & mask,
            None => settable(left) | settable(right),
        };
    }
    match ["|", "^"].iter().find_map(|one| operands(value, one)) {
        Some([left, right]) => settable(left) | settable(right),
        None => u32::MAX,
    }
}

/// Bits of packets' marks that an expression copies to connections.
fn saved(expression: &Value) -> u32 {
    let mangle = &expression["mangle"];
    if is_mark(&mangle["key"], "ct") { of_packets(&mangle["value"]) } else { 0 }
}

fn of_packets(value: &Value) -> u32 {
    if is_mark(value, "meta") {
        return u32::MAX;
    }
    if let Some([left, right]) = operands(value, "&") {
        return of_packets(left) & number(right).unwrap_or(u32::MAX);
    }
    let either = ["|", "^"].iter().find_map(|one| operands(value, one));
    either.map_or(0, |[left, right]| of_packets(left) | of_packets(right))
}

fn operands<'a>(value: &'a Value, operator: &str) -> Option<[&'a Value; 2]> {
    match value[operator].as_array().map(Vec::as_slice) {
        Some([left, right]) => Some([left, right]),
        _ => None,
    }
}

/// What an expression matches packets' marks with (want, mask, inverted); empty where it does not, or in a way that is
/// not read here (orders, named sets).
fn packet_marks(expression: &Value) -> Vec<(u32, u32, bool)> {
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
    // A whole mark that is in no set of several is seldom nobody's.
    if inverted && wanted.len() > 1 && mask == u32::MAX {
        return Vec::new();
    }
    wanted.into_iter().map(|(want, bits)| (want & mask & bits, mask & bits, inverted)).collect()
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

/// Bits of the connection's mark that an expression matches by name, or writes, and whether it writes all bits and keeps none.
///
/// A rule that compares all 32 bits with a value without our bit is no user. What copies it to a packet does not
/// touch it.
fn connection_bits(expression: &Value) -> (u32, bool) {
    if let Some(mangle) = expression.get("mangle") {
        let value = &mangle["value"];
        if !is_mark(&mangle["key"], "ct") {
            return (0, false);
        }
        // `ct mark & 0` keeps none either.
        let keeps = value.to_string().contains(r#""ct":"#) && value["&"][1] != 0;
        return if keeps { (written(value), false) } else { (number(value).unwrap_or(0), true) };
    }
    if let Some(matched) = expression.get("match")
        && is_mark(&matched["left"], "ct")
    {
        return (numbers(&matched["right"]), false);
    }
    (masks(expression), false)
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
