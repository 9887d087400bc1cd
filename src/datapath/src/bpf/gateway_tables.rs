use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use aya::maps::{Array, HashMap, MapData};
use egret_core::model::PortRange;
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::gateway::{Director, GatewayMaps};

use super::block_plan::{self, BadBlocks, Endpoints, HeldBlocks, MapWrite, Slots};
use super::codec::{self, AddressKey, CONFIG, DIRECTOR, SLOTS};
use super::error::BpfError;
use super::{counters, pins};

/// Port blocks, gateways and counters, for the agent's feed of plans: [`GatewayMaps`] on the pinned
/// maps. Opening it reads what the kernel holds, so that a restarted agent writes only differences.
pub struct GatewayTables {
    directory: PathBuf,
    blocks: HashMap<MapData, AddressKey, [u8; SLOTS]>,
    directors: Array<MapData, [u8; DIRECTOR]>,
    gateways: HashMap<MapData, AddressKey, u32>,
    config: Array<MapData, [u8; CONFIG]>,
    held: HeldBlocks,
    known_gateways: BTreeSet<IpAddr>,
}

impl GatewayTables {
    /// Opens what [`super::load`] has pinned under `pin_dir` for layout `layout`.
    ///
    /// # Errors
    /// Where nothing is pinned there, or the kernel refuses.
    pub fn open(pin_dir: &Path, layout: u32) -> Result<Self, BpfError> {
        let directory = pins::layout_directory(pin_dir, layout);
        let mut tables = Self {
            blocks: pins::hash(&directory, pins::BLOCKS)?,
            directors: pins::array(&directory, pins::DIRECTORS)?,
            gateways: pins::hash(&directory, pins::GATEWAYS)?,
            config: pins::array(&directory, pins::CONFIG)?,
            held: HeldBlocks::default(),
            known_gateways: BTreeSet::new(),
            directory,
        };
        for pair in tables.blocks.iter() {
            let (key, bytes) = pair.map_err(BpfError::map(pins::BLOCKS))?;
            if let Some(address) = codec::address(&key) {
                tables.held.slots.insert(address, decode_slots(&bytes));
            }
        }
        tables.held.directors = tables.read_directors()?;
        tables.held.last = tables.held.directors.keys().max().copied().unwrap_or(0);
        for key in tables.gateways.keys() {
            let key = key.map_err(BpfError::map(pins::GATEWAYS))?;
            tables.known_gateways.extend(codec::address(&key));
        }
        Ok(tables)
    }

    fn read_directors(&self) -> Result<BTreeMap<u16, Endpoints>, BpfError> {
        let named: BTreeSet<u16> =
            self.held.slots.values().flat_map(|slots| slots.iter().copied()).collect();
        let mut directors = BTreeMap::new();
        for number in named {
            let bytes = self.directors.get(&u32::from(number), 0);
            let bytes = bytes.map_err(BpfError::map(pins::DIRECTORS))?;
            let mut halves = [[0; 16]; 2];
            halves[0].copy_from_slice(&bytes[..16]);
            halves[1].copy_from_slice(&bytes[16..]);
            if let Some(target) = codec::address(&halves[0]) {
                directors.insert(number, (target, codec::address(&halves[1])));
            }
        }
        Ok(directors)
    }

    fn carry_out(&mut self, write: &MapWrite) -> Result<(), BpfError> {
        match write {
            MapWrite::Director(number, (target, other)) => self
                .directors
                .set(u32::from(*number), codec::encode_director(*target, *other), 0)
                .map_err(BpfError::map(pins::DIRECTORS)),
            MapWrite::Slots(address, slots) => self
                .blocks
                .insert(codec::key(*address), encode_slots(slots), 0)
                .map_err(BpfError::map(pins::BLOCKS)),
            MapWrite::DropSlots(address) => {
                pins::ignore_missing(self.blocks.remove(&codec::key(*address)), pins::BLOCKS)
            }
        }
    }
}

impl GatewayMaps for GatewayTables {
    fn set_blocks(
        &mut self,
        blocks: &BTreeMap<(IpAddr, PortRange), Director>,
    ) -> Result<(), PortError> {
        let operation = "program the port blocks";
        let own = self.config.get(&0, 0).map_err(BpfError::map(pins::CONFIG));
        let own = codec::decode_endpoints(&own.map_err(|error| error.into_port(operation))?);
        let writes = block_plan::plan(&self.held, blocks, &own).map_err(|error| {
            let class = match error {
                BadBlocks::TooManyDirectors => ErrorClass::Quota,
                _ => ErrorClass::Invalid,
            };
            PortError::new(class, operation, error)
        })?;
        for write in writes {
            self.carry_out(&write).map_err(|error| error.into_port(operation))?;
            self.held.note(write);
        }
        self.held.forget_unused();
        Ok(())
    }

    fn set_gateways(&mut self, gateways: &BTreeSet<IpAddr>) -> Result<(), PortError> {
        let operation = "program the gateways";
        for gateway in gateways.difference(&self.known_gateways.clone()) {
            let written = self.gateways.insert(codec::key(*gateway), 1, 0);
            written.map_err(|e| BpfError::map(pins::GATEWAYS)(e).into_port(operation))?;
            self.known_gateways.insert(*gateway);
        }
        for gateway in self.known_gateways.clone().difference(gateways) {
            pins::ignore_missing(self.gateways.remove(&codec::key(*gateway)), pins::GATEWAYS)
                .map_err(|error| error.into_port(operation))?;
            self.known_gateways.remove(gateway);
        }
        Ok(())
    }

    fn counters(&mut self) -> Result<BTreeMap<&'static str, u64>, PortError> {
        counters::read(&self.directory).map_err(|error| error.into_port("read the BPF counters"))
    }
}

fn encode_slots(slots: &Slots) -> [u8; SLOTS] {
    let mut bytes = [0; SLOTS];
    for (pair, slot) in bytes.chunks_exact_mut(2).zip(slots) {
        pair.copy_from_slice(&slot.to_ne_bytes());
    }
    bytes
}

fn decode_slots(bytes: &[u8; SLOTS]) -> Box<Slots> {
    let mut slots = Box::new([0; SLOTS / 2]);
    for (slot, pair) in slots.iter_mut().zip(bytes.chunks_exact(2)) {
        *slot = u16::from_ne_bytes([pair[0], pair[1]]);
    }
    slots
}
