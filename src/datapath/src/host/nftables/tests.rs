use serde_json::json;

use super::*;

fn find(table: &str, expressions: &[Value]) -> HostFindings {
    let listing = json!({ "nftables": [ { "rule": {
        "family": "inet", "table": table, "chain": "c", "expr": expressions
    } } ] });
    found_in(&listing)
}

fn found_in(listing: &Value) -> HostFindings {
    let settings = HostSettings::default();
    let mut found = HostFindings::default();
    read(listing, &settings).judge(&settings, &mut found);
    found
}

fn overwrites(hook: &str, priority: i64, expressions: &[Value]) -> bool {
    let listing = json!({ "nftables": [
        { "chain": {
            "family": "inet", "table": "x", "name": "c", "hook": hook, "prio": priority
        } },
        { "rule": { "family": "inet", "table": "x", "chain": "c", "expr": expressions } },
    ] });
    !found_in(&listing).overwrites.is_empty()
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

/// Before our chain a packet may have any mark: only behind it does one that is not ours tell that it is not ours.
#[test]
fn who_overwrites_connections_marks_is_named() {
    let ct = json!({ "ct": { "key": "mark" } });
    let mark = json!({ "meta": { "key": "mark" } });
    let own = || matched("==", &mark, &json!(0xca6c));
    for whole in [json!(5), json!({ "&": [mark, 0x80] }), mark.clone(), json!({ "&": [ct, 0] })] {
        assert!(overwrites("prerouting", -150, &[set(&ct, &whole)]), "{whole}");
        assert!(overwrites("postrouting", 0, &[set(&ct, &whole)]), "{whole}");
        assert!(overwrites("prerouting", -150, &[own(), set(&ct, &whole)]), "{whole}");
        // wg-quick saves the marks of its own packets.
        assert!(!overwrites("postrouting", -150, &[own(), set(&ct, &whole)]), "{whole}");
        assert!(!overwrites("output", -150, &[set(&ct, &whole)]), "{whole}");
    }
    let not_zero = matched("!=", &mark, &json!(0));
    assert!(overwrites("postrouting", 0, &[not_zero, set(&ct, &mark)]));
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
