use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

use egret_core::node_config::BootGuard;

use crate::error::GuardError;

/// Where the agent keeps the guard, in its folder that a reboot leaves alone.
pub const FILE: &str = "guard.json";

/// The guard on disk; `None` where there is no file. Fields that this version does not know are left
/// unread.
pub(crate) fn read(path: &Path) -> Result<Option<BootGuard>, GuardError> {
    let failed = |source| GuardError::File { path: path.to_owned(), source };
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    let guard: BootGuard = serde_json::from_slice(&bytes).map_err(|e| failed(e.into()))?;
    // None such is ever written: it is another's file, or one of a version that says it otherwise.
    if guard.is_empty() {
        return Err(failed(io::Error::new(io::ErrorKind::InvalidData, "it names no range")));
    }
    Ok(Some(guard))
}

/// Replaces the file as a whole, so that it outlives a loss of power; removes it where there is nothing
/// to hold off.
///
/// # Errors
/// Of the file system.
pub fn keep(path: &Path, guard: &BootGuard) -> io::Result<()> {
    if guard.is_empty() {
        return remove(path);
    }
    let text = serde_json::to_vec(guard)?;
    if fs::read(path).is_ok_and(|there| there == text) {
        return Ok(());
    }
    let next = path.with_extension("next");
    let mut file = File::create(&next)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&next, path)?;
    sync_folder(path)
}

/// Removes the file. Idempotent.
///
/// # Errors
/// Of the file system.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => sync_folder(path),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guard() -> BootGuard {
        serde_json::from_str(
            r#"{"pods":[{"first":"10.244.1.0","last":"10.244.1.255"}],
            "claimed":[{"first":"0.0.0.0","last":"255.255.255.255"}],"later":{"x":1}}"#,
        )
        .unwrap()
    }

    #[test]
    fn what_is_kept_is_read_and_a_guard_of_nothing_is_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        assert!(read(&path).unwrap().is_none());
        keep(&path, &guard()).unwrap();
        assert_eq!(read(&path).unwrap(), Some(guard()));
        keep(&path, &BootGuard::default()).unwrap();
        assert!(!path.exists());
        remove(&path).unwrap();
    }

    #[test]
    fn what_cannot_be_read_says_the_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        for text in ["", "{", "{}", r#"{"pods":3}"#] {
            fs::write(&path, text).unwrap();
            let error = read(&path).unwrap_err().to_string();
            assert!(error.contains("guard.json") && error.contains("delete the file"), "{error}");
        }
    }
}
