use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;

use super::cel::{address, cidr, given, not_null, written_selector};
use super::edit::{CelRule, at, rules};
use crate::MAX_COUNT;

pub(super) fn edit(schema: &mut JSONSchemaProps) {
    let name = at(schema, "spec.poolRef.name");
    name.max_length = Some(253);
    given(name, "name the EgressPool that the addresses come from");
    let service = at(schema, "spec.serviceName");
    service.max_length = Some(63);
    given(service, "name the Service whose pods are meant");
    addresses(at(schema, "spec.addresses"));
    let count = at(schema, "spec.count");
    let many =
        format!("'%s is more than {MAX_COUNT}, the most of one claim'.format([string(self)])");
    rules(
        count,
        [
            CelRule::says("self != 0", "0 asks for no address: write at least 1"),
            CelRule::makes(format!("self <= {MAX_COUNT}"), many),
        ],
    );
    families(at(schema, "spec.families"));
    destinations(at(schema, "spec.destinations"));
    not_null(at(schema, "spec"), &["destinations", "addresses"]);
    not_null(at(schema, "spec.destinations[]"), &["except"]);
    written_selector(at(schema, "spec.podSelector"));
    rules(at(schema, "spec"), whole());
}

/// The same, and the selector that only the cluster-wide kind has.
pub(super) fn edit_cluster(schema: &mut JSONSchemaProps) {
    edit(schema);
    written_selector(at(schema, "spec.namespaceSelector"));
}

fn addresses(schema: &mut JSONSchemaProps) {
    schema.max_items = Some(MAX_COUNT.into());
    let known = "self.filter(text, isIP(text))";
    let twice = format!("{known}.filter(one, !{known}.exists_one(other, ip(other) == ip(one)))");
    rules(
        schema,
        [
            CelRule::says(
                "size(self) > 0",
                "list at least one address, or leave addresses out: the pool chooses",
            ),
            CelRule::makes(
                format!("{twice}.size() == 0"),
                format!("{twice}[1] + ' is listed twice: write each address once'"),
            ),
        ],
    );
    address(at(schema, "[]"));
}

fn families(schema: &mut JSONSchemaProps) {
    schema.max_items = Some(8);
    let twice = "self.filter(one, !self.exists_one(other, other == one))";
    rules(
        schema,
        [
            CelRule::says(
                "size(self) > 0",
                "list IPv4, IPv6 or both, or leave families out for what the pool has",
            ),
            CelRule::makes(
                format!("{twice}.size() == 0"),
                format!("{twice}[0] + ' is listed twice'"),
            ),
        ],
    );
}

fn destinations(schema: &mut JSONSchemaProps) {
    schema.max_items = Some(128);
    let known = "self.map(entry, entry.cidr).filter(text, isCIDR(text))";
    let twice = format!(
        "{known}.filter(one, !{known}.exists_one(other, \
         cidr(other).masked() == cidr(one).masked()))"
    );
    rules(
        schema,
        [
            CelRule::says(
                "size(self) > 0",
                "list at least one range, or leave destinations out for everywhere outside the \
                 cluster",
            ),
            CelRule::makes(
                format!("{twice}.size() == 0"),
                format!(
                    "{twice}[1] + ' is the range of another entry: write it once, with all its \
                     exceptions'"
                ),
            ),
        ],
    );
    cidr(at(schema, "[].cidr"));
    let excepts = at(schema, "[].except");
    excepts.max_items = Some(32);
    cidr(at(excepts, "[]"));
    rules(at(schema, "[]"), exceptions());
}

fn exceptions() -> [CelRule; 2] {
    let among = "self.except.filter(text, isCIDR(text) && isCIDR(self.cidr))";
    let outside = format!("{among}.filter(text, !cidr(self.cidr).containsCIDR(text))");
    let all = format!("{among}.filter(text, cidr(self.cidr).masked() == cidr(text).masked())");
    [
        CelRule::makes(
            format!("!has(self.except) || {outside}.size() == 0"),
            format!("'except ' + {outside}[0] + ' is not inside cidr ' + self.cidr"),
        )
        .field(".except"),
        CelRule::makes(
            format!("!has(self.except) || {all}.size() == 0"),
            format!(
                "'except ' + {all}[0] + ' is all of cidr ' + self.cidr \
                 + ': remove the destination instead'"
            ),
        )
        .field(".except"),
    ]
}

/// Rules over several fields.
fn whole() -> [CelRule; 4] {
    let family = "(ip(text).family() == 4 ? 'IPv4' : 'IPv6')";
    let foreign =
        format!("self.addresses.filter(text, isIP(text) && !({family} in self.families))");
    [
        CelRule::says(
            "!has(self.podSelector) || !has(self.serviceName)",
            "select pods by podSelector or by serviceName, not both",
        ),
        CelRule::says(
            "has(self.podSelector) || has(self.serviceName)",
            "select pods by podSelector or by serviceName; podSelector: {} selects all pods",
        ),
        CelRule::says(
            "!has(self.addresses) || !has(self.count)",
            "ask for addresses by addresses or by count, not both",
        ),
        CelRule::makes(
            format!(
                "!has(self.addresses) || !has(self.families) || size(self.families) == 0 \
                 || {foreign}.size() == 0"
            ),
            format!(
                "[{foreign}[0]].map(text, text + ' is ' + {family} + ', which spec.families does \
                 not list: add ' + {family} + ' there or remove the address')[0]"
            ),
        )
        .field(".addresses"),
    ]
}

pub(super) fn edit_nirmata(schema: &mut JSONSchemaProps) {
    at(schema, "spec.rules").max_items = Some(256);
    let rule = at(schema, "spec.rules[]");
    address(at(rule, "egressip"));
    cidr(at(rule, "cidr"));
    let service = at(rule, "service-name");
    service.max_length = Some(63);
    given(service, "name the Service whose pods are meant");
}
