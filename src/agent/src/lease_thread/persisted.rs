use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use egret_core::lease::PersistedLease;

/// The file with what the lease protocol keeps across a restart of the process. It lies on a file
/// system that a reboot empties (/run), as docs/leases.md rule 12 wants it.
#[derive(Debug)]
pub(crate) struct PersistedLeaseFile {
    path: PathBuf,
    next: PathBuf,
}

impl PersistedLeaseFile {
    pub(crate) fn new(run_dir: &Path) -> Self {
        Self { path: run_dir.join("lease.kept"), next: run_dir.join("lease.kept.next") }
    }

    /// What an earlier process of this boot has kept. Unreadable content counts as absent: the
    /// machine is then silent as after a boot, which is always safe.
    pub(crate) fn read(&self) -> Option<PersistedLease> {
        let bytes = fs::read(&self.path).ok()?;
        match postcard::from_bytes(&bytes) {
            Ok(kept) => Some(kept),
            Err(error) => {
                tracing::warn!(path = %self.path.display(), %error,
                    "kept lease state is unreadable: silent as after a boot");
                None
            }
        }
    }

    /// Replaces it as a whole. No fsync: a process that dies loses nothing that is in the page
    /// cache, and a machine that dies is meant to forget.
    pub(crate) fn write(&self, kept: &PersistedLease) -> io::Result<()> {
        let bytes = postcard::to_stdvec(kept).map_err(io::Error::other)?;
        let mut file = File::create(&self.next)?;
        file.write_all(&bytes)?;
        drop(file);
        fs::rename(&self.next, &self.path)
    }
}

#[cfg(test)]
mod tests {
    use egret_core::lease::RawTime;

    use super::*;

    #[test]
    fn what_is_kept_comes_back_and_garbage_counts_as_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let file = PersistedLeaseFile::new(directory.path());
        assert_eq!(file.read(), None);
        let kept = PersistedLease {
            boot_id: "b".to_owned(),
            boot_grace_since: RawTime(7),
            ..PersistedLease::default()
        };
        file.write(&kept).unwrap();
        assert_eq!(PersistedLeaseFile::new(directory.path()).read(), Some(kept));
        fs::write(directory.path().join("lease.kept"), [0xff; 9]).unwrap();
        assert_eq!(file.read(), None);
    }
}
