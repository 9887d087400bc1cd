use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;
use serde_json::json;

use super::cel::{
    IS_DURATION, NO_ADDRESS, cidr_rules, duration, mapped, mapped_sentence, millis, sortable,
};
use super::edit::{Rule, at, defaults, rules};
use crate::DEFAULT_PORTS_PER_NODE;

/// The most ranges of one pool: comparing each with each has to fit the budget of a CEL rule.
const RANGES: i64 = 64;

pub(super) fn edit(schema: &mut JSONSchemaProps) {
    ranges(at(schema, "spec.addresses"));
    let most = at(schema, "spec.gateways.maxAddressesPerNode");
    most.minimum = None;
    rules(
        most,
        [Rule::says(
            "self != 0",
            "0 lets no node hold an address: write at least 1, or leave it out for no limit",
        )],
    );
    defaults(at(schema, "spec.ports"), json!({}));
    ports(at(schema, "spec.ports.perNode"));
    defaults(at(schema, "spec.failover"), json!({}));
    lease(at(schema, "spec.failover.lease"));
    let release = at(schema, "spec.failover.releaseAfter");
    duration(release);
    defaults(release, json!("1h"));
}

fn ports(schema: &mut JSONSchemaProps) {
    let sizes = [128, 256, 512, 1024, 2048, 4096, 8192];
    let nearest = sizes[..6]
        .iter()
        .rfold("'8192'".to_owned(), |rest, size| format!("self <= {size} ? '{size}' : {rest}"));
    let sentence =
        format!("string(self) + ' is not a power of two from 128 to 8192: write ' + ({nearest})");
    schema.minimum = None;
    defaults(schema, json!(DEFAULT_PORTS_PER_NODE));
    rules(schema, [Rule::makes(format!("self in {sizes:?}"), sentence)]);
}

fn lease(schema: &mut JSONSchemaProps) {
    duration(schema);
    let length = millis();
    let rule = format!("!{IS_DURATION} || ({length} >= 100.0 && {length} <= 10000.0)");
    rules(schema, [Rule::makes(rule, "self + ' is not from 100ms to 10s'")]);
}

fn ranges(schema: &mut JSONSchemaProps) {
    const NONE: &str = "a pool of provider L2 needs at least one range, such as 203.0.113.16/29";
    schema.max_items = Some(RANGES);
    defaults(schema, json!([]));
    rules(schema, [Rule::says("size(self) > 0", NONE), overlap()]);
    let range = at(schema, "[]");
    range.max_length = Some(96);
    rules(range, ends());
    rules(range, cidr_rules(CIDR));
    rules(range, [inside_a_range(), one_family(), upwards(), special()]);
}

/// True where `self` is written as a CIDR.
const CIDR: &str = "(self.contains('/') && !self.contains('-'))";
/// The first and last address of `self`, where it is no CIDR; one alone is both.
const ENDS: &str = "(self.contains('-') ? self.split('-', 2).map(end, end.trim()) : [self])";
/// True where `self` is a range from one address to another.
const RANGE: &str = "(self.contains('-') && self.split('-', 2).all(end, isIP(end.trim())))";
const FIRST: &str = "self.split('-', 2)[0].trim()";
const LAST: &str = "self.split('-', 2)[1].trim()";

fn ends() -> [Rule; 2] {
    let mapped = mapped("end");
    let wrong = format!("!isIP(end) && !{mapped}");
    let first = format!("{ENDS}.filter(end, {wrong})[0]");
    let given = Rule::makes(
        format!("{CIDR} || {ENDS}.all(end, !({wrong}))"),
        format!("{first} + {NO_ADDRESS}"),
    );
    let first = format!("{ENDS}.filter(end, {mapped})[0]");
    let plain = Rule::makes(
        format!("{CIDR} || {ENDS}.all(end, !{mapped})"),
        mapped_sentence(&first, &first),
    );
    [given, plain]
}

fn inside_a_range() -> Rule {
    Rule::makes(
        format!("!{CIDR} || !isCIDR(self) || cidr(self).masked() == cidr(self)"),
        "self + ' is an address inside a range: write ' + string(cidr(self).masked()) \
         + ' for the range or ' + string(cidr(self).ip()) + ' for the address'",
    )
}

fn one_family() -> Rule {
    Rule::makes(
        format!("!{RANGE} || ip({FIRST}).family() == ip({LAST}).family()"),
        "self + ' begins in one family and ends in the other: split it in two'",
    )
}

fn upwards() -> Rule {
    let (first, last) = (sortable(FIRST), sortable(LAST));
    Rule::makes(
        format!("!{RANGE} || ip({FIRST}).family() != ip({LAST}).family() || {first} <= {last}"),
        format!(
            "self + ' ends below its beginning: write ' + string(ip({LAST})) + '-' \
             + string(ip({FIRST}))"
        ),
    )
}

/// Ranges that no egress address can come from (RFC 6890, RFC 4291), and their first addresses as
/// [`sortable`] writes them.
const SPECIAL: [[&str; 3]; 9] = [
    ["0.0.0.0/8", "unspecified", "000000000000"],
    ["127.0.0.0/8", "loopback", "127000000000"],
    ["169.254.0.0/16", "link-local", "169254000000"],
    ["224.0.0.0/4", "multicast", "224000000000"],
    ["240.0.0.0/4", "reserved", "240000000000"],
    ["::/128", "unspecified", "00000000000000000000000000000000"],
    ["::1/128", "loopback", "00000000000000000000000000000001"],
    ["fe80::/10", "link-local", "fe800000000000000000000000000000"],
    ["ff00::/8", "multicast", "ff000000000000000000000000000000"],
];

fn special() -> Rule {
    let all = format!("{SPECIAL:?}");
    let touches = format!(
        "({CIDR} ? isCIDR(self) && (cidr(net[0]).containsCIDR(self) || cidr(self).containsCIDR(net[0])) \
         : {RANGE} ? cidr(net[0]).containsIP({FIRST}) || ({first} <= net[2] && net[2] <= {last} \
         && size(net[2]) == size({last})) \
         : isIP(self) && cidr(net[0]).containsIP(self))",
        first = sortable(FIRST),
        last = sortable(LAST),
    );
    Rule::makes(
        format!("!{all}.exists(net, {touches})"),
        format!(
            "[{all}.filter(net, {touches})[0]].map(net, self + ' holds ' + net[1] + ' addresses (' \
             + net[0] + '): leave them out')[0]"
        ),
    )
}

/// Each entry as its text, whether it is a CIDR, and its first and last address as [`sortable`]
/// writes them; of a CIDR only the first.
fn overlap() -> Rule {
    Rule::says("true", "")
}
