//! Who has which address, in one place. Documentation ranges only (RFC 5737, RFC 3849).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The router's address on the LAN.
pub const ROUTER: [IpAddr; 2] = [v4(203, 0, 113, 1), v6(5, 1)];
/// The outside server's main address.
pub const OUTSIDE: [IpAddr; 2] = [v4(198, 51, 100, 20), v6(6, 0x20)];
/// The third host on the LAN.
pub const WATCH: [IpAddr; 2] = [v4(203, 0, 113, 200), v6(5, 0x200)];
/// How many addresses the outside server has, counted from [`OUTSIDE`]: one load each where a
/// protocol has no port.
pub const OUTSIDE_COUNT: u8 = 10;
/// What pods must not be masqueraded toward.
pub const POD_RANGES: [&str; 2] = ["10.244.0.0/16", "fd00:10:244::/48"];
/// Service ranges, for the cluster object and the CNI's exceptions.
pub const SERVICE_RANGES: [&str; 2] = ["10.96.0.0/12", "fd00:10:96::/112"];

/// A family of addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AddressFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl AddressFamily {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::V4, Self::V6];

    /// The family of an address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }

    /// The one of a pair (IPv4, IPv6) that is of this family.
    #[must_use]
    pub fn pick(self, pair: [IpAddr; 2]) -> IpAddr {
        match self {
            Self::V4 => pair[0],
            Self::V6 => pair[1],
        }
    }

    /// `IPv4` or `IPv6`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        }
    }
}

const fn v4(a: u8, b: u8, c: u8, d: u8) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(a, b, c, d))
}

const fn v6(net: u16, host: u16) -> IpAddr {
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, net, 0, 0, 0, 0, host))
}

/// Node `number` (from 1) on the LAN: 203.0.113.101 and 2001:db8:5::101 are the first's.
#[must_use]
pub fn node(number: u8) -> [IpAddr; 2] {
    [v4(203, 0, 113, 100 + number), v6(5, 0x100 + u16::from(number))]
}

/// Node `number` on the private network that only some laboratories have.
#[must_use]
pub fn private_node(number: u8) -> [IpAddr; 2] {
    [v4(192, 0, 2, 100 + number), v6(0x77, 0x100 + u16::from(number))]
}

/// The pods' range of node `number`, as text, IPv4 and IPv6.
#[must_use]
pub fn pod_cidrs(number: u8) -> [String; 2] {
    [format!("10.244.{number}.0/24"), format!("fd00:10:244:{number}::/64")]
}

/// Pod `index` (from 0) on node `number`.
#[must_use]
pub fn pod(number: u8, index: u8) -> [IpAddr; 2] {
    [
        v4(10, 244, number, 10 + index),
        IpAddr::V6(Ipv6Addr::new(
            0xfd00,
            0x10,
            0x244,
            u16::from_str_radix(&number.to_string(), 16).unwrap_or_default(),
            0,
            0,
            0,
            0x10 + u16::from(index),
        )),
    ]
}

/// The `index`-th address of the outside server.
#[must_use]
pub fn outside(family: AddressFamily, index: u8) -> IpAddr {
    match family {
        AddressFamily::V4 => v4(198, 51, 100, 20 + index),
        AddressFamily::V6 => v6(6, 0x20 + u16::from(index)),
    }
}

/// The hardware address of node `number`'s uplink.
#[must_use]
pub fn node_mac(number: u8) -> [u8; 6] {
    [0x02, 0xe6, 0, 0, 0, number]
}

/// A hardware address as `ip` writes it.
#[must_use]
pub fn mac_text(mac: [u8; 6]) -> String {
    let [a, b, c, d, e, f] = mac;
    format!("{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}")
}

/// Reads what [`mac_text`] writes.
#[must_use]
pub fn parse_mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Option<Vec<u8>> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect();
    bytes?.try_into().ok()
}

/// Whether an address is one that pools of the laboratory hand out (203.0.113.16/28 with room for
/// a second pool, 2001:db8:5::10/124).
#[must_use]
pub fn is_egress(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(a) => {
            let [p, q, r, host] = a.octets();
            [p, q, r] == [203, 0, 113] && (16..64).contains(&host)
        }
        IpAddr::V6(a) => {
            let s = a.segments();
            s[..7] == [0x2001, 0xdb8, 5, 0, 0, 0, 0] && (0x10..0x40).contains(&s[7])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_reads_back() {
        assert_eq!(parse_mac(&mac_text(node_mac(3))), Some(node_mac(3)));
        assert_eq!(parse_mac("42:01:0a"), None);
    }

    #[test]
    fn addresses_are_what_the_manifests_say() {
        assert_eq!(node(1)[0].to_string(), "203.0.113.101");
        assert_eq!(node(1)[1].to_string(), "2001:db8:5::101");
        assert_eq!(pod(4, 0)[1].to_string(), "fd00:10:244:4::10");
        assert_eq!(pod(4, 0)[0].to_string(), "10.244.4.10");
        assert!(is_egress(v4(203, 0, 113, 17)) && !is_egress(node(1)[0]));
        assert!(is_egress(v6(5, 0x11)) && !is_egress(node(1)[1]));
    }
}
