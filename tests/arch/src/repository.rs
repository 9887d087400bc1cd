//! What the rules read: the workspace's packages and the files under version control.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

/// What `cargo metadata` says, as far as the rules read it.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    /// The members of the workspace.
    pub packages: Vec<Package>,
}

/// A member of the workspace.
#[derive(Debug, Deserialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its `Cargo.toml`.
    pub manifest_path: PathBuf,
    /// What it declares.
    pub dependencies: Vec<Dependency>,
    /// Its crates.
    pub targets: Vec<BuildTarget>,
}

/// A declared dependency.
#[derive(Debug, Deserialize)]
pub struct Dependency {
    /// The package's name.
    pub name: String,
    /// `None` for a normal one, else `dev` or `build`.
    pub kind: Option<String>,
    /// Only there with a feature.
    #[serde(default)]
    pub optional: bool,
}

/// A crate of a package.
#[derive(Debug, Deserialize)]
pub struct BuildTarget {
    /// `lib`, `bin`, `test`, `bench`, `custom-build`, …
    pub kind: Vec<String>,
    /// Its root file.
    pub src_path: PathBuf,
}

/// A text file of the repository.
#[derive(Debug)]
pub struct TextFile {
    /// Relative to the root.
    pub path: String,
    /// What it holds.
    pub text: String,
}

/// The repository's root.
#[must_use]
pub fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// Reads the workspace; resolves nothing and fetches nothing.
///
/// # Panics
/// Where cargo cannot read it, with what it said.
#[must_use]
pub fn metadata() -> Metadata {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]);
    let json = output(&mut command);
    serde_json::from_slice(&json)
        .unwrap_or_else(|error| panic!("cargo metadata said something unexpected: {error}"))
}

/// The names of the workspace's members, each with its folder from the root.
///
/// # Panics
/// Like [`metadata`].
#[must_use]
pub fn crates() -> Vec<(String, String)> {
    let folder = |package: &Package| {
        let manifest = package.manifest_path.strip_prefix(root()).unwrap_or(&package.manifest_path);
        manifest.parent().unwrap_or(manifest).display().to_string()
    };
    metadata().packages.iter().map(|package| (package.name.clone(), folder(package))).collect()
}

/// The text files that are, or would be with `git add`, under version control.
///
/// # Panics
/// Where git cannot list them, with what it said.
#[must_use]
pub fn files() -> Vec<TextFile> {
    let mut command = Command::new("git");
    command.args(["ls-files", "--cached", "--others", "--exclude-standard", "-z"]);
    let list = output(&mut command);
    let paths = list.split(|byte| *byte == 0).filter(|path| !path.is_empty());
    let paths = paths.map(|path| String::from_utf8_lossy(path).into_owned());
    // Deleted but still in the index, or not text: nothing to read.
    paths
        .filter_map(|path| {
            let text = std::fs::read_to_string(root().join(&path)).ok()?;
            Some(TextFile { path, text })
        })
        .collect()
}

fn output(command: &mut Command) -> Vec<u8> {
    let output = command.current_dir(root()).output();
    let output = output.unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?} failed: {said}; run in a clone, git installed");
    output.stdout
}
