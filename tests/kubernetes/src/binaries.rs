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
    let folder = named.unwrap_or_else(|| repository().join("target/kubernetes/bin"));
    built(folder.join(name), "kubernetes")
}

/// `kube-apiserver` of the oldest version that is still maintained, for
/// [`crate::ApiServerOptions::program`].
///
/// # Errors
/// Where it is not there, with the sentence that says how to build it.
pub fn oldest_api_server() -> Result<PathBuf> {
    built(repository().join("target/kubernetes/oldest/kube-apiserver"), "oldest")
}

/// A file of Kubernetes' own end-to-end suite, such as `e2e.test`.
///
/// # Errors
/// Where it is not there, with the sentence that says how to build it.
pub fn conformance(name: &str) -> Result<PathBuf> {
    built(repository().join("target/conformance").join(name), "conformance")
}

fn built(path: PathBuf, with: &str) -> Result<PathBuf> {
    ensure!(
        path.is_file(),
        "no {}: build it with `tests/setup.sh {with}` (needs root and Go)",
        path.display()
    );
    Ok(path)
}
