use std::collections::BTreeSet;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{NodeName, Timestamp, text};

// What people read of these types in `kubectl explain` are their comments here.

/// A move off a holder that the directors of the address did not reach.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct MovedOff {
    /// The holder that they did not reach.
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub node: NodeName,
    /// When the controller moved the address (RFC 3339).
    #[serde(with = "text")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub at: Timestamp,
}

/// Directors are asked, each once, whether they reach a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ReachQuestion {
    /// When (RFC 3339): names the question.
    #[serde(with = "text")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub at: Timestamp,
    /// For which time in a row.
    pub times: u32,
}

/// What a director says, once, to the question whether it reaches a holder through the tunnel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ReachAnswer {
    /// The time of the question (RFC 3339), which names it.
    #[serde(with = "text")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub asked_at: Timestamp,
    /// Whether the holder answers it.
    pub holder: Reach,
    /// The addresses of the holder that pods here use.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty", with = "text::set")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<String>"))]
    pub used: BTreeSet<IpAddr>,
    /// Those of its standbys that do.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    #[cfg_attr(feature = "schema", schemars(with = "BTreeSet<String>"))]
    pub standbys: BTreeSet<NodeName>,
}

/// Whether a director reaches a holder, there and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Reach {
    /// It does.
    Reached,
    /// It has asked several times in vain.
    Unreached,
    /// None of its pods uses an address that the holder has.
    Idle,
}
