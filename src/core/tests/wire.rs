//! The bytes that agents send each other about leases, and those of `lease.kept`.
//!
//! An older agent talks with a newer one, and a new process reads what an old one kept. So a change
//! of these files is a change of the protocol. `EGRET_UPDATE=golden cargo test -p egret-core --test
//! wire` writes them anew.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::BTreeSet;
use std::fmt::{Debug, Write as _};
use std::path::Path;

use serde::Serialize;
use serde::de::DeserializeOwned;

#[path = "wire/kept.rs"]
mod kept;
#[path = "wire/messages.rs"]
mod messages;

/// The golden text, after it was compared with `found`, or written where `EGRET_UPDATE` says so.
#[expect(clippy::disallowed_methods, reason = "the switch is the test's, not the core's")]
fn golden(name: &str, found: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var("EGRET_UPDATE").is_ok_and(|what| what == "golden") {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, found).unwrap();
    }
    let wanted = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "{name} is what this build no longer writes");
    wanted
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    assert!(hex.len().is_multiple_of(2), "{hex}");
    let digits = (0..hex.len()).step_by(2).map(|at| &hex[at..at + 2]);
    digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()).collect()
}

/// Compares every value's bytes with the golden ones, and what the golden bytes decode to with the
/// value. Returns the golden bytes.
fn pinned<T>(name: &str, values: &[(&str, T)]) -> Vec<Vec<u8>>
where
    T: Serialize + DeserializeOwned + PartialEq + Debug,
{
    let mut found = String::new();
    for (label, value) in values {
        let encoded = postcard::to_stdvec(value).unwrap();
        writeln!(found, "{label}: {}", hex(&encoded)).unwrap();
    }
    let text = golden(name, &found);
    let lines: Vec<(&str, Vec<u8>)> = text
        .lines()
        .map(|line| line.split_once(": ").unwrap())
        .map(|(label, digits)| (label, bytes(digits)))
        .collect();
    assert_eq!(lines.len(), values.len());
    for ((label, wanted), (golden, bytes)) in values.iter().zip(&lines) {
        assert_eq!(label, golden);
        assert_eq!(postcard::from_bytes::<T>(bytes).unwrap(), *wanted, "{label}");
    }
    lines.into_iter().map(|(_, bytes)| bytes).collect()
}

#[test]
fn every_message_has_its_bytes() {
    let golden = pinned("messages.txt", &messages::all());
    // The first byte is the variant: none is left out.
    let variants: BTreeSet<u8> = golden.iter().map(|bytes| bytes[0]).collect();
    assert_eq!(variants, (0..17).collect());
    let beyond = [17];
    assert!(postcard::from_bytes::<egret_core::lease::Message>(&beyond).is_err());
}

#[test]
fn what_is_kept_has_its_bytes() {
    pinned("lease.kept.txt", &kept::all());
}

/// Numbers that are made from texts and compared with those of other nodes.
#[test]
fn names_of_sets_stay() {
    let set = kept::voter_set();
    let id = egret_core::lease::SetId::of("cluster-1", &set);
    golden("set-id.txt", &format!("number {}\ndigest {:016x}\n", id.number, id.digest));
}
