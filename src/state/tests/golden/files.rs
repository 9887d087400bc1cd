//! Copies of the golden stores, what is masked in their files, and comparisons.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use egret_state::DirectoryState;
use tempfile::TempDir;

/// Where Egret writes.
const OWN_FOLDER: &str = "egret.dev";

/// Files by their path below a folder.
pub type Tree = BTreeMap<String, String>;

/// Lines that differ in every store, by how they begin, with what stands there instead.
const MASKS: [(&str, &str); 3] = [
    ("  uid: ", "00000000-0000-4000-8000-000000000001"),
    ("  resourceVersion: ", "\"0000000000000001\""),
    ("  creationTimestamp: ", "2026-05-04T12:00:00Z"),
];

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

/// A store that may be written: the golden one of this name, copied.
pub fn store(name: &str) -> TempDir {
    copy(name, |_| true)
}

/// A new store with the manifests of the golden one, and nothing that Egret has written.
pub fn manifests_of(name: &str) -> TempDir {
    copy(name, |path| !path.starts_with(OWN_FOLDER))
}

fn copy(name: &str, wanted: impl Fn(&str) -> bool) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in tree(&golden(name)).into_iter().filter(|(path, _)| wanted(path)) {
        put(&folder.path().join(path), &text);
    }
    DirectoryState::create(folder.path()).unwrap();
    folder
}

fn put(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

/// Every file below a folder.
pub fn tree(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else {
            let name = path.strip_prefix(folder).unwrap().display().to_string();
            tree.insert(name, std::fs::read_to_string(&path).unwrap());
        }
    }
    tree
}

/// The objects and events that Egret has written into a store, masked.
pub fn own(store: &Path) -> Tree {
    let mut tree = tree(store);
    // These two are not of any snapshot: they have tests of their own.
    let others = [".egret-store", "egret.dev/leader.yaml", "egret.dev/fences"];
    tree.retain(|path, _| path.starts_with(OWN_FOLDER) && !others.contains(&path.as_str()));
    tree.values_mut().for_each(|text| *text = masked(text, &MASKS));
    tree
}

/// The lease of the leader, with the times of now masked.
pub fn masked_lease(store: &Path) -> String {
    let text = std::fs::read_to_string(store.join("egret.dev/leader.yaml")).unwrap();
    let mask = |line: &str| match line.split_once("Time: ") {
        Some((name, time)) if time != "2026-05-04T12:00:00Z" => format!("{name}Time: NOW\n"),
        _ => format!("{line}\n"),
    };
    text.lines().map(mask).collect()
}

fn masked(text: &str, masks: &[(&str, &str)]) -> String {
    let mask = |line: &str| match masks.iter().find(|(begin, _)| line.starts_with(begin)) {
        Some((begin, instead)) => format!("{begin}{instead}\n"),
        None => format!("{line}\n"),
    };
    text.lines().map(mask).collect()
}

/// Paths and contents of every file below a folder, and the folders.
pub fn listing(folder: &Path) -> String {
    let mut said: Vec<String> =
        tree(folder).iter().map(|(path, text)| format!("{path}: {text}")).collect();
    let own = std::fs::read_dir(folder.join(OWN_FOLDER)).unwrap();
    let folders = own.map(|entry| entry.unwrap()).filter(|entry| entry.path().is_dir());
    said.extend(folders.map(|entry| format!("{}/\n", entry.file_name().display())));
    said.sort();
    said.concat()
}

/// The paths whose files are not the same in both.
pub fn unlike(one: &Tree, other: &Tree) -> Vec<String> {
    let paths = one.keys().chain(other.keys()).filter(|path| one.get(*path) != other.get(*path));
    let mut paths: Vec<String> = paths.cloned().collect();
    paths.sort();
    paths.dedup();
    paths
}

fn updating() -> bool {
    std::env::var_os("EGRET_UPDATE").is_some()
}

/// Compares a text with a golden file.
pub fn compare(name: &str, fresh: &str) {
    if updating() {
        put(&golden(name), fresh);
    }
    let golden = std::fs::read_to_string(golden(name)).unwrap_or_default();
    assert_eq!(fresh, golden, "{name}: EGRET_UPDATE=1 cargo test -p egret-state --test golden");
}

/// Compares what was written with what Egret wrote into a golden store.
pub fn compare_trees(name: &str, fresh: &Tree) {
    if updating() {
        for (path, text) in fresh {
            put(&golden(name).join(path), text);
        }
    }
    let found = own(&golden(name));
    let differing = unlike(fresh, &found);
    let said = |tree: &Tree| -> String {
        let text = |path: &String| tree.get(path).map_or("not there", String::as_str);
        differing.iter().map(|path| format!("--- {path}\n{}\n", text(path))).collect()
    };
    let update = "EGRET_UPDATE=1 cargo test -p egret-state --test golden";
    assert_eq!(said(fresh), said(&found), "{name}: {update}");
}
