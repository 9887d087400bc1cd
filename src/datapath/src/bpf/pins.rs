//! Where things are pinned: `<pin_dir>/v<layout>/<map>` and `…/<program>_<interface index>`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use aya::Pod;
use aya::maps::{Array, HashMap, LpmTrie, Map, MapData, MapError, PerCpuArray};

use super::codec::{ADDRESS, CONFIG as CONFIG_SIZE, DIRECTOR, ENTRY, FRAGMENT, SLOTS};
use super::error::BpfError;

/// Version of the maps' layout. The feature `layout-next` makes the next one of the same content:
/// a build with which an upgrade across layouts can be tried.
pub const LAYOUT: u32 = if cfg!(feature = "layout-next") { 2 } else { 1 };

pub(crate) const ADDRESSES: &str = "addresses";
pub(crate) const BLOCKS: &str = "blocks";
pub(crate) const DIRECTORS: &str = "directors";
pub(crate) const GATEWAYS: &str = "gateways";
pub(crate) const CONFIG: &str = "config";
pub(crate) const FRAGMENTS: &str = "fragments";
pub(crate) const COUNTERS: &str = "counters";
pub(crate) const NEIGHBOUR_FRAMES: &str = "neighbour_frames";
pub(crate) const PROBE_ANSWERS: &str = "probe_answers";
pub(crate) const POD_SOURCES: &str = "pod_sources";
pub(crate) const SELECTED_DESTINATIONS: &str = "selected_destinations";
pub(crate) const ACTS_FROM: &str = "acts_from";

pub(crate) fn layout_directory(pin_dir: &Path, layout: u32) -> PathBuf {
    pin_dir.join(format!("v{layout}"))
}

/// The pin directories of other layouts, newest first.
pub(crate) fn other_layouts(pin_dir: &Path, layout: u32) -> Result<Vec<PathBuf>, BpfError> {
    let mut others: Vec<u32> = entries(pin_dir)?
        .iter()
        .filter_map(|name| name.strip_prefix('v')?.parse().ok())
        .filter(|other| *other != layout)
        .collect();
    others.sort_unstable_by(|a, b| b.cmp(a));
    Ok(others.into_iter().map(|other| layout_directory(pin_dir, other)).collect())
}

/// Names in a directory; none where it does not exist.
pub(crate) fn entries(directory: &Path) -> Result<Vec<String>, BpfError> {
    let listing = match fs::read_dir(directory) {
        Ok(listing) => listing,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(BpfError::pin(directory)(error)),
    };
    let mut names = Vec::new();
    for entry in listing {
        let entry = entry.map_err(BpfError::pin(directory))?;
        names.extend(entry.file_name().into_string().ok());
    }
    names.sort();
    Ok(names)
}

/// What is not there needs no removal.
pub(crate) fn ignore_missing(
    result: Result<(), MapError>,
    map: &'static str,
) -> Result<(), BpfError> {
    match result.map_err(BpfError::map(map)) {
        Err(error) if error.errno() != Some(libc::ENOENT) => Err(error),
        _ => Ok(()),
    }
}

fn open(directory: &Path, name: &'static str) -> Result<Map, BpfError> {
    MapData::from_pin(directory.join(name))
        .and_then(Map::from_map_data)
        .map_err(BpfError::map(name))
}

pub(crate) fn hash<K: Pod, V: Pod>(
    directory: &Path,
    name: &'static str,
) -> Result<HashMap<MapData, K, V>, BpfError> {
    HashMap::try_from(open(directory, name)?).map_err(BpfError::map(name))
}

pub(crate) fn trie<K: Pod, V: Pod>(
    directory: &Path,
    name: &'static str,
) -> Result<LpmTrie<MapData, K, V>, BpfError> {
    LpmTrie::try_from(open(directory, name)?).map_err(BpfError::map(name))
}

pub(crate) fn array<V: Pod>(
    directory: &Path,
    name: &'static str,
) -> Result<Array<MapData, V>, BpfError> {
    Array::try_from(open(directory, name)?).map_err(BpfError::map(name))
}

pub(crate) fn counters(directory: &Path) -> Result<PerCpuArray<MapData, u64>, BpfError> {
    PerCpuArray::try_from(open(directory, COUNTERS)?).map_err(BpfError::map(COUNTERS))
}

/// Copies what the maps of an older layout hold into this layout's. What is already there is
/// overwritten: while the old directory exists, it is the one that counts.
///
/// Not copied: who was told lately that packets are too big (100 ms of memory); whose sources claims select,
/// which the agent writes again with its first rules; who was heard, whom the programs hear again before they act.
pub(crate) fn copy_maps(from: &Path, to: &Path) -> Result<(), BpfError> {
    copy_hash::<[u8; ADDRESS], [u8; ENTRY]>(from, to, ADDRESSES)?;
    copy_hash::<[u8; ADDRESS], u32>(from, to, GATEWAYS)?;
    copy_hash::<[u8; FRAGMENT.0], [u8; FRAGMENT.1]>(from, to, FRAGMENTS)?;
    copy_array::<[u8; DIRECTOR]>(from, to, DIRECTORS)?;
    copy_hash::<[u8; ADDRESS], [u8; SLOTS]>(from, to, BLOCKS)?;
    copy_array::<[u8; CONFIG_SIZE]>(from, to, CONFIG)?;
    copy_counters(from, to)
}

fn copy_hash<K: Pod, V: Pod>(from: &Path, to: &Path, name: &'static str) -> Result<(), BpfError> {
    if !readable::<K, V>(from, name)? {
        return Ok(());
    }
    let old = hash::<K, V>(from, name)?;
    let mut new = hash::<K, V>(to, name)?;
    for pair in old.iter() {
        let (key, value) = pair.map_err(BpfError::map(name))?;
        new.insert(key, value, 0).map_err(BpfError::map(name))?;
    }
    Ok(())
}

fn copy_array<V: Pod>(from: &Path, to: &Path, name: &'static str) -> Result<(), BpfError> {
    if !readable::<u32, V>(from, name)? {
        return Ok(());
    }
    let old = array::<V>(from, name)?;
    let mut new = array::<V>(to, name)?;
    for index in 0..old.len().min(new.len()) {
        let value = old.get(&index, 0).map_err(BpfError::map(name))?;
        new.set(index, value, 0).map_err(BpfError::map(name))?;
    }
    Ok(())
}

fn copy_counters(from: &Path, to: &Path) -> Result<(), BpfError> {
    if !readable::<u32, u64>(from, COUNTERS)? {
        return Ok(());
    }
    copy_counted(&counters(from)?, to)
}

/// Copies what another array has counted.
pub(crate) fn copy_counted(
    old: &PerCpuArray<MapData, u64>,
    directory: &Path,
) -> Result<(), BpfError> {
    let failed = || BpfError::map(COUNTERS);
    let mut new = counters(directory)?;
    for index in 0..old.len().min(new.len()) {
        let values = old.get(&index, 0).map_err(failed())?;
        new.set(index, values, 0).map_err(failed())?;
    }
    Ok(())
}

/// Takes away an array of counters that has no room for those of this version, and returns it: the programs of an
/// earlier version go on counting in it until they are replaced. `None` where there is none, or room.
pub(crate) fn take_short_counters(
    directory: &Path,
    room: u32,
) -> Result<Option<PerCpuArray<MapData, u64>>, BpfError> {
    let path = directory.join(COUNTERS);
    if !path.exists() {
        return Ok(None);
    }
    let old = counters(directory)?;
    if old.len() >= room {
        return Ok(None);
    }
    fs::remove_file(&path).map_err(BpfError::pin(&path))?;
    Ok(Some(old))
}

/// Whether the older layout has the map at all; an error where its sizes are unknown.
fn readable<K: Pod, V: Pod>(from: &Path, name: &'static str) -> Result<bool, BpfError> {
    let path = from.join(name);
    if !path.exists() {
        return Ok(false);
    }
    let map = MapData::from_pin(&path).map_err(BpfError::map(name))?;
    let info = map.info().map_err(BpfError::map(name))?;
    let found = (info.key_size() as usize, info.value_size() as usize);
    let expected = (size_of::<K>(), size_of::<V>());
    if found == expected {
        return Ok(true);
    }
    let pair = |(key, value)| format!("{key} + {value}");
    Err(BpfError::Layout { path, found: pair(found), expected: pair(expected) })
}
