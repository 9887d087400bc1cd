use serde_json::json;

use super::*;
use crate::host::findings::HostFindings;
use crate::host::firewall::judge;

fn find(table: &str, expressions: &[Value]) -> HostFindings {
    let listing = json!({ "nftables": [ { "rule": {
        "family": "inet", "table": table, "chain": "c", "expr": expressions
    } } ] });
    found_in(&listing)
}

fn found_in(listing: &Value) -> HostFindings {
    let settings = HostSettings::default();
    judge(&[read(listing, &settings)], &settings)
}

fn chain(hook: &str, priority: i64, expressions: &[Value]) -> Value {
    json!({ "nftables": [
        { "chain": {
            "family": "inet", "table": "x", "name": "c", "hook": hook, "prio": priority
        } },
        { "rule": { "family": "inet", "table": "x", "chain": "c", "expr": expressions } },
    ] })
}

fn overwrites(hook: &str, priority: i64, expressions: &[Value]) -> bool {
    !found_in(&chain(hook, priority, expressions)).overwrites.is_empty()
}

fn collides(table: &str, expressions: &[Value]) -> bool {
    !find(table, expressions).collisions.is_empty()
}

fn matched(op: &str, left: &Value, right: &Value) -> Value {
    json!({ "match": { "op": op, "left": left, "right": right } })
}

fn set(key: &Value, value: &Value) -> Value {
    json!({ "mangle": { "key": key, "value": value } })
}

#[test]
fn who_uses_the_connections_bit_is_named() {
    let ct = json!({ "ct": { "key": "mark" } });
    let mark = json!({ "meta": { "key": "mark" } });
    let masked = |bits: u32| json!({ "&": [ct, bits] });
    let or = |bits: u32| json!({ "|": [ct, bits] });
    assert!(collides("x", &[matched("==", &masked(0x1000), &json!(0x1000))]));
    assert!(collides("x", &[set(&ct, &or(0x1000))]));
    assert!(collides("x", &[set(&ct, &masked(0xffff_efff))]));
    assert!(collides("x", &[set(&ct, &json!(0x1000))]));
    // Others' bits, our own table, and what is about packets alone.
    assert!(!collides("x", &[matched("==", &masked(0x4000), &json!(0x4000))]));
    assert!(!collides("x", &[set(&ct, &or(0x4000))]));
    assert!(!collides("x", &[set(&ct, &masked(0xffff_bfff))]));
    assert!(!collides("egret", &[set(&ct, &or(0x1000))]));
    assert!(!collides("x", &[set(&mark, &json!({ "|": [mark, 0x1000] }))]));
    assert!(!collides("x", &[set(&mark, &ct)]), "wg-quick restores all bits");
}

/// What packets' marks have of our bit comes to connections that are not ours.
#[test]
fn who_saves_whole_marks_of_packets_is_named() {
    let ct = json!({ "ct": { "key": "mark" } });
    let mark = json!({ "meta": { "key": "mark" } });
    let save = || set(&ct, &mark);
    let masked =
        |bits: u32, right: u32| matched("==", &json!({ "&": [mark, bits] }), &json!(right));
    assert!(collides("x", &[save()]));
    assert!(collides("x", &[masked(0x1000, 0x1000), save()]));
    assert!(collides("x", &[matched("!=", &mark, &json!(0)), save()]));
    assert!(collides("x", &[masked(0x80, 0x80), save()]));
    assert!(collides("x", &[set(&ct, &json!({ "&": [mark, 0xffff] }))]));
    assert!(collides("x", &[set(&ct, &json!({ "|": [mark, 0x10] }))]));
    assert!(!collides("x", &[set(&ct, &json!({ "&": [mark, 0xff] }))]));
    assert!(!collides("x", &[matched("==", &mark, &json!(0xca6c)), save()]));
    assert!(!collides("x", &[masked(0x1000, 0), save()]));
    assert!(!collides("x", &[masked(0xff80, 0x80), save()]));
}

/// Wherever its rule runs, and whatever else it asks for.
#[test]
fn who_uses_the_connections_bit_behind_a_mark_is_named() {
    let ct = json!({ "ct": { "key": "mark" } });
    let mark = json!({ "meta": { "key": "mark" } });
    let own = || matched("==", &mark, &json!(0xca6c));
    let uses = || set(&ct, &json!({ "|": [ct, 0x1000] }));
    for hook in ["prerouting", "forward", "postrouting", "input", "output"] {
        let found = found_in(&chain(hook, 0, &[own(), uses()]));
        assert_eq!(found.collisions.len(), 1, "{hook}");
    }
}

/// Before our chain a packet may have any mark: only behind it does one that is not ours tell that it is not ours.
#[test]
fn who_overwrites_connections_marks_is_named() {
    let ct = json!({ "ct": { "key": "mark" } });
    let mark = json!({ "meta": { "key": "mark" } });
    let own = || matched("==", &mark, &json!(0xca6c));
    for whole in [json!(5), json!({ "&": [mark, 0x80] }), json!({ "&": [ct, 0] })] {
        assert!(overwrites("prerouting", -150, &[set(&ct, &whole)]), "{whole}");
        assert!(overwrites("postrouting", 0, &[set(&ct, &whole)]), "{whole}");
        assert!(overwrites("prerouting", -150, &[own(), set(&ct, &whole)]), "{whole}");
        assert!(!overwrites("postrouting", -150, &[own(), set(&ct, &whole)]), "{whole}");
        assert!(!overwrites("output", -150, &[set(&ct, &whole)]), "{whole}");
    }
    // wg-quick saves the whole marks of its own packets.
    assert!(!overwrites("postrouting", -150, &[own(), set(&ct, &mark)]));
    assert!(overwrites("prerouting", -150, &[own(), set(&ct, &mark)]));
    let masked = json!({ "|": [{ "&": [ct, 0xffff_ff7f_u32] }, 0x80] });
    assert!(!overwrites("prerouting", -150, &[set(&ct, &masked)]));
    assert!(!overwrites("prerouting", -150, &[set(&mark, &ct)]), "wg-quick restores all bits");
}

#[test]
fn matches_of_packet_marks_are_read() {
    let mark = json!({ "meta": { "key": "mark" } });
    let masked = |bits: u32| json!({ "&": [mark, bits] });
    let read = |expression: Value| {
        let all = find("x", &[expression]).marks;
        all.into_iter().map(|one| (one.want, one.mask, one.inverted)).collect::<Vec<_>>()
    };
    assert_eq!(read(matched("==", &mark, &json!(7))), [(7, u32::MAX, false)]);
    assert_eq!(read(matched("==", &masked(0xf00), &json!(0x200))), [(0x200, 0xf00, false)]);
    assert_eq!(read(matched("!=", &masked(0x4000), &json!(0))), [(0, 0x4000, true)]);
    let two = json!({ "set": [1, { "range": [4, 6] }] });
    let three = [(1, u32::MAX, false), (4, u32::MAX - 1, false), (6, u32::MAX, false)];
    assert_eq!(read(matched("==", &mark, &two)), three);
    assert_eq!(read(matched("!=", &mark, &two)), []);
    let one_of = json!({ "set": [0x10, 0x20] });
    assert_eq!(
        read(matched("!=", &masked(0x30), &one_of)),
        [(0x10, 0x30, true), (0x20, 0x30, true)]
    );
    assert_eq!(read(matched("==", &mark, &json!("@marks"))), []);
    assert_eq!(read(matched(">", &mark, &json!(1))), []);
    let map = json!({ "set": [[1, { "drop": null }]] });
    assert_eq!(read(json!({ "vmap": { "key": mark, "data": map } })), [(1, u32::MAX, false)]);
    let ct = json!({ "ct": { "key": "mark" } });
    assert_eq!(read(matched("==", &ct, &json!(7))), []);
    assert_eq!(find("egret", &[matched("==", &mark, &json!(7))]).marks, []);
}

#[test]
fn a_range_is_blocks() {
    assert_eq!(blocks(0, u32::MAX), [(0, 0)]);
    assert_eq!(blocks(u32::MAX, u32::MAX), [(u32::MAX, u32::MAX)]);
    assert_eq!(blocks(0x100, 0x1ff), [(0x100, 0xffff_ff00)]);
    assert_eq!(blocks(2, 1), []);
}

#[test]
fn what_is_written_to_packets_marks_is_read() {
    let ct = json!({ "ct": { "key": "mark" } });
    let mark = json!({ "meta": { "key": "mark" } });
    let masked = |bits: u32| json!({ "&": [mark, bits] });
    for (value, written, bits) in [
        (json!(0x54), Some((0x54, u32::MAX)), 0x54),
        (json!({ "|": [mark, 0x10000] }), Some((0x10000, 0x10000)), 0x10000),
        (json!({ "^": [masked(0xfffe_ffff), 0x10000] }), Some((0x10000, 0x10000)), 0x10000),
        (json!({ "|": [masked(0xffff_00ff), 0x200] }), Some((0x200, 0xff00)), 0x200),
        (masked(0xfffe_ffff), None, 0),
        (ct.clone(), None, u32::MAX),
        (json!({ "&": [ct, 0x80] }), None, 0x80),
        (json!({ "|": [masked(0xffff_ff7f), { "&": [ct, 0x80] }] }), None, 0x80),
        (json!({ "map": { "key": { "payload": {} }, "data": "@approved" } }), None, u32::MAX),
    ] {
        let expression = set(&mark, &value);
        assert_eq!((given(&expression), may_set(&expression)), (written, bits), "{value}");
    }
    assert_eq!(may_set(&set(&ct, &json!(0x80))), 0);
}
