//! Attachments as `snapshot.json` spells them, which agents of the versions before and after read:
//! not as the API does.

use std::collections::BTreeMap;
use std::net::IpAddr;

use egret_core::model::{Attachment, NodeName};
use ipnet::IpNet;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

// The compiler compares its fields with those of `Attachment`.
#[derive(Serialize, Deserialize)]
#[serde(remote = "Attachment")]
struct CachedAttachment {
    node: NodeName,
    #[serde(default)]
    wire: Option<IpAddr>,
    #[serde(default)]
    interface: Option<String>,
    #[serde(default)]
    mac: Option<String>,
    #[serde(default)]
    allocation: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_hop: Option<IpAddr>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    primary_address: Option<IpNet>,
}

#[derive(Deserialize)]
struct Owned(#[serde(with = "CachedAttachment")] Attachment);

#[derive(Serialize)]
struct Borrowed<'a>(#[serde(with = "CachedAttachment")] &'a Attachment);

pub(super) fn serialize<S: Serializer>(
    attachments: &BTreeMap<IpAddr, Attachment>,
    to: S,
) -> Result<S::Ok, S::Error> {
    to.collect_map(attachments.iter().map(|(address, at)| (address, Borrowed(at))))
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<IpAddr, Attachment>, D::Error> {
    let attachments = BTreeMap::<IpAddr, Owned>::deserialize(from)?;
    Ok(attachments.into_iter().map(|(address, Owned(at))| (address, at)).collect())
}
