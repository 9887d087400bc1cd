use std::path::{Path, PathBuf};

use anyhow::{Result, ensure};

/// The repository that this crate was built in.
#[must_use]
pub fn repository() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here)
}

/// A program that `tests/setup.sh kubernetes` has built, such as `kube-apiserver`; from the
/// directory that the environment variable `EGRET_KUBERNETES_BIN` names, else from
/// `target/kubernetes/bin`.
///
/// # Errors
/// Where it is not there, with the sentence that says how to build it.
pub fn binary(name: &str) -> Result<PathBuf> {
    let named = std::env::var_os("EGRET_KUBERNETES_BIN").map(PathBuf::from);
    let path = named.unwrap_or_else(|| repository().join("target/kubernetes/bin")).join(name);
    ensure!(
        path.is_file(),
        "no {name} at {}: build it with `tests/setup.sh kubernetes` (needs root and Go)",
        path.display()
    );
    Ok(path)
}
