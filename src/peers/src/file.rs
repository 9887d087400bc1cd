//! Files that only their owner may read, replaced as a whole or not at all.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, OFlags};

/// A file of the state directory that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// The file holds something else than it should.
    #[error("{}: {problem}; {remedy}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
        /// What to do.
        remedy: &'static str,
    },
    /// Others than the owner may read or write it, or another user owns it.
    #[error(
        "{}: mode {mode:04o}, owner {owner}: it must belong to user {user} alone; \
         run `chown {user} {0}; chmod 600 {0}` if nobody else can have read it, \
         else remove it and a new one is made",
        path.display()
    )]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// The user id that owns it.
        owner: u32,
        /// The user id that should.
        user: u32,
    },
    /// The system refused.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was attempted.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl StateError {
    pub(crate) fn io(action: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { action, path: path.into(), source }
    }
}

/// Makes the directory, for the owner alone, where it is missing.
pub(crate) fn make_directory(path: &Path) -> Result<(), StateError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(|error| StateError::io("make directory", path, error))
}

/// The content of a private file; `None` where there is none.
pub(crate) fn read(path: &Path, limit: u64) -> Result<Option<Vec<u8>>, StateError> {
    // NONBLOCK: a fifo put in its place must not hang the agent.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = match OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StateError::io("open", path, error)),
    };
    let metadata = file.metadata().map_err(|error| StateError::io("stat", path, error))?;
    let corrupt = |problem: String| StateError::Corrupt {
        path: path.into(),
        problem,
        remedy: "remove it and a new one is made",
    };
    if !metadata.is_file() {
        return Err(corrupt("not a regular file".into()));
    }
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    let user = rustix::process::geteuid().as_raw();
    if mode & 0o077 != 0 || owner != user {
        return Err(StateError::Exposed { path: path.into(), mode, owner, user });
    }
    let mut bytes = Vec::new();
    file.take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| StateError::io("read", path, error))?;
    if bytes.len() as u64 > limit {
        return Err(corrupt(format!("longer than {limit} bytes")));
    }
    Ok(Some(bytes))
}

/// Makes `path` hold `bytes`: after a crash it holds the old content or the new, whole.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<(), StateError> {
    let written = write_beside(path, bytes)?;
    std::fs::rename(&written, path).map_err(|error| StateError::io("rename", path, error))?;
    sync_directory(path)
}

/// Makes `path` with `bytes`; false where it exists already, and then changes nothing.
pub(crate) fn create(path: &Path, bytes: &[u8]) -> Result<bool, StateError> {
    let written = write_beside(path, bytes)?;
    let linked = rustix::fs::linkat(CWD, &written, CWD, path, AtFlags::empty());
    std::fs::remove_file(&written).map_err(|error| StateError::io("remove", &written, error))?;
    match linked {
        Ok(()) => sync_directory(path).map(|()| true),
        Err(rustix::io::Errno::EXIST) => Ok(false),
        Err(error) => Err(StateError::io("link", path, error.into())),
    }
}

fn write_beside(path: &Path, bytes: &[u8]) -> Result<PathBuf, StateError> {
    let beside = path.with_extension(format!("{}.tmp", std::process::id()));
    let result = (|| {
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        file.write_all(bytes)?;
        file.sync_all()
    })();
    result.map_err(|error| StateError::io("write", &beside, error))?;
    Ok(beside)
}

/// A rename is on disk only when its directory is.
fn sync_directory(path: &Path) -> Result<(), StateError> {
    let directory = path.parent().unwrap_or(Path::new("."));
    File::open(directory)
        .and_then(|directory| directory.sync_all())
        .map_err(|error| StateError::io("sync", directory, error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn replace_and_create_leave_one_private_file_and_nothing_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        assert!(create(&path, b"one").unwrap());
        assert!(!create(&path, b"two").unwrap(), "an existing file is kept");
        assert_eq!(read(&path, 3).unwrap().unwrap(), b"one");
        replace(&path, b"three").unwrap();
        assert_eq!(read(&path, 5).unwrap().unwrap(), b"three");
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        assert!(read(&path, 4).unwrap_err().to_string().contains("longer than 4 bytes"));
    }

    #[test]
    fn exposed_linked_and_special_files_are_refused_by_name() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("secret");
        create(&path, b"one").unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let error = read(&path, 9).unwrap_err().to_string();
        assert!(error.contains("mode 0640") && error.contains("chmod 600"), "{error}");
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(read(&link, 9), Err(StateError::Io { action: "open", .. })));
        assert!(matches!(read(directory.path(), 9), Err(StateError::Corrupt { .. })));
        assert!(read(&directory.path().join("absent"), 9).unwrap().is_none());
    }
}
