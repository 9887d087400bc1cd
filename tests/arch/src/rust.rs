//! Rust source as the checks read it: what each module defines, imports and mentions, as values.
//!
//! Tests are left out: `#[cfg(test)]` and `#[test]`, and the files that [`is_test`] names.

mod items;
mod mentions;
mod parts;
mod shape;
mod tokens;

pub use parts::{Definition, Import, Mention, Module, RustFile};

use crate::repository::TextFile;

/// The Rust files among `files` that belong to a member of the workspace and are no tests, parsed.
///
/// # Errors
/// A file that is no Rust, with what is wrong.
pub fn sources(files: &[TextFile]) -> Result<Vec<RustFile>, String> {
    let rust = files.iter().filter(|file| file.path.ends_with(".rs") && !is_test(&file.path));
    rust.filter(|file| member(&file.path).is_some()).map(source).collect()
}

/// One file, parsed.
///
/// # Errors
/// What is wrong, where it is no Rust.
pub fn source(file: &TextFile) -> Result<RustFile, String> {
    let parsed = syn::parse_file(&file.text);
    let parsed = parsed.map_err(|error| {
        format!("{}: {error}: make it compile, or update syn in Cargo.lock", file.path)
    })?;
    Ok(RustFile { path: file.path.clone(), module: items::module("", &parsed.items) })
}

/// The folder of the member that a file belongs to (`src/core`), and its path from there.
#[must_use]
pub fn member(path: &str) -> Option<(&str, &str)> {
    let (group, rest) = path.split_once('/')?;
    let (name, inner) = rest.split_once('/')?;
    let is_member = ["src", "providers", "tests"].contains(&group) && !inner.is_empty();
    is_member.then(|| (&path[..group.len() + 1 + name.len()], inner))
}

/// Whether a file is there for tests alone: `tests.rs`, `tests/…` and `testing…` of its member.
#[must_use]
pub fn is_test(path: &str) -> bool {
    let inner = member(path).map_or(path, |(_, inner)| inner);
    let is = |part: &str| part == "tests" || part == "tests.rs" || part.starts_with("testing");
    inner.split('/').any(is)
}

#[cfg(test)]
mod tests;
