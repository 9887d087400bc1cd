use std::collections::BTreeMap;
use std::path::Path;

use super::error::BpfError;
use super::pins;
use super::reasons::REASONS;

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
