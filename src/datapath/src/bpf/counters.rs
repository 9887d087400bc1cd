use std::collections::BTreeMap;
use std::path::Path;

use aya::maps::{HashMap, MapData};

use super::error::BpfError;
use super::pins::{self, LAYOUT};
use super::reasons::REASONS;

/// Packets by reason of a node whose programs are loaded: for `egret explain --live`.
///
/// # Errors
/// Where nothing is pinned under `pin_dir` for this layout, or the kernel refuses.
pub fn counters(pin_dir: &Path) -> Result<BTreeMap<&'static str, u64>, BpfError> {
    read(&pins::layout_directory(pin_dir, LAYOUT))
}

/// Packets by reason, over all processors, since the maps were made.
pub(crate) fn read(directory: &Path) -> Result<BTreeMap<&'static str, u64>, BpfError> {
    let counters = pins::counters(directory)?;
    let mut sums = BTreeMap::new();
    for (index, reason) in (0..counters.len()).zip(REASONS) {
        let values = counters.get(&index, 0).map_err(BpfError::map(pins::COUNTERS))?;
        sums.insert(reason.name, values.iter().sum());
    }
    Ok(sums)
}

/// The number of the last answer to each question: by its egress address and size.
pub(crate) fn probe_answers(pin_dir: &Path) -> Result<HashMap<MapData, [u8; 20], u64>, BpfError> {
    pins::hash(&pins::layout_directory(pin_dir, LAYOUT), pins::PROBE_ANSWERS)
}

/// Frames of ARP and neighbour discovery that the programs have seen: by a link's index and its end.
pub(crate) fn neighbour_frames(pin_dir: &Path) -> Result<HashMap<MapData, [u8; 8], u64>, BpfError> {
    pins::hash(&pins::layout_directory(pin_dir, LAYOUT), pins::NEIGHBOUR_FRAMES)
}
