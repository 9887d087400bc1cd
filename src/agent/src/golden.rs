//! The files that an agent writes on its node, byte for byte: the next process reads what an older
//! one wrote, and the container runtime reads what both wrote.
//!
//! `EGRET_UPDATE=golden cargo test -p egret-agent golden` writes the golden files anew.

mod snapshot;

use std::fs;
use std::net::IpAddr;
use std::path::Path;

use crate::blocks::AcknowledgedGrants;
use crate::lease_thread::PersistedLeaseFile;

/// The golden text, after it was compared with `found`, or written where `EGRET_UPDATE` says so.
pub(crate) fn golden(name: &str, found: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var("EGRET_UPDATE").is_ok_and(|what| what == "golden") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, found).unwrap();
    }
    let wanted = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "{name} is what this build no longer writes");
    wanted
}

/// The text of the only file that a directory has.
pub(crate) fn only_file(directory: &Path, name: &str) -> String {
    let names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, [name]);
    fs::read_to_string(directory.join(name)).unwrap()
}

/// The bytes of a line `label: hex`.
fn bytes(line: &str) -> Vec<u8> {
    let (_, hex) = line.split_once(": ").unwrap();
    let digits = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
    digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
}

/// The file holds what the core's own test pins, and nothing before or behind it.
#[test]
fn lease_kept_is_read_and_written_as_ever() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../core/tests/golden/lease.kept.txt");
    let text = fs::read_to_string(path).unwrap();
    let mut read = Vec::new();
    for line in text.lines() {
        let (older, newer) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        fs::write(older.path().join("lease.kept"), bytes(line)).unwrap();
        let kept = PersistedLeaseFile::new(older.path()).read().unwrap();
        PersistedLeaseFile::new(newer.path()).write(&kept).unwrap();
        assert_eq!(fs::read(newer.path().join("lease.kept")).unwrap(), bytes(line));
        assert_eq!(fs::read_dir(newer.path()).unwrap().count(), 1);
        read.push(kept);
    }
    let [full, bare] = <[_; 2]>::try_from(read).unwrap();
    assert_eq!(full.boot_id, "11111111-2222-3333-4444-555555555555");
    assert_eq!((full.acknowledged_set, full.fences_read_for), (299, 298));
    assert_eq!((bare.boot_id.as_str(), bare.boot_grace_since.0), ("b", 7));
}

#[test]
fn blocks_are_read_and_written_as_ever() {
    let addresses = ["203.0.113.17", "2001:db8:5::17"].map(|text| text.parse::<IpAddr>().unwrap());
    let directory = tempfile::tempdir().unwrap();
    let mut acknowledged = AcknowledgedGrants::read(directory.path());
    for (address, epoch) in addresses.into_iter().zip(5..) {
        assert!(acknowledged.note(address, epoch).unwrap());
    }
    let text = golden("blocks.json", &only_file(directory.path(), "blocks.json"));

    let other = tempfile::tempdir().unwrap();
    fs::write(other.path().join("blocks.json"), text).unwrap();
    let mut read = AcknowledgedGrants::read(other.path());
    for (address, epoch) in addresses.into_iter().zip(5..) {
        assert!(!read.note(address, epoch).unwrap(), "{address} is known up to {epoch}");
        assert!(read.note(address, epoch + 1).unwrap(), "{address} is not known further");
    }
}
