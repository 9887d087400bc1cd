//! The negative control: ordinary SNAT on a gateway, with a failover that moves the address.
//!
//! State: routes and rules on the laboratory's nodes, written by [`OrdinarySnat`] alone. It takes
//! over as fast as Egret does and announces itself; what it lacks is that another gateway knows
//! its connections.

use std::net::IpAddr;

use anyhow::{Result, bail};

use crate::address::{AddressFamily, POD_RANGES};
use crate::clock::WallTime;
use crate::lab::Lab;
use crate::role::LabNodeRole;
use crate::tap::FrameTap;
use crate::wire::{advertisement, gratuitous_arp};

const OUTSIDE: [&str; 2] = ["198.51.100.0/24", "2001:db8:6::/64"];
const TABLE: u32 = 77;

/// Ordinary SNAT that is installed.
#[derive(Clone, Copy, Debug)]
pub struct OrdinarySnat {
    /// The addresses that the outside sees.
    pub addresses: [IpAddr; 2],
}

impl OrdinarySnat {
    /// Sends what the pods of every node that is on send outside through `holder`, which rewrites
    /// it to `addresses`.
    ///
    /// # Errors
    /// Where a node refuses a rule.
    pub fn install(lab: &Lab, addresses: [IpAddr; 2], holder: &str) -> Result<Self> {
        let snat = Self { addresses };
        for node in lab.nodes().iter().filter(|node| node.is_on()) {
            for family in AddressFamily::BOTH {
                let (flag, outside, pods) = match family {
                    AddressFamily::V4 => ("", OUTSIDE[0], POD_RANGES[0]),
                    AddressFamily::V6 => ("-6", OUTSIDE[1], POD_RANGES[1]),
                };
                let protocol = if family == AddressFamily::V4 { "ip" } else { "ip6" };
                // Only what this node's own pods send: a gateway hands on what it got.
                node.shell(&format!(
                    "for d in /sys/class/net/pod*; do [ -e $d ] || continue
                     ip {flag} rule add iif $(basename $d) to {outside} lookup {TABLE} pref 500
                     done
                     nft insert rule inet lab-cni post {protocol} daddr {outside} accept"
                ))?;
                if node.role == LabNodeRole::Gateway {
                    let address = family.pick(addresses);
                    node.net()?.nft(&format!(
                        "table {protocol} lab-snat {{ chain post {{
  type nat hook postrouting priority srcnat - 5;
  {protocol} saddr {pods} {protocol} daddr {outside} oifname \"eth0\" snat to {address}
}}
}}\n"
                    ));
                }
            }
        }
        snat.move_to(lab, holder)?;
        Ok(snat)
    }

    /// Gives the addresses to another gateway: adds them there, announces them, and turns the
    /// pods' routes. Returns the moment of the announcement.
    ///
    /// # Errors
    /// Where a node refuses it.
    pub fn move_to(&self, lab: &Lab, holder: &str) -> Result<WallTime> {
        let (gateway, [v4, v6]) = (lab.node(holder)?, self.addresses);
        gateway
            .shell(&format!("ip addr add {v4}/32 dev eth0; ip addr add {v6}/128 dev eth0 nodad"))?;
        let [via4, via6] = gateway.addresses();
        for node in lab.nodes().iter().filter(|node| node.is_on() && node.name != holder) {
            node.shell(&format!(
                "ip route replace default via {via4} table {TABLE}
                 ip -6 route replace default via {via6} table {TABLE}"
            ))?;
        }
        let (IpAddr::V4(v4), IpAddr::V6(v6)) = (v4, v6) else {
            bail!("the addresses are a pair of IPv4 and IPv6")
        };
        let at = WallTime::now();
        let _inside = gateway.net()?.enter();
        let tap = FrameTap::open(Some("eth0"))?;
        tap.send(&gratuitous_arp(1, gateway.mac(), v4))?;
        tap.send(&gratuitous_arp(2, gateway.mac(), v4))?;
        tap.send(&advertisement(gateway.mac(), v6))?;
        Ok(at)
    }
}
