use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    JSONSchemaProps, JSONSchemaPropsOrBool,
};
use serde_json::json;

use super::cel::{
    IS_DURATION, NO_ADDRESS, address, cidr_rules, duration, mapped, mapped_sentence, millis,
    number, visible, written_selector,
};
use super::edit::{CelRule, at, defaults, rules};
use crate::DEFAULT_PORTS_PER_NODE;
use crate::pool::{MAX_LABEL, MAX_LABELS, MAX_TAG_KEY, MAX_TAG_VALUE, MAX_TAGS};

/// The most ranges of one pool: comparing each with each has to fit the budget of a CEL rule.
const RANGES: i64 = 64;
/// The most addresses that are found by tag.
const FOUND: i64 = 4096;

pub(super) fn edit(schema: &mut JSONSchemaProps) {
    const NONE: &str = "a pool needs at least one range, such as 203.0.113.16/29, \
                        spec.aws.elasticIPTags or spec.gcp.addressLabels";
    let some = CelRule::says(
        "has(self.addresses) && size(self.addresses) > 0 || has(self.aws) \
         || has(self.gcp) && has(self.gcp.addressLabels)",
        NONE,
    );
    let own = |field: &str, provider: &str| {
        let other =
            format!("is for provider {provider}: write provider {provider}, or leave it out");
        let rule = format!("!has(self.{field}) || self.provider == '{provider}'");
        CelRule::says(rule, &other).field(&format!(".{field}"))
    };
    rules(
        at(schema, "spec"),
        [some.field(".addresses"), own("aws", "AWS"), own("gcp", "GCP"), one_mode()],
    );
    ranges(at(schema, "spec.addresses"));
    written_selector(at(schema, "spec.gateways.nodeSelector"));
    written_selector(at(schema, "spec.allowedNamespaces"));
    aws(at(schema, "spec.aws"));
    gcp(at(schema, "spec.gcp"));
    let found = at(schema, "status.addresses");
    found.max_items = Some(FOUND);
    address(at(found, "[]"));
    let most = at(schema, "spec.gateways.maxAddressesPerNode");
    rules(
        most,
        [CelRule::says(
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

/// What one mode has made for the addresses in use no other takes over.
fn one_mode() -> CelRule {
    let mode = |of: &str| format!("(has({of}.gcp) ? {of}.gcp.mode : 'HAPolicy')");
    let same = format!("{} == {}", mode("self"), mode("oldSelf"));
    let rule = format!("self.provider != oldSelf.provider || {same}");
    CelRule::says(rule, "a pool keeps its mode: make another pool").field(".gcp.mode")
}

/// What a tag of EC2 may be, so that no pool looks for tags that no Elastic IP can have.
fn aws(schema: &mut JSONSchemaProps) {
    const TAGS: &str = "self.elasticIPTags";
    const ALL: &str =
        "without a tag that would be every Elastic IP of the account: name at least one";
    let some = CelRule::says(format!("has({TAGS}) && size({TAGS}) > 0"), ALL);
    rules(schema, [some.field(".elasticIPTags")]);
    let tags = at(schema, "elasticIPTags");
    tags.default = None;
    tags.max_properties = i64::try_from(MAX_TAGS).ok();
    let long = format!("a tag's key has at most {MAX_TAG_KEY} characters: shorten it");
    rules(
        tags,
        [
            CelRule::says("!('' in self)", "name the tag's key"),
            CelRule::says(format!("self.all(key, size(key) <= {MAX_TAG_KEY})"), &long),
            CelRule::makes(
                "self.all(key, !key.startsWith('aws:'))",
                "self.filter(key, key.startsWith('aws:'))[0] \
                 + ' is a tag of AWS itself: name a tag that you give'",
            ),
        ],
    );
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut tags.additional_properties {
        value.max_length = i64::try_from(MAX_TAG_VALUE).ok();
    }
}

/// What a label of Google Cloud may be, so that no pool looks for labels that no address can have.
fn gcp(schema: &mut JSONSchemaProps) {
    const ALL: &str =
        "without a label that would be every static address of the project: name at least one";
    let labels = at(schema, "addressLabels");
    labels.default = None;
    labels.max_properties = i64::try_from(MAX_LABELS).ok();
    let long = format!("a label's key has at most {MAX_LABEL} characters: shorten it");
    let capital = |of: &str| format!("self.filter(key, {of} != {of}.lowerAscii())");
    let rule = |of: &str, what: &str| {
        let wrong = capital(of);
        CelRule::makes(
            format!("{wrong}.size() == 0"),
            format!("{wrong}[0] + ' has {what}: labels of Google Cloud have none'"),
        )
    };
    rules(
        labels,
        [
            CelRule::says("size(self) > 0", ALL),
            CelRule::says("!('' in self)", "name the label's key"),
            CelRule::says(format!("self.all(key, size(key) <= {MAX_LABEL})"), &long),
            rule("key", "capital letters"),
            rule("self[key]", "capital letters in its value"),
        ],
    );
    if let Some(JSONSchemaPropsOrBool::Schema(value)) = &mut labels.additional_properties {
        value.max_length = i64::try_from(MAX_LABEL).ok();
    }
}

fn ports(schema: &mut JSONSchemaProps) {
    let sizes = [128, 256, 512, 1024, 2048, 4096, 8192];
    let nearest = sizes[..6]
        .iter()
        .rfold("'8192'".to_owned(), |rest, size| format!("self <= {size} ? '{size}' : {rest}"));
    let sentence = format!(
        "'%s is not a power of two from 128 to 8192: write %s'.format([string(self), {nearest}])"
    );
    schema.minimum = None;
    defaults(schema, json!(DEFAULT_PORTS_PER_NODE));
    rules(schema, [CelRule::makes(format!("self in {sizes:?}"), sentence)]);
}

fn lease(schema: &mut JSONSchemaProps) {
    duration(schema);
    let length = millis();
    let rule = format!("!{IS_DURATION} || ({length} >= 100.0 && {length} <= 10000.0)");
    rules(schema, [CelRule::makes(rule, "self + ' is not from 100ms to 10s'")]);
}

fn ranges(schema: &mut JSONSchemaProps) {
    schema.max_items = Some(RANGES);
    schema.default = None;
    rules(schema, [overlap()]);
    let range = at(schema, "[]");
    range.max_length = Some(96);
    rules(range, [visible(VISIBLE)]);
    rules(range, ends());
    rules(range, cidr_rules(CIDR));
    rules(range, [inside_a_range(), one_family(), upwards()]);
    rules(range, special());
}

/// True where `self` has only characters that can be seen, and spaces at most around a dash.
const VISIBLE: &str = "self.matches('^[!-~]*( *- *[!-~]*)?$')";
/// True where `self` is written as a CIDR.
const CIDR: &str = "(self.contains('/') && !self.contains('-'))";
/// True where `self` is a range from one address to another.
const RANGE: &str = "(self.contains('-') && isIP(self.find('^[^-]*').trim()) \
     && isIP(self.find('-.*').substring(1).trim()))";
/// The first address of `self`, where it is no CIDR.
const FIRST: &str = "self.find('^[^-]*').trim()";
/// The last address of `self`, where it is a range.
const LAST: &str = "self.find('-.*').substring(1).trim()";

fn ends() -> [CelRule; 4] {
    let rules = |end: &str, when: &str| {
        let mapped = mapped(end);
        [
            CelRule::makes(
                format!("{when} || !{VISIBLE} || isIP({end}) || {mapped}"),
                format!("{end} + {NO_ADDRESS}"),
            ),
            CelRule::makes(format!("{when} || !{mapped}"), mapped_sentence(end, end)),
        ]
    };
    let [first, first_plain] = rules(FIRST, CIDR);
    let [last, last_plain] = rules(LAST, "!self.contains('-')");
    [first, first_plain, last, last_plain]
}

fn inside_a_range() -> CelRule {
    CelRule::makes(
        format!("!{CIDR} || !isCIDR(self) || cidr(self).masked() == cidr(self)"),
        "'%s is an address inside a range: write %s for the range or %s for the address'\
         .format([self, string(cidr(self).masked()), string(cidr(self).ip())])",
    )
}

fn one_family() -> CelRule {
    CelRule::makes(
        format!("!{RANGE} || ip({FIRST}).family() == ip({LAST}).family()"),
        "self + ' begins in one family and ends in the other: split it in two'",
    )
}

fn upwards() -> CelRule {
    let (first, last) = (number(FIRST), number(LAST));
    CelRule::makes(
        format!(
            "!{RANGE} || ip({FIRST}).family() == 6 || ip({LAST}).family() == 6 || {first} <= {last}"
        ),
        format!("self + ' ends below its beginning: write ' + {LAST} + '-' + {FIRST}"),
    )
}

/// Ranges that no egress address can come from (RFC 6890, RFC 4291).
const SPECIAL: [[&str; 2]; 9] = [
    ["0.0.0.0/8", "unspecified"],
    ["127.0.0.0/8", "loopback"],
    ["169.254.0.0/16", "link-local"],
    ["224.0.0.0/4", "multicast"],
    ["240.0.0.0/4", "reserved"],
    ["::/128", "unspecified"],
    ["::1/128", "loopback"],
    ["fe80::/10", "link-local"],
    ["ff00::/8", "multicast"],
];

/// Of a range only the ends are looked at.
fn special() -> Vec<CelRule> {
    let rule = |[net, what]: [&str; 2]| {
        let cidr = format!("cidr('{net}')");
        let touches = format!(
            "({CIDR} \
             ? isCIDR(self) && ({cidr}.containsCIDR(self) || cidr(self).containsCIDR('{net}')) \
             : {RANGE} ? {cidr}.containsIP({FIRST}) || {cidr}.containsIP({LAST}) \
             : isIP(self) && {cidr}.containsIP(self))"
        );
        CelRule::makes(
            format!("!{touches}"),
            format!("self + ' holds {what} addresses ({net}): leave them out'"),
        )
    };
    SPECIAL.map(rule).into()
}

/// No address twice: CIDRs and single addresses are compared with the beginning of every entry.
fn overlap() -> CelRule {
    let first = "(one.contains('-') ? one.find('^[^-]*').trim() : one.find('^[^/]*'))";
    let net = "(isCIDR(other) ? cidr(other) \
         : cidr(other + (ip(other).family() == 4 ? '/32' : '/128')))";
    let known = "(isIP(other) || isCIDR(other))";
    let within = format!("isIP({first}) && {known} && {net}.containsIP({first})");
    let pairs = format!(
        "self.filter(one, self.filter(other, {within}).size() > (isIP(one) || isCIDR(one) ? 1 : 0))"
    );
    let earlier = format!("self.filter(other, other != one && {within})");
    let sentence = "'%s overlaps %s: write each address once'";
    CelRule::makes(
        format!("{pairs}.size() == 0"),
        format!(
            "[{pairs}[0]].map(one, [{earlier}.size() > 0 ? {earlier}[0] : one].map(other, \
             {sentence}.format(self.indexOf(one) < self.indexOf(other) ? [other, one] \
             : [one, other]))[0])[0]"
        ),
    )
}
