use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use aya::maps::{Array, HashMap, MapData, MapError};
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::gateway::{AddressEntry, AddressMap};

use super::codec::{self, AddressKey, CONFIG, ENTRY, StoredEntry};
use super::error::BpfError;
use super::pins;

/// The map of addresses, for the lease thread: [`AddressMap`] on the pinned map.
///
/// `Send`; keeps nothing but open files, and which wire addresses and addresses of the host it has entered.
pub struct AddressTable {
    addresses: HashMap<MapData, AddressKey, [u8; ENTRY]>,
    config: Array<MapData, [u8; CONFIG]>,
    wires: BTreeMap<IpAddr, IpAddr>,
    host: BTreeSet<IpAddr>,
}

impl AddressTable {
    /// Opens what [`super::load`] has pinned under `pin_dir` for layout `layout`.
    ///
    /// # Errors
    /// Where nothing is pinned there, or the kernel refuses.
    pub fn open(pin_dir: &Path, layout: u32) -> Result<Self, BpfError> {
        let directory = pins::layout_directory(pin_dir, layout);
        let mut table = Self {
            addresses: pins::hash(&directory, pins::ADDRESSES)?,
            config: pins::array(&directory, pins::CONFIG)?,
            wires: BTreeMap::new(),
            host: BTreeSet::new(),
        };
        for (address, entry) in table.read()? {
            match entry {
                StoredEntry::Entry(AddressEntry { wire: Some(wire), .. }) => {
                    table.wires.insert(address, wire);
                }
                StoredEntry::Host => {
                    table.host.insert(address);
                }
                _ => {}
            }
        }
        Ok(table)
    }

    fn read(&self) -> Result<BTreeMap<IpAddr, StoredEntry>, BpfError> {
        let mut entries = BTreeMap::new();
        for pair in self.addresses.iter() {
            let (key, bytes) = pair.map_err(BpfError::map(pins::ADDRESSES))?;
            if let (Some(address), Some(entry)) =
                (codec::address(&key), codec::decode_entry(&bytes))
            {
                entries.insert(address, entry);
            }
        }
        Ok(entries)
    }

    fn has_entry(&self, address: IpAddr) -> Result<bool, BpfError> {
        match self.addresses.get(&codec::key(address), 0) {
            Ok(_) => Ok(true),
            Err(MapError::KeyNotFound) => Ok(false),
            Err(error) => Err(BpfError::map(pins::ADDRESSES)(error)),
        }
    }

    fn write_host(&mut self, wanted: &BTreeSet<IpAddr>) -> Result<(), BpfError> {
        let gone: Vec<IpAddr> = self.host.difference(wanted).copied().collect();
        for address in gone {
            self.delete(address)?;
            self.host.remove(&address);
        }
        let new: Vec<IpAddr> = wanted.difference(&self.host).copied().collect();
        for address in new {
            if !self.has_entry(address)? {
                self.addresses
                    .insert(codec::key(address), codec::encode_host(), 0)
                    .map_err(BpfError::map(pins::ADDRESSES))?;
                self.host.insert(address);
            }
        }
        Ok(())
    }

    fn write(&mut self, address: IpAddr, entry: &AddressEntry) -> Result<(), BpfError> {
        let failed = BpfError::map(pins::ADDRESSES);
        let mut entry = entry.clone();
        entry.wire = entry.wire.filter(|wire| *wire != address);
        let old_wire = self.wires.get(&address).copied();
        self.addresses
            .insert(codec::key(address), codec::encode_entry(&entry), 0)
            .map_err(&failed)?;
        self.host.remove(&address);
        if let Some(wire) = entry.wire {
            let own = self.config.get(&0, 0).map_err(BpfError::map(pins::CONFIG))?;
            let shared = codec::decode_endpoints(&own).contains(&wire);
            self.addresses
                .insert(codec::key(wire), codec::encode_alias(address, shared), 0)
                .map_err(&failed)?;
            self.host.remove(&wire);
            self.wires.insert(address, wire);
        }
        if let Some(wire) = old_wire.filter(|wire| Some(*wire) != entry.wire) {
            self.delete(wire)?;
            if entry.wire.is_none() {
                self.wires.remove(&address);
            }
        }
        Ok(())
    }

    fn delete(&mut self, address: IpAddr) -> Result<(), BpfError> {
        let removed = self.addresses.remove(&codec::key(address));
        match removed.map_err(BpfError::map(pins::ADDRESSES)) {
            Err(error) if error.errno() != Some(libc::ENOENT) => Err(error),
            _ => Ok(()),
        }
    }
}

impl AddressMap for AddressTable {
    fn put(&mut self, address: IpAddr, entry: &AddressEntry) -> Result<(), PortError> {
        let mixed = |other: Option<IpAddr>| other.is_some_and(|o| o.is_ipv4() != address.is_ipv4());
        if mixed(entry.wire) {
            let operation = format!("program egress address {address}");
            let reason = "the wire address is of another family";
            return Err(PortError::new(ErrorClass::Invalid, operation, reason));
        }
        self.write(address, entry)
            .map_err(|error| error.into_port(format!("program egress address {address}")))
    }

    fn remove(&mut self, address: IpAddr) -> Result<(), PortError> {
        let wire = self.wires.remove(&address);
        wire.map_or(Ok(()), |wire| self.delete(wire))
            .and_then(|()| self.delete(address))
            .map_err(|error| error.into_port(format!("remove egress address {address}")))
    }

    fn set_host(&mut self, addresses: &BTreeSet<IpAddr>) -> Result<(), PortError> {
        self.write_host(addresses)
            .map_err(|error| error.into_port("program the addresses of this node's uplinks"))
    }

    fn entries(&mut self) -> Result<BTreeMap<IpAddr, AddressEntry>, PortError> {
        let all = self.read();
        let all = all.map_err(|error| error.into_port("read the egress addresses of this node"))?;
        let egress = all.into_iter().filter_map(|(address, stored)| match stored {
            StoredEntry::Entry(entry) => Some((address, entry)),
            StoredEntry::Alias(_) | StoredEntry::Host => None,
        });
        Ok(egress.collect())
    }
}
