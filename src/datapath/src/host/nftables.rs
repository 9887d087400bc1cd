//! Users of our bit in the nft rule set.

use std::collections::BTreeSet;

use egret_ports::error::PortError;
use egret_ports::steering::Collision;
use serde_json::Value;

use crate::constants::HostSettings;
use crate::nft_tool;

/// Adds rules of other tables that read or write our bit of the fwmark or the ct mark.
pub(super) fn users_of_bit(
    settings: &HostSettings,
    found: &mut BTreeSet<Collision>,
) -> Result<(), PortError> {
    let listing = nft_tool::list(&["-t", "list", "ruleset"], "read the nft rule set")?;
    for who in users(&listing, settings) {
        found.insert(Collision {
            what: format!("the mark bit {:#x}", settings.mark),
            who,
            setting: "mark",
        });
    }
    Ok(())
}

fn users(listing: &Value, settings: &HostSettings) -> BTreeSet<String> {
    let objects = listing["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    objects
        .iter()
        .filter_map(|object| object.get("rule"))
        .filter(|rule| rule["family"] != "inet" || rule["table"] != settings.nft_table.as_str())
        .filter(|rule| {
            let expressions = rule["expr"].as_array().map(Vec::as_slice).unwrap_or_default();
            expressions.iter().any(|expression| bits(expression) & settings.mark != 0)
        })
        .map(|rule| {
            let name = |key: &str| rule[key].as_str().unwrap_or("?").to_owned();
            format!("nft table {} {}, chain {}", name("family"), name("table"), name("chain"))
        })
        .collect()
}

/// Bits of a mark that an expression reads by name, or writes.
///
/// A rule that compares or overwrites all 32 bits with a value without our bit is no user: the
/// guard drops what loses its bit. One that copies a whole mark is: the reply direction would get
/// our fwmark and go back into the tunnel.
fn bits(expression: &Value) -> u32 {
    if let Some(mangle) = expression.get("mangle") {
        return if is_mark(&mangle["key"]) { written(&mangle["value"]) } else { 0 };
    }
    if let Some(matched) = expression.get("match")
        && is_mark(&matched["left"])
    {
        return numbers(&matched["right"]);
    }
    masks(expression)
}

fn written(value: &Value) -> u32 {
    if is_mark(value) {
        return u32::MAX;
    }
    if let Some(number) = number(value) {
        return number;
    }
    let operands = |key: &str| value.get(key).and_then(Value::as_array);
    if let Some([left, right]) = operands("&").map(Vec::as_slice) {
        let kept = number(right).unwrap_or(u32::MAX);
        let cleared = if kept == 0 { 0 } else { !kept };
        return cleared | if is_mark(left) { 0 } else { written(left) };
    }
    for key in ["|", "^"] {
        if let Some([left, right]) = operands(key).map(Vec::as_slice) {
            return [left, right].iter().filter(|v| !is_mark(v)).fold(0, |b, v| b | written(v));
        }
    }
    0
}

/// All masks that a mark is read with, anywhere in `value`.
fn masks(value: &Value) -> u32 {
    match value {
        Value::Object(fields) => {
            let own = match fields.get("&").and_then(Value::as_array).map(Vec::as_slice) {
                Some([left, right]) if is_mark(left) => match number(right) {
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

fn is_mark(value: &Value) -> bool {
    value["meta"]["key"] == "mark" || value["ct"]["key"] == "mark"
}

fn number(value: &Value) -> Option<u32> {
    value.as_u64().and_then(|number| u32::try_from(number).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rule(table: &str, expression: Value) -> Value {
        json!({ "nftables": [ { "rule": {
            "family": "inet", "table": table, "chain": "c", "expr": [expression]
        } } ] })
    }

    fn names(table: &str, expression: Value) -> usize {
        users(&rule(table, expression), &HostSettings::default()).len()
    }

    #[test]
    fn who_reads_or_writes_the_bit_is_named() {
        let mark = json!({ "meta": { "key": "mark" } });
        let ct = json!({ "ct": { "key": "mark" } });
        let masked = json!({ "&": [mark, 0x1000] });
        assert_eq!(names("x", json!({ "match": { "left": masked, "right": 0x1000 } })), 1);
        let or = json!({ "|": [mark, 0x1000] });
        assert_eq!(names("x", json!({ "mangle": { "key": mark, "value": or } })), 1);
        let clear = json!({ "&": [mark, 0xffff_efff_u32] });
        assert_eq!(names("x", json!({ "mangle": { "key": mark, "value": clear } })), 1);
        assert_eq!(names("x", json!({ "mangle": { "key": mark, "value": ct } })), 1);
        assert_eq!(names("x", json!({ "mangle": { "key": ct, "value": 0x1000 } })), 1);
    }

    #[test]
    fn others_bits_and_our_own_table_are_no_collision() {
        let mark = json!({ "meta": { "key": "mark" } });
        let masked = json!({ "&": [mark, 0x4000] });
        assert_eq!(names("x", json!({ "match": { "left": masked, "right": 0x4000 } })), 0);
        let or = json!({ "|": [mark, 0x4000] });
        assert_eq!(names("x", json!({ "mangle": { "key": mark, "value": or } })), 0);
        let clear = json!({ "&": [mark, 0xffff_bfff_u32] });
        assert_eq!(names("x", json!({ "mangle": { "key": mark, "value": clear } })), 0);
        let ours = json!({ "|": [mark, 0x1000] });
        assert_eq!(names("egret", json!({ "mangle": { "key": mark, "value": ours } })), 0);
    }
}
