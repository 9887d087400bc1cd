//! Which of this director's port blocks are open: granted, and known to the holder's kernel.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Instant;
use std::{fs, io};

use egret_core::model::PortRange;
use egret_datapath::conntrack::AddressUsage;

/// Blocks granted, by address, with the grant's epoch.
pub(crate) type GrantedBlocks = BTreeMap<IpAddr, BTreeMap<PortRange, u64>>;

/// Up to which epoch a holder of each address has acknowledged grants; kept across restarts of the
/// process, so that no restart closes a block that was open.
#[derive(Debug, Default)]
pub(crate) struct AcknowledgedGrants {
    path: PathBuf,
    epochs: BTreeMap<IpAddr, u64>,
}

impl AcknowledgedGrants {
    pub(crate) fn read(run_dir: &Path) -> Self {
        let path = run_dir.join("blocks.json");
        // Absent or unreadable: the holder is asked again, which takes one round trip.
        let epochs = fs::read(&path)
            .ok()
            .and_then(|bytes| serde_json::from_slice(&bytes).ok())
            .unwrap_or_default();
        Self { path, epochs }
    }

    /// Takes note of an acknowledgement; true where it opens something.
    pub(crate) fn note(&mut self, address: IpAddr, epoch: u64) -> io::Result<bool> {
        let known = self.epochs.entry(address).or_default();
        if *known >= epoch {
            return Ok(false);
        }
        *known = epoch;
        let next = self.path.with_extension("next");
        fs::write(&next, serde_json::to_vec(&self.epochs).map_err(io::Error::other)?)?;
        fs::rename(&next, &self.path)?;
        Ok(true)
    }

    pub(crate) fn open(&self, granted: &GrantedBlocks) -> BTreeMap<IpAddr, BTreeSet<PortRange>> {
        open(granted, &self.epochs)
    }

    /// Per address the newest grant that the holder has still to acknowledge.
    pub(crate) fn to_ask(&self, granted: &GrantedBlocks) -> BTreeMap<IpAddr, u64> {
        to_ask(granted, &self.epochs)
    }
}

fn open(
    granted: &GrantedBlocks,
    acknowledged: &BTreeMap<IpAddr, u64>,
) -> BTreeMap<IpAddr, BTreeSet<PortRange>> {
    let mut open: BTreeMap<IpAddr, BTreeSet<PortRange>> = BTreeMap::new();
    for (address, blocks) in granted {
        let known = acknowledged.get(address).copied().unwrap_or(0);
        for (ports, _) in blocks.iter().filter(|(_, epoch)| **epoch <= known) {
            open.entry(*address).or_default().insert(*ports);
        }
    }
    open
}

fn to_ask(granted: &GrantedBlocks, acknowledged: &BTreeMap<IpAddr, u64>) -> BTreeMap<IpAddr, u64> {
    granted
        .iter()
        .filter_map(|(address, blocks)| {
            let newest = blocks.values().max()?;
            let known = acknowledged.get(address).copied().unwrap_or(0);
            (known < *newest).then_some((*address, *newest))
        })
        .collect()
}

/// Addresses that this node uses and has had no open block of, since when. Pure: the caller keeps
/// the result and passes it in again.
pub(crate) fn without_block(
    before: &BTreeMap<IpAddr, Instant>,
    used: impl IntoIterator<Item = IpAddr>,
    open: &BTreeMap<IpAddr, BTreeSet<PortRange>>,
    now: Instant,
) -> BTreeMap<IpAddr, Instant> {
    used.into_iter()
        .filter(|address| !open.contains_key(address))
        .map(|address| (address, before.get(&address).copied().unwrap_or(now)))
        .collect()
}

/// How many blocks of each address this node asks for: one more where the connections to one
/// destination take 80 % of the ports (above that the kernel's search for a free one begins to
/// drop first packets in silence). Nothing is given back: a new connection could take a port of the
/// block between the word and the end of the grant, and would end with it.
pub(crate) fn pressure(
    usage: &BTreeMap<IpAddr, AddressUsage>,
    granted: &GrantedBlocks,
    before: &BTreeMap<IpAddr, u32>,
) -> BTreeMap<IpAddr, u32> {
    let mut needs = BTreeMap::new();
    for (address, blocks) in granted {
        let busiest = usage
            .get(address)
            .and_then(|usage| usage.busiest)
            .map_or(0, |(_, _, connections)| connections);
        let ports: u64 = blocks.keys().map(|ports| u64::from(ports.size())).sum();
        let count = u32::try_from(blocks.len()).unwrap_or(u32::MAX);
        let need = if busiest * 10 >= ports * 8 {
            count + 1
        } else {
            // A grant that is on its way is still wanted.
            count.max(before.get(address).copied().unwrap_or(0).min(count + 1))
        };
        needs.insert(*address, need);
    }
    needs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_block_asks_for_another_and_none_is_given_back() {
        let address: IpAddr = "203.0.113.17".parse().unwrap();
        let ports = |first| PortRange::new(first, first + 127).unwrap();
        let use_of = |connections| {
            let busiest = Some((6, "198.51.100.7:443".parse().unwrap(), connections));
            BTreeMap::from([(address, AddressUsage { connections, busiest })])
        };
        let one = BTreeMap::from([(address, BTreeMap::from([(ports(1024), 1)]))]);
        let two = BTreeMap::from([(address, BTreeMap::from([(ports(1024), 1), (ports(1152), 2)]))]);
        let need = |connections, granted: &GrantedBlocks, before| {
            pressure(&use_of(connections), granted, &BTreeMap::from([(address, before)]))[&address]
        };
        assert_eq!(need(102, &one, 1), 1);
        assert_eq!(need(103, &one, 1), 2);
        assert_eq!(need(90, &one, 2), 2);
        assert_eq!(need(103, &two, 2), 2);
        assert_eq!(need(0, &two, 2), 2);
        assert_eq!(need(0, &one, 1), 1);
    }

    #[test]
    fn an_address_is_without_block_from_its_first_use_until_one_opens() {
        let address: IpAddr = "203.0.113.17".parse().unwrap();
        let begin = Instant::now();
        let later = begin + std::time::Duration::from_secs(7);
        let none = BTreeMap::new();
        let first = without_block(&BTreeMap::new(), [address], &none, begin);
        assert_eq!(without_block(&first, [address], &none, later), first);
        let open = BTreeMap::from([(address, BTreeSet::new())]);
        assert!(without_block(&first, [address], &open, later).is_empty());
        assert!(without_block(&first, [], &none, later).is_empty());
    }

    #[test]
    fn a_block_opens_when_its_grant_is_acknowledged() {
        let directory = tempfile::tempdir().unwrap();
        let address: IpAddr = "203.0.113.17".parse().unwrap();
        let ports = |first| PortRange::new(first, first + 127).unwrap();
        let granted =
            BTreeMap::from([(address, BTreeMap::from([(ports(1024), 5), (ports(2048), 9)]))]);
        let mut acknowledged = AcknowledgedGrants::read(directory.path());
        assert!(acknowledged.open(&granted).is_empty());
        assert_eq!(acknowledged.to_ask(&granted), BTreeMap::from([(address, 9)]));

        assert!(acknowledged.note(address, 5).unwrap());
        assert_eq!(acknowledged.open(&granted)[&address], BTreeSet::from([ports(1024)]));
        assert!(acknowledged.note(address, 9).unwrap());
        assert!(!acknowledged.note(address, 7).unwrap());

        let again = AcknowledgedGrants::read(directory.path());
        assert_eq!(again.open(&granted)[&address].len(), 2);
        assert!(again.to_ask(&granted).is_empty());
    }
}
