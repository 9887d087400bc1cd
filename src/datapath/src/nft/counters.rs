use std::collections::BTreeMap;

use egret_ports::error::{ErrorClass, PortError};
use egret_ports::steering::{FamilyPackets, SteeredPackets, SteeringCounters, SteeringDrop};

use super::observe::read;
use super::rules;
use super::table::NftTable;
use crate::nft_tool;

/// The counters of our table.
pub(super) struct NftCounters {
    pub(super) table: String,
}

impl NftCounters {
    /// Packets by counter; empty where the table is not there.
    fn packets(&self) -> Result<BTreeMap<String, u64>, PortError> {
        let operation = "read the nft counters";
        // Of all tables: to list those of one that is not there is an error.
        let mut listing = nft_tool::list(&["list", "counters"], operation, nft_tool::COUNTERS)?;
        if let Some(objects) = listing["nftables"].as_array_mut() {
            objects.retain(|object| {
                let counter = &object["counter"];
                counter["family"] == "inet" && counter["table"] == self.table.as_str()
            });
        }
        let reading = read(&listing, &NftTable::default()).ok_or_else(|| {
            PortError::new(ErrorClass::Transient, operation, "the listing does not decode")
        })?;
        Ok(reading.packets)
    }
}

impl SteeringCounters for NftCounters {
    fn steered(&self) -> Result<SteeredPackets, PortError> {
        let packets = self.packets()?;
        let count = |name| {
            packets.get(name).copied().ok_or_else(|| {
                let remedy = "the table is not there: apply a steering config first";
                PortError::new(ErrorClass::NotFound, "read the nft counters", remedy)
            })
        };
        let of = |way: rules::WayCounters| -> Result<FamilyPackets, PortError> {
            Ok(FamilyPackets {
                selected: count(way.selected)?,
                entered: count(way.entered)?,
                returned: count(way.returned)?,
            })
        };
        Ok(SteeredPackets {
            ipv4: of(rules::IPV4_WAY)?,
            ipv6: of(rules::IPV6_WAY)?,
            refused: drops(&packets).values().sum(),
        })
    }

    fn drops(&self) -> Result<BTreeMap<SteeringDrop, u64>, PortError> {
        self.packets().map(|packets| drops(&packets))
    }
}

fn drops(packets: &BTreeMap<String, u64>) -> BTreeMap<SteeringDrop, u64> {
    let dropped = |drop: &SteeringDrop| Some((*drop, *packets.get(rules::counter(*drop).0)?));
    SteeringDrop::ALL.iter().filter_map(dropped).collect()
}
