//! Values ↔ the bytes of the maps. The layouts are those of bpf/maps.h, in host byte order.

use std::net::{IpAddr, Ipv6Addr};

use egret_ports::gateway::{AddressEntry, AddressState, BootTime, HostPart, UplinkLink};

/// Length of an address in the maps.
pub(crate) const ADDRESS: usize = 16;
/// `sizeof(struct address)`.
pub(crate) const ENTRY: usize = 72;
/// `sizeof(struct slots)`.
pub(crate) const SLOTS: usize = 1024;
/// `sizeof(struct director)`.
pub(crate) const DIRECTOR: usize = 32;
/// `sizeof(struct config)`.
pub(crate) const CONFIG: usize = 56;
/// `sizeof(struct fragment)` and `sizeof(struct fragment_owner)`.
pub(crate) const FRAGMENT: (usize, usize) = (40, 16);

/// Ports of the smallest block.
pub(crate) const SMALLEST_BLOCK: u32 = 128;

const ALIAS: u8 = 5;
const HOST: u8 = 6;
const SHARED: u8 = 1;
const LOCAL: u8 = 2;
/// `valid_until` where no deadline is armed.
const NEVER: u64 = u64::MAX;

/// An address as a key: IPv4 as `::ffff:a.b.c.d`.
pub(crate) type AddressKey = [u8; ADDRESS];

pub(crate) fn key(address: IpAddr) -> AddressKey {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
        IpAddr::V6(v6) => v6.octets(),
    }
}

fn optional_key(address: Option<IpAddr>) -> AddressKey {
    address.map_or([0; ADDRESS], key)
}

pub(crate) fn address(key: &AddressKey) -> Option<IpAddr> {
    let address = Ipv6Addr::from(*key);
    if address.is_unspecified() { None } else { Some(IpAddr::V6(address).to_canonical()) }
}

/// What the map of addresses holds under a key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum StoredEntry {
    Entry(AddressEntry),
    /// The key is a wire address of this egress address.
    Alias(IpAddr),
    /// The key is an address of this node's own.
    Host,
}

pub(crate) fn encode_entry(entry: &AddressEntry) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    let until = entry.valid_until.map_or(NEVER, |until| until.0.min(NEVER - 1));
    put(&mut bytes, 0, &until.to_ne_bytes());
    put(&mut bytes, 8, &optional_key(entry.holder));
    put(&mut bytes, 24, &optional_key(entry.wire));
    put(&mut bytes, 40, &optional_key(entry.uplink.and_then(|uplink| uplink.next_hop)));
    if let Some(uplink) = entry.uplink {
        put(&mut bytes, 56, &uplink.index.to_ne_bytes());
        put(&mut bytes, 60, &uplink.mac);
        put(&mut bytes, 68, &u32::from(uplink.on_link_bits).to_ne_bytes());
    }
    bytes[66] = match entry.state {
        AddressState::Standby => 1,
        AddressState::Coming => 2,
        AddressState::Held => 3,
        AddressState::Leaving => 4,
    };
    bytes[67] = match entry.host {
        HostPart::Nothing => 0,
        HostPart::Packets => LOCAL,
        HostPart::All => SHARED,
    };
    bytes
}

/// The entry under a wire address: `shared` where the node itself has that address.
pub(crate) fn encode_alias(canonical: IpAddr, shared: bool) -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    put(&mut bytes, 24, &key(canonical));
    bytes[66] = ALIAS;
    bytes[67] = if shared { SHARED } else { 0 };
    bytes
}

/// The entry under an address of the node's own, which is no egress address.
pub(crate) fn encode_host() -> [u8; ENTRY] {
    let mut bytes = [0; ENTRY];
    bytes[66] = HOST;
    bytes[67] = SHARED;
    bytes
}

/// `None` where the bytes are of no state that this version knows.
pub(crate) fn decode_entry(bytes: &[u8; ENTRY]) -> Option<StoredEntry> {
    let state = match bytes[66] {
        1 => AddressState::Standby,
        2 => AddressState::Coming,
        3 => AddressState::Held,
        4 => AddressState::Leaving,
        ALIAS => return address(&take(bytes, 24)).map(StoredEntry::Alias),
        HOST => return Some(StoredEntry::Host),
        _ => return None,
    };
    let until = u64::from_ne_bytes(take(bytes, 0));
    let index = u32::from_ne_bytes(take(bytes, 56));
    Some(StoredEntry::Entry(AddressEntry {
        state,
        holder: address(&take(bytes, 8)),
        valid_until: (until != NEVER).then_some(BootTime(until)),
        wire: address(&take(bytes, 24)),
        uplink: (index != 0).then(|| UplinkLink {
            index,
            mac: take(bytes, 60),
            next_hop: address(&take(bytes, 40)),
            on_link_bits: u32::from_ne_bytes(take(bytes, 68)).try_into().unwrap_or(0),
        }),
        host: match bytes[67] {
            SHARED => HostPart::All,
            LOCAL => HostPart::Packets,
            _ => HostPart::Nothing,
        },
    }))
}

/// What the programs know of their node.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct BpfNodeConfig {
    /// Own underlay addresses, the preferred family's first, one per family at most.
    pub(crate) endpoints: Vec<IpAddr>,
    pub(crate) tunnel: u32,
    pub(crate) vni: u32,
    pub(crate) underlay_mtu: u32,
}

/// What VXLAN adds over IPv4 and over IPv6: inner Ethernet, VXLAN, UDP, IP.
const OVERHEAD: (u32, u32) = (50, 70);

pub(crate) fn encode_config(config: &BpfNodeConfig) -> [u8; CONFIG] {
    let of = |v4| config.endpoints.iter().copied().find(|address| address.is_ipv4() == v4);
    let mut bytes = [0; CONFIG];
    put(&mut bytes, 0, &optional_key(of(true)));
    put(&mut bytes, 16, &optional_key(of(false)));
    put(&mut bytes, 32, &config.tunnel.to_ne_bytes());
    put(&mut bytes, 36, &config.vni.to_ne_bytes());
    put(&mut bytes, 40, &config.vni.saturating_add(1).to_ne_bytes());
    put(&mut bytes, 44, &config.underlay_mtu.saturating_sub(OVERHEAD.0).to_ne_bytes());
    put(&mut bytes, 48, &config.underlay_mtu.saturating_sub(OVERHEAD.1).to_ne_bytes());
    put(&mut bytes, 52, &GIVES_EVIDENCE.to_ne_bytes());
    bytes
}

/// What who wrote a config does for the guard at the uplinks: an agent of [`KEEPS_SOURCES`] or more keeps the sources that
/// claims select, one of [`GIVES_EVIDENCE`] or more has rules that say what has passed them.
pub(crate) fn decode_guards(bytes: &[u8; CONFIG]) -> u32 {
    u32::from_ne_bytes(take(bytes, 52))
}

pub(crate) const KEEPS_SOURCES: u32 = 1;
pub(crate) const GIVES_EVIDENCE: u32 = 2;

/// Own underlay addresses of an encoded config, IPv4 first.
pub(crate) fn decode_endpoints(bytes: &[u8; CONFIG]) -> Vec<IpAddr> {
    [take(bytes, 0), take(bytes, 16)].iter().filter_map(address).collect()
}

/// A director as the programs need it: where frames for it go, and its other address.
pub(crate) fn encode_director(target: IpAddr, other: Option<IpAddr>) -> [u8; DIRECTOR] {
    let mut bytes = [0; DIRECTOR];
    put(&mut bytes, 0, &key(target));
    put(&mut bytes, 16, &optional_key(other));
    bytes
}

fn put(bytes: &mut [u8], at: usize, value: &[u8]) {
    bytes[at..at + value.len()].copy_from_slice(value);
}

fn take<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    let mut value = [0; N];
    value.copy_from_slice(&bytes[at..at + N]);
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> AddressEntry {
        AddressEntry {
            state: AddressState::Held,
            holder: Some("10.0.0.1".parse().unwrap()),
            valid_until: Some(BootTime(123_456_789_012)),
            wire: Some("2001:db8::7".parse().unwrap()),
            uplink: Some(UplinkLink {
                index: 7,
                mac: [2, 0, 0, 0, 0, 9],
                next_hop: Some("192.0.2.1".parse().unwrap()),
                on_link_bits: 64,
            }),
            host: HostPart::Packets,
        }
    }

    #[test]
    fn entries_come_back_as_they_went() {
        let bare = AddressEntry {
            state: AddressState::Standby,
            holder: None,
            valid_until: None,
            wire: None,
            uplink: None,
            host: HostPart::Nothing,
        };
        let own = AddressEntry { host: HostPart::All, ..bare.clone() };
        for entry in [entry(), bare, own] {
            assert_eq!(decode_entry(&encode_entry(&entry)), Some(StoredEntry::Entry(entry)));
        }
        let canonical: IpAddr = "203.0.113.9".parse().unwrap();
        assert_eq!(
            decode_entry(&encode_alias(canonical, true)),
            Some(StoredEntry::Alias(canonical))
        );
        assert_eq!(decode_entry(&encode_host()), Some(StoredEntry::Host));
        assert_eq!(decode_entry(&[0; ENTRY]), None);
    }

    #[test]
    fn the_last_moment_is_not_taken_for_never() {
        let last = AddressEntry { valid_until: Some(BootTime(u64::MAX)), ..entry() };
        let Some(StoredEntry::Entry(read)) = decode_entry(&encode_entry(&last)) else { panic!() };
        assert_eq!(read.valid_until, Some(BootTime(u64::MAX - 1)));
    }

    #[test]
    fn a_config_tells_its_endpoints() {
        let endpoints: Vec<IpAddr> =
            vec!["10.0.0.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
        let config = BpfNodeConfig { endpoints: endpoints.clone(), ..BpfNodeConfig::default() };
        assert_eq!(decode_endpoints(&encode_config(&config)), endpoints);
    }
}
