//! The table of calls and permissions is the code's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Method, modes, permissions, inferred ones, page.
fn rows() -> impl Iterator<Item = Vec<&'static str>> {
    let table = include_str!("../../permissions.tsv");
    let rows = table.lines().filter(|line| !line.starts_with('#')).skip(1);
    rows.map(|row| row.split('\t').collect())
}

/// What the controller needs for pools of a mode.
pub(super) fn needed(mode: &str) -> BTreeSet<&'static str> {
    let of_mode = rows().filter(|row| row[1].split(' ').any(|it| it == mode));
    let names = of_mode.flat_map(|row| [row[2], row[3]]).flat_map(|cell| cell.split(' '));
    let names: BTreeSet<&str> = names.filter(|name| *name != "-").collect();
    assert!(!names.is_empty(), "permissions.tsv has no mode {mode}");
    names
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("the sources are there");
    entries.map(|entry| entry.expect("it can be listed").path()).collect()
}

/// The methods that the sources name.
fn called() -> BTreeSet<String> {
    let compute = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/compute");
    let mut called = BTreeSet::new();
    for file in sources(&compute) {
        let source = std::fs::read_to_string(&file).expect("it can be read");
        let texts = source.split('"').skip(1).step_by(2);
        called.extend(texts.filter(|text| text.starts_with("compute.")).map(ToOwned::to_owned));
    }
    called
}

#[test]
fn every_call_is_in_the_table_and_nothing_else() {
    let table: BTreeSet<String> = rows().map(|row| row[0].to_owned()).collect();
    assert_eq!(table, called());
}

#[test]
fn a_method_is_once_in_a_mode() {
    let all: Vec<(&str, &str)> = rows()
        .flat_map(|row| row[1].split(' ').map(move |mode| (row[0], mode)).collect::<Vec<_>>())
        .collect();
    let once: BTreeSet<_> = all.iter().collect();
    assert_eq!(once.len(), all.len());
}
