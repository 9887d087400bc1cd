//! How agents reach and know each other.

use std::net::IpAddr;

use egret_core::model::PublicKey;
use serde::{Deserialize, Serialize};

/// How to reach an agent and how to know it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Peer {
    /// Where it listens, one per family at most; the first that this node has a socket for is
    /// preferred until another answers.
    pub endpoints: Vec<IpAddr>,
    /// The UDP port there.
    pub port: u16,
    /// Its X25519 public key.
    pub public_key: PublicKey,
}
