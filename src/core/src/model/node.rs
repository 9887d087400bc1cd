use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::{ClaimRef, Condition, NodeName, PortRange, Timestamp};

/// An `EgressNode`: what Egret knows of one node beyond its Node object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EgressNode {
    /// The node's name.
    pub name: NodeName,
    /// What the controller (and `egret drain`) wrote.
    pub spec: EgressNodeSpec,
    /// What the node's agent wrote.
    pub status: EgressNodeStatus,
    /// Somebody deletes it: its blocks end first.
    pub deleting: bool,
}

/// Leased to a node, and asked of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EgressNodeSpec {
    /// Port blocks leased to this node as a director, in order of address and ports.
    pub blocks: Vec<BlockGrant>,
    /// Hand over what the node holds and give it nothing new.
    pub drain: bool,
    /// What others need to know this node for; empty for a plain director.
    pub roles: BTreeSet<Role>,
    /// The ranges of the node's own pods, where the cluster has them by node.
    pub pod_cidrs: BTreeSet<IpNet>,
}

/// Why every agent knows a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// A pool's selector selects it.
    Gateway,
    /// It is a member of the newest voter set.
    Voter,
}

/// A lease of ports of one egress address to one director.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockGrant {
    /// The egress address.
    pub address: IpAddr,
    /// The ports; aligned to their size, a power of two.
    pub ports: PortRange,
    /// From one counter of the cluster; never repeats. Gateways acknowledge up to a number.
    pub epoch: u64,
    /// Set when the grant ends: the epoch of the end (from the same counter). The entry stays
    /// until the quarantine is over.
    #[serde(default)]
    pub ended: Option<u64>,
    /// When every gateway in the address's plan had acknowledged the end: quarantine counts from
    /// here.
    #[serde(default)]
    pub quarantined_since: Option<Timestamp>,
}

/// What a node's agent says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EgressNodeStatus {
    /// Underlay addresses of the tunnel and of the peers' datagrams, one per family at most.
    pub endpoints: Vec<IpAddr>,
    /// UDP port of messages between agents.
    pub peer_port: u16,
    /// The node's X25519 public key.
    pub public_key: Option<PublicKey>,
    /// Links to the world, with their subnets.
    pub uplinks: Vec<Uplink>,
    /// Set to the boot's id once the agent is past its silence (docs/leases.md rule 13).
    pub may_vote: Option<String>,
    /// The newest voter set that this voter has acknowledged.
    pub acknowledged_set: u64,
    /// Fences of ending addresses that this voter has acknowledged.
    pub acknowledged_fences: BTreeMap<IpAddr, u64>,
    /// Nodes that this voter has not heard for 10 s.
    pub absent: BTreeSet<NodeName>,
    /// As a director: how many blocks it needs of each address that its pods use.
    pub block_needs: BTreeMap<IpAddr, u32>,
    /// As a gateway: every grant and end up to this epoch is in its kernel.
    pub acknowledged_blocks: u64,
    /// As a director: released addresses of which it has no connection left.
    pub idle_addresses: BTreeSet<IpAddr>,
    /// As a director: claims with pods here that it cannot programme; the conditions say why.
    pub unprogrammed: BTreeSet<ClaimRef>,
    /// As a director: claims that lose destinations of pods here to others, and to whom.
    pub overridden: BTreeMap<ClaimRef, BTreeSet<ClaimRef>>,
    /// `Ready`, `DatapathBypassed`, …
    pub conditions: Vec<Condition>,
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
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Uplink {
    /// The interface's name.
    pub name: String,
    /// The subnets of its addresses: which L2 addresses this node can announce there.
    pub subnets: Vec<IpNet>,
}
