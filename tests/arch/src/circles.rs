//! No circles of imports inside a crate: what two files need of each other belongs into one file,
//! or into a third that both read.
//!
//! A file leads to another where it uses an item that is defined there, by whatever way: a `use`, a
//! path in an expression, type, pattern or macro, a name that a parent re-exports. To declare a
//! module leads nowhere, nor does a `pub use` of what lies below the module.

mod tree;

use std::collections::{BTreeMap, BTreeSet};

use crate::rust::{self, RustFile};
use tree::{Meaning, Tree};

/// Which file of a crate leads to which, by which names. Files by their paths from its `src`.
pub type Edges = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The circles of each crate. `crates` are the names and folders of the workspace's members.
#[must_use]
pub fn violations(sources: &[RustFile], crates: &[(String, String)]) -> Vec<String> {
    let mut found = Vec::new();
    for (name, folder) in crates {
        let edges = edges(sources, folder);
        found.extend(circles(&edges).iter().map(|circle| {
            format!(
                "{name}: a circle of {} files: move what both sides need into a file of its own, \
                 below them\n{}",
                circle.len(),
                lines(&edges, circle)
            )
        }));
    }
    found
}

/// What the files under `<folder>/src` use of each other.
#[must_use]
pub fn edges(sources: &[RustFile], folder: &str) -> Edges {
    let inner = |source: &RustFile| {
        let inner = source.path.strip_prefix(folder)?.strip_prefix("/src/")?;
        Some(inner.to_owned())
    };
    let files: BTreeMap<String, &rust::Module> =
        sources.iter().filter_map(|source| Some((inner(source)?, &source.module))).collect();
    let is_root =
        |path: &&String| ["lib.rs", "main.rs"].contains(&path.as_str()) || path.starts_with("bin/");
    let mut edges = Edges::new();
    for root in files.keys().filter(is_root) {
        let tree = Tree::new(&files, root);
        for module in 0..tree.modules.len() {
            add(&tree, module, &mut edges);
        }
    }
    edges
}

fn add(tree: &Tree<'_>, module: usize, edges: &mut Edges) {
    let own = &tree.modules[module];
    let mut lead = |meaning: Meaning, re_exported: bool| {
        let Meaning::Item { module: to, name } = meaning else { return };
        let other = &tree.modules[to];
        if other.file == own.file || re_exported && tree.is_below(to, module) {
            return;
        }
        let from = edges.entry(own.file.to_owned()).or_default();
        from.entry(other.file.to_owned()).or_default().insert(name);
    };
    for import in &own.source.imports {
        for meaning in tree.resolve(module, &import.path) {
            lead(meaning, import.public);
        }
    }
    for mention in own.source.mentions.iter().filter(|mention| !mention.of_value) {
        for meaning in tree.resolve(module, &mention.path) {
            lead(meaning, false);
        }
    }
}

/// The sets of two and more files that lead to each other.
#[must_use]
pub fn circles(edges: &Edges) -> Vec<BTreeSet<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        edges.keys().map(|file| (file, reached(edges, file))).collect();
    let mut found: Vec<BTreeSet<String>> = Vec::new();
    for (file, to) in &reached {
        let back =
            to.iter().filter(|other| reached.get(*other).is_some_and(|to| to.contains(file)));
        let circle: BTreeSet<String> = back.map(|other| (*other).clone()).collect();
        if circle.len() > 1 && !found.contains(&circle) {
            found.push(circle);
        }
    }
    found
}

/// Every file that `from` leads to, over others too; itself where it stands in a circle.
fn reached<'a>(edges: &'a Edges, from: &String) -> BTreeSet<&'a String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&String> = edges.get(from).into_iter().flat_map(BTreeMap::keys).collect();
    while let Some(file) = open.pop() {
        if reached.insert(file) {
            open.extend(edges.get(file).into_iter().flat_map(BTreeMap::keys));
        }
    }
    reached
}

/// The edges within a circle, a line each: `a.rs -> b.rs: names`.
#[must_use]
pub fn lines(edges: &Edges, circle: &BTreeSet<String>) -> String {
    let from = edges.iter().filter(|(from, _)| circle.contains(*from));
    let lines = from.flat_map(|(from, to)| {
        let within = to.iter().filter(|(to, _)| circle.contains(*to));
        within.map(move |(to, names)| line(from, to, names))
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// One edge as a person reads it.
#[must_use]
pub fn line(from: &str, to: &str, names: &BTreeSet<String>) -> String {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    format!("    {from} -> {to}: {}", names.join(", "))
}

#[cfg(test)]
mod tests;
