use std::io;
use std::path::PathBuf;

/// The guard is not in the kernel.
#[derive(Debug, thiserror::Error)]
pub enum GuardError {
    /// The file cannot be read.
    #[error("cannot read the guard {}: {source}; start the agent, or delete the file", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel refuses.
    #[error("cannot {action}: {source}; it needs CAP_NET_ADMIN and the kernel's nf_tables")]
    Kernel {
        /// What was asked of it.
        action: &'static str,
        /// Why.
        source: io::Error,
    },
}
