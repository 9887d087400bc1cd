//! One name, one meaning: no two types that others see have one name, and no name comes back that
//! `docs/glossary.md` lists as an old one. Types that a derive makes are not seen.

use std::collections::{BTreeMap, BTreeSet};

use crate::rust::{Module, RustFile};

/// Names that several types have for a reason: the folders of the crates that define one, the names,
/// and why.
pub type Twice<'a> = (&'a [&'a str], &'a [&'a str], &'a str);

const WIRE: &str = "as an object's manifest writes it, and as the core knows it once it is checked";
const FOREIGN: &str = "the word of a foreign standard, in what reads and writes that standard";

/// Types that are defined twice.
pub const TWICE: &[Twice<'_>] = &[
    (&["src/api", "src/core"], &["ClaimStatus", "Destination", "Failover"], WIRE),
    (&["src/api"], &["StaticEgressIPSpec"], FOREIGN),
];

/// Old names that may stand: the name as it is written, its file, and why.
pub const OLD: &[(&str, &str, &str)] = &[
    ("Verdict", "src/datapath/src/nft/table.rs", FOREIGN),
    ("world", "tests/model/src/lib.rs", "all nodes and the network of one model"),
];

/// The page of old names, and how their table begins.
pub const PAGE: &str = "docs/glossary.md";
const HEADING: &str = "## Old names";
const HEADER: &str = "| Old name | New name | What it is |";

/// A row of the page's table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldName {
    /// The name that must not come back.
    pub old: String,
    /// What is written instead.
    pub new: String,
}

/// Types with a `pub` of any reach whose name another has, and the exceptions that are none.
#[must_use]
pub fn twice(sources: &[RustFile], allowed: &[Twice<'_>]) -> Vec<String> {
    let mut places: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        each_module(&source.path, &source.module, &mut |place, module| {
            for item in module.items.iter().filter(|item| item.visible && item.is_type()) {
                places.entry(&item.name).or_default().insert(place.to_owned());
            }
        });
    }
    places.retain(|_, places| places.len() > 1);
    let mut found = Vec::new();
    for (name, places) in &places {
        let mut folders = allowed.iter().filter(|(_, names, _)| names.contains(name));
        let is_allowed = folders.any(|(folders, _, _)| {
            places.iter().all(|place| folders.iter().any(|folder| is_in(place, folder)))
        });
        if !is_allowed {
            let places: Vec<&str> = places.iter().map(String::as_str).collect();
            found.push(format!(
                "{name}: is defined in {}: give each a name of its own, or use one for both",
                places.join(" and in ")
            ));
        }
    }
    for (folders, names, _) in allowed {
        for name in *names {
            let places = places.get(name);
            let unmet = |folder: &&&str| {
                places.is_none_or(|places| !places.iter().any(|place| is_in(place, folder)))
            };
            found.extend(folders.iter().find(unmet).map(|folder| {
                format!(
                    "{name}: {folder} defines none beside another's any more: remove the folder or \
                     the name from TWICE in {}",
                    file!()
                )
            }));
        }
    }
    found
}

fn is_in(place: &str, folder: &str) -> bool {
    place.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'))
}

/// Types and modules that have an old name, and the exceptions that are none.
#[must_use]
pub fn come_back(
    sources: &[RustFile],
    old: &[OldName],
    allowed: &[(&str, &str, &str)],
) -> Vec<String> {
    let mut found = Vec::new();
    let mut met = BTreeSet::new();
    for source in sources {
        each_module(&source.path, &source.module, &mut |_, module| {
            for (kind, name) in named(module) {
                let Some(row) = old.iter().find(|row| plain(&row.old) == plain(name)) else {
                    continue;
                };
                let is_it = |(allowed, path, _): &&(&str, &str, &str)| {
                    *allowed == name && *path == source.path
                };
                match allowed.iter().find(is_it) {
                    Some((name, path, _)) => {
                        met.insert((*name, *path));
                    }
                    None => found.push(format!(
                        "{}: {kind} {name} has an old name: write `{}`, as {PAGE} says",
                        source.path, row.new
                    )),
                }
            }
        });
    }
    let gone = allowed.iter().filter(|(name, path, _)| !met.contains(&(*name, *path)));
    found.extend(gone.map(|(name, path, _)| {
        format!("{path}: has no {name} of an old name: remove it from OLD in {}", file!())
    }));
    found
}

/// The old names that the page lists.
///
/// # Errors
/// What the page lacks, or which row cannot be read.
pub fn old_names(page: &str) -> Result<Vec<OldName>, String> {
    let lines = page.lines().map(str::trim).skip_while(|line| *line != HEADING).skip(1);
    let section = lines.take_while(|line| !line.starts_with("## "));
    let mut table = section.skip_while(|line| *line != HEADER);
    if table.next().is_none() {
        return Err(format!("{PAGE}: write a table under `{HEADING}` that begins with `{HEADER}`"));
    }
    let rows = table.skip(1).take_while(|line| line.starts_with('|'));
    let rows: Vec<OldName> = rows.map(row).collect::<Result<_, _>>()?;
    match rows.is_empty() {
        true => Err(format!("{PAGE}: the table of old names has no row: add one, or remove it")),
        false => Ok(rows),
    }
}

fn row(line: &str) -> Result<OldName, String> {
    let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
    let [old, new, _] = cells[..] else {
        return Err(format!("{PAGE}: `{line}`: write three cells"));
    };
    let old = old.trim_matches('`');
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_')
    };
    match is_name(old) {
        true => Ok(OldName { old: old.to_owned(), new: new.trim_matches('`').to_owned() }),
        false => Err(format!("{PAGE}: `{line}`: write one name of a type or module, first")),
    }
}

/// The types and modules that a module defines, private ones too.
fn named(module: &Module) -> impl Iterator<Item = (&str, &str)> {
    let types = module.items.iter().filter(|item| item.is_type());
    let types = types.map(|item| (item.kind, item.name.as_str()));
    let inline = module.inline.iter().map(|inner| inner.name.as_str());
    let modules = module.declared.iter().map(String::as_str).chain(inline);
    types.chain(modules.map(|name| ("mod", name)))
}

/// `KeptFile` and `kept_file` are one name.
fn plain(name: &str) -> String {
    name.replace('_', "").to_lowercase()
}

/// Calls `each` with a file's modules, and with where each stands.
fn each_module<'a>(place: &str, module: &'a Module, each: &mut impl FnMut(&str, &'a Module)) {
    each(place, module);
    for inner in &module.inline {
        each_module(&format!("{place} (mod {})", inner.name), inner, each);
    }
}

#[cfg(test)]
mod tests;
