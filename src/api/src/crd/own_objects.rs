//! The kinds that Egret writes itself: their rules keep out what a mistaken hand or a stolen token
//! writes, so that no reader meets an object that it cannot read.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaProps;

use super::cel::{NO_ADDRESS, address, cidr, duration};
use super::edit::{CelRule, at, rules};

pub(super) fn egress_address(schema: &mut JSONSchemaProps) {
    // Two objects for one address would have two holders.
    const NAME: &str = "ip(self.spec.address).family() == 4 \
         ? self.metadata.name == self.spec.address \
         : self.metadata.name.matches('^[0-9a-f]{4}(-[0-9a-f]{4}){7}$') \
         && ip(self.metadata.name.replace('-', ':')) == ip(self.spec.address)";
    let name = CelRule::says(
        format!("!isIP(self.spec.address) || ({NAME})"),
        "an EgressAddress is named by its address, IPv6 in full and with dashes",
    );
    rules(schema, [name]);
    let plain = at(schema, "spec.address");
    address(plain);
    let forever = "an EgressAddress keeps its address: delete it and make another";
    rules(plain, [CelRule::says("self == oldSelf", forever)]);
    let fence = CelRule::says("self >= oldSelf", "a fence never goes down");
    rules(at(schema, "spec.fence"), [fence]);
    duration(at(schema, "spec.lease"));
    let prepared = at(schema, "status.prepared");
    prepared.max_items = Some(64);
    attachment(at(prepared, "[]"));
    attachment(at(schema, "status.attachment"));
    attachment(at(schema, "status.accepted"));
}

fn attachment(schema: &mut JSONSchemaProps) {
    for known in ["wireAddress", "nextHop"] {
        address(at(schema, known));
    }
    cidr(at(schema, "primaryAddress"));
    for id in ["interface", "allocation"] {
        at(schema, id).max_length = Some(256);
    }
    let mac = at(schema, "macAddress");
    mac.pattern = Some("^[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){5}$".to_owned());
}

pub(super) fn egress_node(schema: &mut JSONSchemaProps) {
    let blocks = at(schema, "spec.blocks");
    blocks.max_items = Some(16_384);
    address(at(blocks, "[].address"));
    let ports = at(blocks, "[].ports");
    rules(ports, [CelRule::says("self.first <= self.last", "last is below first")]);
    list(schema, "spec.podCIDRs", 64, cidr);
    list(schema, "status.endpoints", 8, address);
    key(at(schema, "status.publicKey"));
    at(schema, "status.uplinks").max_items = Some(64);
    list(schema, "status.uplinks[].subnets", 64, cidr);
    list(schema, "status.idleAddresses", 4096, address);
    at(schema, "status.unusableInterfaces").max_properties = Some(64);
    at(schema, "status.unusableUplinks").max_properties = Some(64);
    let shared = at(schema, "status.sharedPodAddresses");
    shared.max_properties = Some(64);
    let sentence =
        "self.filter(key, !isCIDR(key))[0] + ' is not a CIDR: write it like 10.244.1.7/32'";
    rules(shared, [CelRule::makes("self.all(key, isCIDR(key))", sentence)]);
    for map in ["status.acknowledgedFences", "status.blockNeeds", "status.idleReleases"] {
        let map = at(schema, map);
        map.max_properties = Some(4096);
        let sentence = format!("self.filter(key, !isIP(key))[0] + {NO_ADDRESS}");
        rules(map, [CelRule::makes("self.all(key, isIP(key))", sentence)]);
    }
}

pub(super) fn egress_cluster(schema: &mut JSONSchemaProps) {
    let name = CelRule::says(
        "self.metadata.name == 'cluster'",
        "there is one EgressCluster: name it cluster",
    );
    rules(schema, [name]);
    let forever = "a cluster keeps its id: another id makes every agent forget its leases";
    rules(at(schema, "spec.id"), [CelRule::says("self == oldSelf", forever)]);
    let kept = "a voter set is replaced by one with a greater number, never removed";
    let kept = CelRule::says("has(self.set) || !has(oldSelf.set)", kept);
    rules(at(schema, "spec"), [kept]);
    let number = CelRule::says("self >= oldSelf", "the number of a voter set never goes down");
    rules(at(schema, "spec.set.number"), [number]);
    at(schema, "spec.set.members").max_items = Some(16);
    list(schema, "spec.set.members[].endpoints", 8, address);
    key(at(schema, "spec.set.members[].publicKey"));
    duration(at(schema, "spec.tMax"));
    // Ranges by node, and addresses of both families, of 5,000 nodes and more.
    list(schema, "spec.ranges.pods", 16_384, cidr);
    list(schema, "spec.ranges.services", 64, cidr);
    list(schema, "spec.ranges.nodes", 16_384, address);
    list(schema, "spec.ranges.apiServers", 4096, address);
}

fn list(
    schema: &mut JSONSchemaProps,
    path: &str,
    most: i64,
    entry: impl FnOnce(&mut JSONSchemaProps),
) {
    let list = at(schema, path);
    list.max_items = Some(most);
    entry(at(list, "[]"));
}

fn key(schema: &mut JSONSchemaProps) {
    schema.pattern = Some("^[0-9a-fA-F]{64}$".to_owned());
}
