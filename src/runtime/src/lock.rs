//! One process per node: who votes holds a lock on the state that it votes by (docs/leases.md,
//! rule 14).

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

/// Holds the lock until dropped, or until the process ends, however it ends: the kernel keeps it
/// (flock(2)), not the file's content.
#[derive(Debug)]
pub struct NodeLock {
    _file: File,
}

/// The lock could not be had.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}; it must be writable by this user", path.display())]
pub struct LockError {
    action: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl NodeLock {
    /// Takes the lock; waits for as long as another process holds it, after telling `waiting` who
    /// does (its process id, where it can be read). Makes file and directory where they are
    /// missing.
    ///
    /// # Errors
    /// Where the file cannot be made, written or locked.
    pub fn acquire(path: &Path, waiting: impl FnOnce(Option<u32>)) -> Result<Self, LockError> {
        let failed = |action| move |source| LockError { action, path: path.into(), source };
        if let Some(directory) = path.parent() {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(directory)
                .map_err(failed("make the directory of"))?;
        }
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(failed("open"))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                waiting(holder(&mut file));
                file.lock().map_err(failed("lock"))?;
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock")(error)),
        }
        // For people only. Never removed: another process may wait on this very file.
        let write = |file: &mut File| {
            file.set_len(0)?;
            file.rewind()?;
            writeln!(file, "{}", std::process::id())
        };
        write(&mut file).map_err(failed("write"))?;
        Ok(Self { _file: file })
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    file.take(16).read_to_string(&mut text).ok()?;
    text.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn the_second_waits_knows_for_whom_and_gets_it_afterwards() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/agent.lock");
        let first = NodeLock::acquire(&path, |_| panic!("nobody holds it")).unwrap();
        let (sender, waits) = mpsc::channel();
        let second = std::thread::spawn({
            let path = path.clone();
            move || {
                NodeLock::acquire(&path, |holder| sender.send(holder).unwrap()).unwrap();
            }
        });
        assert_eq!(waits.recv().unwrap(), Some(std::process::id()));
        drop(first);
        second.join().unwrap();
    }

    #[test]
    fn a_path_that_cannot_be_a_lock_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error = NodeLock::acquire(directory.path(), |_| ()).unwrap_err().to_string();
        assert!(error.contains(&directory.path().display().to_string()), "{error}");
    }
}
