//! Everything of Egret's out of a node's kernel.

use std::io;
use std::path::{Path, PathBuf};

use egret_datapath::HostSettings;
use egret_datapath::bpf::{self, BpfError};
use egret_datapath::interface;
use egret_datapath::teardown::{self, TeardownError};

use crate::kept_settings;

/// What an agent keeps for the next process: of no use without the kernel's part.
const KEPT: [&str; 4] = ["lease.kept", "blocks.json", "snapshot.json", "cni.sock"];

/// Something of Egret's is left.
#[derive(Debug, thiserror::Error)]
pub enum LeftBehind {
    /// BPF programs.
    #[error("BPF programs of Egret's are still in the kernel: {0}")]
    Programs(#[from] BpfError),
    /// Rules, routes, links.
    #[error("something of Egret's is still in the kernel: {0}")]
    Kernel(#[from] TeardownError),
    /// A file.
    #[error("cannot remove {}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Removes everything that an agent put into this node's kernel, what it keeps in `run_dir` about it, and
/// the guard in `state_dir` that the next boot would load. Idempotent. Connections that were steered end; others are not touched.
///
/// # Errors
/// What is left, the first of it, after everything else was removed.
pub fn teardown(
    bpffs: &Path,
    run_dir: &Path,
    state_dir: &Path,
    settings: &HostSettings,
) -> Result<(), LeftBehind> {
    // The file before the table: whoever loads the guard meanwhile looks for it again.
    let guard = state_dir.join(egret_guard::FILE);
    let forgotten =
        egret_guard::remove(&guard).map_err(|source| LeftBehind::File { path: guard, source });
    // Before the programs are gone: an interface that comes without them passes what it should not. What
    // fails is tried again, and told, with the rest.
    let _ = interface::restore(Path::new("/run"));
    let programs = bpf::teardown(&bpffs.join("egret"));
    let rest = teardown::all(settings);
    for name in KEPT {
        let path = run_dir.join(name);
        match std::fs::remove_file(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                return Err(LeftBehind::File { path, source });
            }
            _ => {}
        }
    }
    programs?;
    rest?;
    forgotten?;
    // Last: whoever tries again needs them.
    let path = run_dir.join(kept_settings::FILE);
    match std::fs::remove_file(&path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(LeftBehind::File { path, source })
        }
        _ => Ok(()),
    }
}
