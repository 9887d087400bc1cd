use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{
    Attachment, ClaimRef, Condition, ConditionType, EndpointChoice, NodeName, PortRange,
    ReachAnswer, ReachQuestion, Timestamp, text,
};

// What people read of these types in `kubectl explain` are their comments here.

/// An `EgressNode`: what Egret knows of one node beyond its Node object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressNode {
    /// The node's name.
    pub name: NodeName,
    /// What the controller (and `egret drain`) wrote.
    pub spec: EgressNodeSpec,
    /// What the node's agent wrote, and the controller's condition `AgentAbsent`.
    pub status: EgressNodeStatus,
    /// Somebody deletes it: its blocks end first.
    pub deleting: bool,
}

/// What the controller leased to a node and asks of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct EgressNodeSpec {
    // As a director; in order of address and ports.
    /// Port blocks leased to this node.
    pub blocks: Vec<BlockGrant>,
    /// Hand over what the node holds and give it nothing new (egret drain).
    pub drain: bool,
    // Empty for a plain director.
    /// Why every agent knows this node: Gateway, Voter or both.
    pub roles: BTreeSet<NodeRole>,
    /// Ranges of the node's own pods, where the cluster assigns them by node.
    #[serde(rename = "podCIDRs", with = "text::set")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<String>"))]
    pub pod_cidrs: BTreeSet<IpNet>,
    // An agent reads no Node.
    /// Why the node is to hand over what it holds, as its Node says it: a taint with which others say
    /// that the node goes, its deletion, or its cordon.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaving: Option<String>,
    /// Where the node's tunnel is to end, as the annotation egret.dev/tunnel-endpoint of its Node says it:
    /// InternalIP, Uplink, or addresses and subnets, separated by commas.
    #[serde(skip_serializing_if = "Option::is_none", with = "text::option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub tunnel_endpoint: Option<EndpointChoice>,
    // Absent until every agent goes where it is told.
    /// Where it is to end while neither annotation nor flags say so.
    #[serde(skip_serializing_if = "Option::is_none", with = "text::option")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub tunnel_endpoint_default: Option<EndpointChoice>,
    /// Set while the directors of the addresses that this node holds are asked whether they reach it: each answers
    /// once, in its status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reach_question: Option<ReachQuestion>,
}

/// Why every agent knows a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum NodeRole {
    /// A pool's node selector selects it.
    Gateway,
    /// It is a member of the newest voter set.
    Voter,
}

/// A lease of ports of one egress address to one node.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BlockGrant {
    /// The egress address.
    #[serde(with = "text")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub address: IpAddr,
    // Aligned to their size, a power of two.
    /// The source ports.
    pub ports: PortRange,
    // From one counter of the cluster; never repeats.
    /// Orders grants; gateways acknowledge all grants up to an epoch.
    pub epoch: u64,
    // From the same counter. The grant stays until the quarantine is over.
    /// The epoch of the grant's end, once it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    // Every gateway in the address's plan.
    /// When every gateway had acknowledged the end (RFC 3339): quarantine counts from here.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "text::option")]
    #[cfg_attr(
        feature = "schema",
        schemars(with = "Option<String>", extend("format" = "date-time"))
    )]
    pub quarantined_since: Option<Timestamp>,
}

/// What a node's agent says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default)]
pub struct EgressNodeStatus {
    /// Addresses of the tunnel and of the agent's datagrams, one per family; before it moves behind them
    /// those that it moves to.
    #[serde(with = "text::list")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub endpoints: Vec<IpAddr>,
    /// The UDP port of messages between agents.
    pub peer_port: u16,
    /// The node's X25519 public key, 64 hexadecimal digits.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "schema", schemars(with = "Option<String>"))]
    pub public_key: Option<PublicKey>,
    /// Uplinks, with their subnets.
    pub uplinks: Vec<Uplink>,
    // docs/leases.md rule 13.
    /// The id of the boot in which the agent may vote: it has been silent long enough since its start
    /// for every vote before that to have ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub may_vote: Option<String>,
    /// The newest voter set that this voter has acknowledged.
    pub acknowledged_set: u64,
    /// Fences of ending addresses that this voter has acknowledged.
    #[serde(with = "text::map")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, u64>"))]
    pub acknowledged_fences: BTreeMap<IpAddr, u64>,
    /// Nodes that this voter has not heard for 10 s.
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<String>"))]
    pub absent: BTreeSet<NodeName>,
    // As a director.
    /// How many port blocks this node needs of each address that its pods use.
    #[serde(with = "text::map")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, u32>"))]
    pub block_needs: BTreeMap<IpAddr, u32>,
    /// Every grant and end up to this epoch is in this gateway's kernel.
    pub acknowledged_blocks: u64,
    // For controllers before `idle_releases`.
    /// Released addresses of which this node has no connection left.
    #[serde(with = "text::set")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<String>"))]
    pub idle_addresses: BTreeSet<IpAddr>,
    /// Claims with pods on this node that it cannot program, such as payments/bank; the conditions
    /// say why.
    #[serde(rename = "unprogrammedClaims", with = "text::set")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<String>"))]
    pub unprogrammed: BTreeSet<ClaimRef>,
    /// Claims that lose destinations of pods on this node to other claims, and to which.
    #[serde(rename = "overriddenClaims", with = "text::map_of_sets")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, BTreeSet<String>>"))]
    pub overridden: BTreeMap<ClaimRef, BTreeSet<ClaimRef>>,
    /// Ready, DatapathBypassed and others.
    pub conditions: Vec<Condition>,
    // With GKE's labels of the node it tells Dataplane V2.
    /// Cilium runs on this node, and the pods' devices are another CNI plugin's.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub cilium_chained: bool,
    /// The host is being shut down: the node is to hand over what it holds.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub stopping: bool,
    // By hardware address, as attachments name them. Placement keeps off them.
    /// Network interfaces that would carry addresses on this node, and cannot for a while now: by hardware
    /// address, with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unusable_interfaces: BTreeMap<String, String>,
    // As a director (docs/leases.md rule 18). Controllers before this field read `idle_addresses`.
    /// The released addresses of which this node has no connection left, each with the time of the
    /// release after which it looked (RFC 3339).
    #[serde(skip_serializing_if = "BTreeMap::is_empty", with = "text::map_of_texts")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, String>"))]
    pub idle_releases: BTreeMap<IpAddr, Timestamp>,
    // Never all of a node's addresses: nodes with IPVS have thousands.
    /// Egress addresses that this node has on an interface, and on which: they are its own, and not
    /// Egret's to give. What a cloud placed there is not among them.
    #[serde(with = "text::map", skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, String>"))]
    pub local_addresses: BTreeMap<IpAddr, String>,
    // What the CNI said last goes before what the API says, and only this agent has heard it.
    /// Addresses that more than one live pod of this node shows, and the pod that has each, such as
    /// payments/bank-0: what another sends from it is taken for that pod's. At most 64 are named.
    #[serde(with = "text::map", skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, String>"))]
    pub shared_pod_addresses: BTreeMap<IpNet, String>,
    // Agents before this field answer no such question.
    /// This node answers directors that ask it through the tunnel for an address that it holds.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub answers_in_tunnel: bool,
    // Agents before this field end the tunnel where their flags say.
    /// Its agent ends the tunnel where the spec says.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub follows_endpoint: bool,
    // As a director. Written once per change.
    /// Holders of addresses that pods here use, and that do not answer through the tunnel.
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<String>"))]
    pub unreached_holders: BTreeSet<NodeName>,
    /// What this node answered to spec.reachQuestion of each holder.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeMap<String, ReachAnswer>"))]
    pub reach_answers: BTreeMap<NodeName, ReachAnswer>,
    // A VLAN has its parent's hardware address. Readers before this field know of it only when nothing with that
    // address works.
    /// Uplinks that would carry addresses on this node, and cannot for a while now, while another one with
    /// the same hardware address can: by name, with the reason.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub unusable_uplinks: BTreeMap<String, String>,
}

/// How many addresses [`EgressNodeStatus::shared_pod_addresses`] names.
pub const NAMED_SHARED_ADDRESSES: usize = 64;

impl EgressNodeStatus {
    /// The condition that the controller alone writes; `None` where there is none.
    #[must_use]
    pub fn agent_absent(&self) -> Option<&Condition> {
        self.conditions.iter().find(|known| known.kind == ConditionType::AgentAbsent)
    }

    /// Whether the agent has written all of this: whatever the controller added.
    #[must_use]
    pub fn is_as_written(&self, by_agent: &Self) -> bool {
        let mut own = self.clone();
        own.conditions.retain(|known| known.kind != ConditionType::AgentAbsent);
        own == *by_agent
    }

    /// Why the node cannot carry an address that a cloud delivers, or would deliver, to it as `at` says;
    /// `None` where it can. Where nobody says by which interface, each of its interfaces may be meant.
    #[must_use]
    pub fn unusable_for(&self, at: Option<&Attachment>) -> Option<&str> {
        let mut unusable = self.unusable_interfaces.iter();
        let found = match at.and_then(|at| at.mac.as_deref()) {
            Some(mac) => unusable.find(|(other, _)| other.eq_ignore_ascii_case(mac)),
            None => unusable.next(),
        };
        found.map(|(_, why)| why.as_str())
    }

    /// Why no uplink in the subnet of `address` reaches that network; `None` where one does, or where the node
    /// has none there. Of several subnets that contain it the smallest is its own, as it is for who carries it.
    #[must_use]
    pub fn cut_off_from(&self, address: IpAddr) -> Option<&str> {
        if !self.lacks_interface() {
            return None;
        }
        let smallest = self.uplinks.iter().filter_map(|uplink| uplink.prefix_for(address)).max()?;
        let mut last = None;
        for uplink in self.uplinks.iter().filter(|its| its.prefix_for(address) == Some(smallest)) {
            last = Some(self.unusable_uplink(uplink)?);
        }
        last
    }

    /// Whether any interface is unusable that carries addresses, or would.
    #[must_use]
    pub fn lacks_interface(&self) -> bool {
        !self.unusable_interfaces.is_empty() || !self.unusable_uplinks.is_empty()
    }

    fn unusable_uplink(&self, uplink: &Uplink) -> Option<&str> {
        let by_mac = uplink.mac.as_deref().and_then(|mac| self.unusable_interfaces.get(mac));
        by_mac.or_else(|| self.unusable_uplinks.get(&uplink.name)).map(String::as_str)
    }
}

impl Uplink {
    /// The length of the smallest of its subnets that contain `address`, in bits.
    pub(crate) fn prefix_for(&self, address: IpAddr) -> Option<u8> {
        let around = self.subnets.iter().filter(|net| net.contains(&address));
        around.map(IpNet::prefix_len).max()
    }
}

/// An X25519 public key, as 64 hexadecimal digits in text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublicKey(pub [u8; 32]);

impl Serialize for PublicKey {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use std::fmt::Write as _;
        let mut text = String::with_capacity(64);
        for byte in self.0 {
            write!(text, "{byte:02x}").map_err(serde::ser::Error::custom)?;
        }
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || serde::de::Error::custom("a public key is 64 hexadecimal digits");
        if text.len() != 64 || !text.is_ascii() {
            return Err(wrong());
        }
        let mut key = [0; 32];
        for (index, byte) in key.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| wrong())?;
        }
        Ok(Self(key))
    }
}

/// A link to the world.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Uplink {
    /// The interface's name.
    pub name: String,
    // Which L2 addresses the node can announce there.
    /// The subnets of its addresses.
    #[serde(with = "text::list")]
    #[cfg_attr(feature = "schema", schemars(with = "Vec<String>"))]
    pub subnets: Vec<IpNet>,
    // Agents before these fields leave them out.
    /// Its hardware address, such as 02:00:5e:10:00:01.
    #[serde(rename = "macAddress", default, skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
    /// The routers by which it leads to the world: no address of a pool.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty", with = "text::set")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<String>"))]
    pub next_hops: BTreeSet<IpAddr>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_cut_off_from_an_address_where_no_uplink_in_its_subnet_is_usable() {
        let uplink = |name: &str, mac: &str, net: &str| Uplink {
            name: name.to_owned(),
            subnets: vec![net.parse().unwrap()],
            mac: Some(mac.to_owned()),
            ..Uplink::default()
        };
        let uplinks = vec![
            uplink("eth0", "02:00:00:00:00:01", "10.0.0.0/24"),
            uplink("eth1", "02:00:00:00:00:02", "203.0.113.0/24"),
            uplink("eth2", "02:00:00:00:00:03", "203.0.113.0/24"),
        ];
        let mut status = EgressNodeStatus { uplinks, ..EgressNodeStatus::default() };
        let of = |status: &EgressNodeStatus, address: &str| {
            status.cut_off_from(address.parse().unwrap()).map(str::to_owned)
        };
        status.unusable_interfaces.insert("02:00:00:00:00:02".into(), "it is down".into());
        assert_eq!(of(&status, "203.0.113.17"), None, "the other one is there");
        status.unusable_interfaces.insert("02:00:00:00:00:03".into(), "no carrier".into());
        assert_eq!(of(&status, "203.0.113.17").as_deref(), Some("no carrier"));
        assert_eq!(of(&status, "10.0.0.17"), None);
        assert_eq!(of(&status, "192.0.2.17"), None, "it never was there");
        status.uplinks[0].subnets = vec!["203.0.0.0/16".parse().unwrap()];
        assert!(of(&status, "203.0.113.17").is_some(), "a larger network around it is another one");
        assert_eq!(of(&status, "203.0.7.17"), None);
    }

    #[test]
    fn a_vlan_without_its_network_is_told_from_its_parent_by_name() {
        let uplink = |name: &str, net: &str| Uplink {
            name: name.to_owned(),
            subnets: vec![net.parse().unwrap()],
            mac: Some("02:00:00:00:00:01".to_owned()),
            ..Uplink::default()
        };
        let uplinks = vec![uplink("eth0", "10.0.0.0/24"), uplink("eth0.5", "203.0.113.0/24")];
        let mut status = EgressNodeStatus { uplinks, ..EgressNodeStatus::default() };
        status.unusable_uplinks.insert("eth0.5".to_owned(), "no carrier".to_owned());
        let of = |address: &str| status.cut_off_from(address.parse().unwrap());
        assert_eq!([of("10.0.0.17"), of("203.0.113.17")], [None, Some("no carrier")]);
        let text = serde_json::to_string(&status).unwrap();
        assert_eq!(serde_json::from_str::<EgressNodeStatus>(&text).unwrap(), status);
        assert!(!text.contains("unusableInterfaces"), "to older readers its parent works: {text}");
    }

    #[test]
    fn an_interface_that_is_unusable_counts_for_what_is_delivered_there() {
        let at = |mac: Option<&str>| Attachment {
            mac: mac.map(str::to_owned),
            ..Attachment::at("g1".into())
        };
        let mut status = EgressNodeStatus::default();
        assert_eq!(status.unusable_for(None), None);
        status.unusable_interfaces.insert("02:00:00:00:00:0a".into(), "it is down".into());
        for (mac, why) in [
            (Some("02:00:00:00:00:0A"), Some("it is down")),
            (Some("02:00:00:00:00:0b"), None),
            (None, Some("it is down")),
        ] {
            assert_eq!(status.unusable_for(Some(&at(mac))), why, "{mac:?}");
        }
        assert_eq!(status.unusable_for(None), Some("it is down"), "not delivered yet");
    }
}
