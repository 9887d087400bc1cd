//! No public item that nobody uses: the compiler says nothing of them, since another crate might.
//!
//! An item is used where its name stands in the code of `src/` or `providers/` outside of its own
//! definition (for a type, its `impl`s are part of that), of `use`s, of tests and of comments. By
//! name alone: of two items of one name the use of either counts for both.

use std::collections::BTreeSet;

use crate::rust::{Definition, Module, RustFile};

/// Items that nobody uses for a reason: the beginning of a file's path, the name (`Type::method` for
/// one of a type, `*` for all), and why.
pub const UNUSED: &[(&str, &str, &str)] = &[
    ("providers/fake/", "*", "a cloud for tests: they drive it"),
    ("src/ports/src/contract/", "*", "the suites that implementations' tests run"),
    ("src/core/src/lease/machine.rs", "Machine::hash_state", "for the model checker"),
    ("src/api/src/own_objects.rs", "*", "kube makes kinds of them"),
    ("src/api/src/crd.rs", "nirmata_crd", "only tests install the foreign definition"),
    ("src/core/src/lease/machine.rs", "Machine::handle", "only tests and tests/model call it"),
    ("src/core/src/lease/machine.rs", "Machine::persisted", "only tests look at it"),
    ("src/peers/src/endpoint.rs", "Endpoint::local_addresses", "only tests bind to port 0"),
];

/// Items with a `pub` of any reach that no code of `src/` and `providers/` uses, and the exceptions
/// that are none.
#[must_use]
pub fn violations(sources: &[RustFile], allowed: &[(&str, &str, &str)]) -> Vec<String> {
    let ours =
        |source: &&RustFile| ["src/", "providers/"].iter().any(|at| source.path.starts_with(at));
    let mut used = BTreeSet::new();
    for source in sources.iter().filter(ours) {
        uses(&source.module, &mut used);
    }
    let mut found = Vec::new();
    let mut met = BTreeSet::new();
    for source in sources.iter().filter(ours) {
        for item in unused(&source.module, &used) {
            let name = match &item.of {
                Some(of) => format!("{of}::{}", item.name),
                None => item.name.clone(),
            };
            let is_it = |(path, item, _): &(&str, &str, &str)| {
                source.path.starts_with(path) && (*item == "*" || *item == name)
            };
            match allowed.iter().position(is_it) {
                Some(at) => {
                    met.insert(at);
                }
                None => found.push(format!(
                    "{}: nobody uses {} {name}: remove it, its `pub`, or move it to the tests that do",
                    source.path, item.kind
                )),
            }
        }
    }
    let gone = allowed.iter().enumerate().filter(|(at, _)| !met.contains(at));
    found.extend(gone.map(|(_, (path, name, _))| {
        format!("{path}: {name} is used or gone: remove it from UNUSED in {}", file!())
    }));
    found
}

/// The names that a module's code uses.
fn uses<'a>(module: &'a Module, used: &mut BTreeSet<&'a str>) {
    for mention in &module.mentions {
        let others = mention.path.iter().filter(|name| !mention.within.contains(name));
        used.extend(others.map(String::as_str));
    }
    module.inline.iter().for_each(|inner| uses(inner, used));
}

fn unused<'a>(module: &'a Module, used: &BTreeSet<&str>) -> Vec<&'a Definition> {
    // What a macro's call defines may have any reach.
    let items = module.items.iter().filter(|item| item.visible && item.kind != "name!");
    let mut found: Vec<&Definition> =
        items.filter(|item| !used.contains(item.name.as_str())).collect();
    found.extend(module.inline.iter().flat_map(|inner| unused(inner, used)));
    found
}

#[cfg(test)]
mod tests;
