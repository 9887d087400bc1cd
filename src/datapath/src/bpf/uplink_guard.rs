//! What the programs at the uplinks' egress know of pods and claims, so that nothing that a claim selects
//! leaves past netfilter.
//!
//! State: the pinned maps, and what they hold. Always: a source never points at a set of destinations that is
//! not there whole; sources with the same destinations share one set.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;
use std::path::Path;
use std::time::Duration;

use aya::maps::lpm_trie::Key;
use aya::maps::{Array, LpmTrie, MapData};
use egret_core::node_config::SteeringConfig;
use egret_ports::error::PortError;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use nix::time::{ClockId, clock_gettime};

use super::codec::{self, ADDRESS, AddressKey};
use super::error::BpfError;
use super::pins;

/// A set's number, and an address.
type DestinationKey = [u8; 4 + ADDRESS];
type Destinations = Vec<IpNet>;

/// The sources and destinations that claims select, for the programs at the uplinks' egress: written by the main
/// loop alone.
pub struct UplinkGuard {
    sources: LpmTrie<MapData, AddressKey, u32>,
    destinations: LpmTrie<MapData, DestinationKey, u32>,
    acts_from: Array<MapData, u64>,
    written_sources: BTreeMap<IpNet, u32>,
    sets: BTreeMap<Destinations, u32>,
}

impl UplinkGuard {
    /// Opens what [`super::load`] has pinned under `pin_dir` for layout `layout`, and reads what an earlier process
    /// has written.
    ///
    /// # Errors
    /// Where nothing is pinned there, or the kernel refuses.
    pub fn open(pin_dir: &Path, layout: u32) -> Result<Self, BpfError> {
        let directory = pins::layout_directory(pin_dir, layout);
        let sources: LpmTrie<_, AddressKey, u32> = pins::trie(&directory, pins::POD_SOURCES)?;
        let destinations: LpmTrie<_, DestinationKey, u32> =
            pins::trie(&directory, pins::SELECTED_DESTINATIONS)?;
        let acts_from = pins::array(&directory, pins::ACTS_FROM)?;
        let mut written_sources = BTreeMap::new();
        for pair in sources.iter() {
            let (key, set) = pair.map_err(BpfError::map(pins::POD_SOURCES))?;
            written_sources.extend(net(key.data(), key.prefix_len()).map(|source| (source, set)));
        }
        let mut sets: BTreeMap<u32, Destinations> = BTreeMap::new();
        for key in destinations.keys() {
            let key = key.map_err(BpfError::map(pins::SELECTED_DESTINATIONS))?;
            let [a, b, c, d, address @ ..] = key.data();
            let destination = net(address, key.prefix_len().saturating_sub(32));
            sets.entry(u32::from_ne_bytes([a, b, c, d])).or_default().extend(destination);
        }
        let sorted = |(number, mut set): (u32, Destinations)| {
            set.sort_unstable();
            (set, number)
        };
        let sets = sets.into_iter().map(sorted).collect();
        Ok(Self { sources, destinations, acts_from, written_sources, sets })
    }

    /// To be called before the rules of `config` are: lets pass what they may let pass and those before did not.
    ///
    /// # Errors
    /// What the kernel refused; what was let pass stays so.
    pub fn loosen(&mut self, config: &SteeringConfig) -> Result<(), PortError> {
        let wanted = wanted(config);
        let numbers: BTreeMap<u32, &Destinations> =
            self.sets.iter().map(|(set, number)| (*number, set)).collect();
        let shrinks = |(source, number): (&IpNet, &u32)| {
            let now = wanted.get(source).map_or(&[][..], Vec::as_slice);
            let before = numbers.get(number).map_or(&[][..], |set| set.as_slice());
            before.iter().any(|net| now.binary_search(net).is_err()).then_some(*source)
        };
        let loosened: Vec<IpNet> = self.written_sources.iter().filter_map(shrinks).collect();
        for source in loosened {
            self.remove_source(source).map_err(|error| error.into_port(OPERATION))?;
        }
        Ok(())
    }

    /// To be called when the rules of `config` are there: drops what they would not let pass. Of protocols whose first
    /// packet looks like any other only once the programs have listened for two minutes. Idempotent; writes only
    /// differences.
    ///
    /// # Errors
    /// `Quota` where there are more sources or destinations than the maps have room for. What was written stays.
    pub fn tighten(&mut self, config: &SteeringConfig) -> Result<(), PortError> {
        self.write(&wanted(config)).map_err(|error| error.into_port(OPERATION))
    }

    fn write(&mut self, wanted: &BTreeMap<IpNet, Destinations>) -> Result<(), BpfError> {
        if !wanted.is_empty() && read_acts_from(&self.acts_from)? == 0 {
            write_acts_from(&mut self.acts_from)?;
        }
        for (source, set) in wanted {
            let number = self.number_of(set)?;
            if self.written_sources.get(source) != Some(&number) {
                let written = self.sources.insert(&source_key(*source), number, 0);
                written.map_err(BpfError::map(pins::POD_SOURCES))?;
                self.written_sources.insert(*source, number);
            }
        }
        let unwanted = |source: &&IpNet| !wanted.contains_key(source);
        let gone: Vec<IpNet> = self.written_sources.keys().filter(unwanted).copied().collect();
        for source in gone {
            self.remove_source(source)?;
        }
        self.remove_unused_sets()
    }

    /// The number of a set that the map holds whole.
    fn number_of(&mut self, set: &Destinations) -> Result<u32, BpfError> {
        if let Some(number) = self.sets.get(set) {
            return Ok(*number);
        }
        let taken: BTreeSet<u32> = self.sets.values().copied().collect();
        let number = (1..).find(|number| !taken.contains(number)).unwrap_or(u32::MAX);
        for destination in set {
            let written = self.destinations.insert(&destination_key(number, *destination), 1, 0);
            if let Err(error) = written {
                // Nothing points at it, and the room is another set's.
                self.remove_destinations(number, set)?;
                return Err(BpfError::map(pins::SELECTED_DESTINATIONS)(error));
            }
        }
        self.sets.insert(set.clone(), number);
        Ok(number)
    }

    fn remove_source(&mut self, source: IpNet) -> Result<(), BpfError> {
        pins::ignore_missing(self.sources.remove(&source_key(source)), pins::POD_SOURCES)?;
        self.written_sources.remove(&source);
        Ok(())
    }

    fn remove_unused_sets(&mut self) -> Result<(), BpfError> {
        let used: BTreeSet<u32> = self.written_sources.values().copied().collect();
        let unused = self.sets.iter().filter(|(_, number)| !used.contains(number));
        let unused: Vec<(Destinations, u32)> =
            unused.map(|(set, number)| (set.clone(), *number)).collect();
        for (set, number) in unused {
            self.remove_destinations(number, &set)?;
            self.sets.remove(&set);
        }
        Ok(())
    }

    fn remove_destinations(&mut self, number: u32, set: &Destinations) -> Result<(), BpfError> {
        for destination in set {
            let key = destination_key(number, *destination);
            pins::ignore_missing(self.destinations.remove(&key), pins::SELECTED_DESTINATIONS)?;
        }
        Ok(())
    }
}

/// The programs run on a link whose traffic they have not heard. Before rules have said what passes them nothing is done.
///
/// # Errors
/// What the kernel refused.
pub(crate) fn listen_again(directory: &Path) -> Result<(), BpfError> {
    let mut map = pins::array(directory, pins::ACTS_FROM)?;
    if read_acts_from(&map)? == 0 { Ok(()) } else { write_acts_from(&mut map) }
}

fn read_acts_from(map: &Array<MapData, u64>) -> Result<u64, BpfError> {
    map.get(&0, 0).map_err(BpfError::map(pins::ACTS_FROM))
}

fn write_acts_from(map: &mut Array<MapData, u64>) -> Result<(), BpfError> {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).map(Duration::from).unwrap_or_default();
    let at = u64::try_from((now + LISTENS).as_nanos()).unwrap_or(u64::MAX);
    map.set(0, at, 0).map_err(BpfError::map(pins::ACTS_FROM))
}

/// As long as the programs remember whom they have heard: `HEARD_NS` in bpf/heard.h.
const LISTENS: Duration = Duration::from_secs(120);

const OPERATION: &str = "tell the uplinks' programs what claims select";

fn wanted(config: &SteeringConfig) -> BTreeMap<IpNet, Destinations> {
    let mut wanted: BTreeMap<IpNet, Destinations> = BTreeMap::new();
    for flow in &config.flows {
        wanted.entry(flow.source.trunc()).or_default().push(flow.destination.trunc());
    }
    for destinations in wanted.values_mut() {
        destinations.sort_unstable();
        destinations.dedup();
    }
    wanted
}

fn prefix(net: IpNet) -> (AddressKey, u32) {
    let mapped = if net.network().is_ipv4() { 96 } else { 0 };
    (codec::key(net.network()), mapped + u32::from(net.prefix_len()))
}

fn source_key(source: IpNet) -> Key<AddressKey> {
    let (address, length) = prefix(source);
    Key::new(length, address)
}

fn destination_key(set: u32, destination: IpNet) -> Key<DestinationKey> {
    let (address, length) = prefix(destination);
    let mut data = [0; 4 + ADDRESS];
    data[..4].copy_from_slice(&set.to_ne_bytes());
    data[4..].copy_from_slice(&address);
    Key::new(32 + length, data)
}

fn net(address: AddressKey, length: u32) -> Option<IpNet> {
    let length = u8::try_from(length).ok()?;
    let address = Ipv6Addr::from(address);
    match (address.to_ipv4_mapped(), length.checked_sub(96)) {
        (Some(v4), Some(length)) => Ipv4Net::new(v4, length).ok().map(IpNet::from),
        _ => Ipv6Net::new(address, length).ok().map(IpNet::from),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nets(texts: &[&str]) -> Vec<IpNet> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn keys_are_read_back_as_they_were_written() {
        for net_ in nets(&["0.0.0.0/0", "10.244.1.2/32", "::/0", "2001:db8::/33"]) {
            let key = source_key(net_);
            assert_eq!(net(key.data(), key.prefix_len()), Some(net_));
            let key = destination_key(7, net_);
            let [a, b, c, d, address @ ..] = key.data();
            assert_eq!(u32::from_ne_bytes([a, b, c, d]), 7);
            assert_eq!(net(address, key.prefix_len() - 32), Some(net_));
        }
    }
}
