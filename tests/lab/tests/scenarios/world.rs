//! Laboratories as the rows need them.

use std::net::IpAddr;

use anyhow::Result;
use egret_lab::address::node_mac;
use egret_lab::{Lab, PodSpec};

/// The address of the example claim payments/bank, IPv4 and IPv6.
pub const BANK: [&str; 2] = ["203.0.113.17", "2001:db8:5::11"];

pub fn bank() -> [IpAddr; 2] {
    BANK.map(|text| text.parse().unwrap_or_else(|e| panic!("{text}: {e}")))
}

/// A laboratory with its oracles.
pub struct World {
    pub lab: Lab,
}

/// The usual topology: three gateways, two directors, one selected and one other pod on each
/// director.
pub fn usual() -> egret_lab::LabBuilder {
    let mut builder = Lab::builder();
    for director in 1..=2 {
        let node = format!("director-{director}");
        builder = builder
            .pod(
                PodSpec::new(&node, "payments", &format!("settle-{director}"))
                    .label("app", "settle"),
            )
            .pod(
                PodSpec::new(&node, "payments", &format!("other-{director}")).label("app", "other"),
            );
    }
    builder
}

/// The name of the node with that hardware address, for assertions.
pub fn name_of(lab: &Lab, mac: [u8; 6]) -> Result<String> {
    let found = lab.node_of(mac).map(str::to_owned);
    found.ok_or_else(|| anyhow::anyhow!("{mac:?} is no node's (first: {:?})", node_mac(1)))
}
