//! Everything that Egret takes for itself on a host: one device, two UDP ports, two VNIs, one bit,
//! one routing table, one rule priority, one nft table. All configurable, nothing else is touched.

use std::net::Ipv4Addr;

/// What Egret calls and numbers its own things on this host.
///
/// All nodes of a cluster must agree on the ports and the VNI; the rest is a node's own affair.
/// [`crate::host::check`] names the others on the host that use the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSettings {
    /// The tunnel device. At most 15 bytes (IFNAMSIZ, linux/if.h). CNIs match devices by prefix
    /// (`cali`, `lxc`, `veth`, `eni`, `flannel`, `cilium_`): this name has none of them.
    pub device: String,
    /// UDP port of the tunnel, both source firewalls' one rule. 4789 (IANA VXLAN: Calico, most
    /// fabrics), 8472 (Linux VXLAN: flannel, Cilium), 6081 (Geneve: OVN) are other overlays'.
    pub tunnel_port: u16,
    /// UDP port on which agents speak with each other.
    pub peers_port: u16,
    /// VNI of frames between directors and gateways, 1 … 2^24 − 2. VNIs are looked up per port,
    /// so that only another overlay on `tunnel_port` could collide (flannel uses 1, Calico 4096).
    pub tunnel_vni: u32,
    /// The one bit that Egret sets in the mark of a steered connection (ct mark). What its packets carry
    /// into the tunnel is another value ([`crate::packet_mark`]). 0x2000 is the portmap plugin's,
    /// 0x4000 and 0x8000 kube-proxy's, 0x0f00 Cilium's, 0xff0000 Tailscale's, 0x80 the AWS VPC
    /// CNI's, 0xffff0000 Calico's default mask.
    pub mark: u32,
    /// Number of the routing table, IPv4 and IPv6. 253–255 are the kernel's, 52 Tailscale's,
    /// 2004 and 2005 Cilium's, 2–15 the AWS VPC CNI's, 51820 wg-quick's.
    pub route_table: u32,
    /// Priority of the one policy rule per family. It must come after `local` (0; Cilium moves it
    /// to 100) and before what routes pods by source (AWS VPC CNI: 512, 1024, 1536; OVN-Kubernetes:
    /// 5999; Tailscale: 5210) and `main` (32766).
    pub rule_priority: u32,
    /// The nft table, family inet.
    pub nft_table: String,
    /// IPv4 address of the tunnel device: link-local, a /32 that is on every node alike and never
    /// on the wire. 169.254.169.254 (metadata), 169.254.1.1 (Calico's next hop), 169.254.20.10
    /// (NodeLocal DNSCache) and 169.254.42.1 are others'.
    pub device_address: Ipv4Addr,
}

impl Default for HostSettings {
    fn default() -> Self {
        Self {
            device: "egret0".to_owned(),
            tunnel_port: 5480,
            peers_port: 5481,
            tunnel_vni: 5480,
            mark: 0x1000,
            route_table: 5480,
            rule_priority: 490,
            nft_table: "egret".to_owned(),
            device_address: Ipv4Addr::new(169, 254, 54, 80),
        }
    }
}

/// A setting that the kernel or the rest of Egret could not work with.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {value}: {remedy}")]
pub struct BadSetting {
    /// The field of [`HostSettings`].
    pub field: &'static str,
    /// What it held.
    pub value: String,
    /// What to do instead.
    pub remedy: &'static str,
}

impl HostSettings {
    /// Checks the settings by themselves.
    ///
    /// # Errors
    /// The first setting that cannot work, with the remedy.
    pub fn validate(&self) -> Result<(), BadSetting> {
        let bad = |field, value: String, remedy| Err(BadSetting { field, value, remedy });
        if !is_name(&self.device, 15) {
            let remedy = "use 1 to 15 letters, digits, '-', '_', the first a letter";
            return bad("device", self.device.clone(), remedy);
        }
        if !is_name(&self.nft_table, 63) {
            let remedy = "use 1 to 63 letters, digits, '-', '_', the first a letter";
            return bad("nft table", self.nft_table.clone(), remedy);
        }
        if self.tunnel_port == 0 || self.tunnel_port == self.peers_port {
            let remedy = "use a port from 1 to 65535 that is not the peers' port";
            return bad("tunnel port", self.tunnel_port.to_string(), remedy);
        }
        if self.peers_port == 0 {
            return bad("peers port", "0".to_owned(), "use a port from 1 to 65535");
        }
        if self.tunnel_vni == 0 || self.tunnel_vni >= (1 << 24) - 1 {
            let remedy = "use 1 to 16777214: the next number is the relay's";
            return bad("tunnel VNI", self.tunnel_vni.to_string(), remedy);
        }
        if !self.mark.is_power_of_two() {
            return bad("mark", format!("{:#x}", self.mark), "use exactly one bit, such as 0x1000");
        }
        if self.route_table == 0 || (253..=255).contains(&self.route_table) {
            let remedy = "use a number from 1 to 4294967295 except 253, 254 and 255, the kernel's";
            return bad("routing table", self.route_table.to_string(), remedy);
        }
        if !(1..32_766).contains(&self.rule_priority) {
            let remedy = "use 1 to 32765: after the rule `local` and before `main`";
            return bad("rule priority", self.rule_priority.to_string(), remedy);
        }
        if !self.device_address.is_link_local() {
            let remedy = "use a free address of 169.254.0.0/16";
            return bad("device address", self.device_address.to_string(), remedy);
        }
        Ok(())
    }
}

fn is_name(name: &str, most: usize) -> bool {
    name.len() <= most
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid() {
        assert_eq!(HostSettings::default().validate(), Ok(()));
    }

    #[test]
    fn a_bad_setting_is_named() {
        let two_bits = HostSettings { mark: 0x3000, ..HostSettings::default() };
        assert_eq!(two_bits.validate().map_err(|e| e.field), Err("mark"));
        let long =
            HostSettings { device: "egret-tunnel-zero".to_owned(), ..HostSettings::default() };
        assert_eq!(long.validate().map_err(|e| e.field), Err("device"));
        let last = HostSettings { tunnel_vni: 0xff_ffff, ..HostSettings::default() };
        assert_eq!(last.validate().map_err(|e| e.field), Err("tunnel VNI"));
        let main = HostSettings { route_table: 254, ..HostSettings::default() };
        assert_eq!(main.validate().map_err(|e| e.field), Err("routing table"));
        let one_port = HostSettings { peers_port: 5480, ..HostSettings::default() };
        assert_eq!(one_port.validate().map_err(|e| e.field), Err("tunnel port"));
    }
}
