//! One process per node: who votes holds a lock on the state that it votes by (docs/leases.md,
//! rule 14).

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Holds the lock until dropped, or until the process ends, however it ends: the kernel keeps it
/// (flock(2)), not the file's content.
#[derive(Debug)]
pub struct NodeLock {
    _file: File,
}

/// The lock could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file is of no use.
    #[error("cannot {action} {}: {source}; it must be writable by this user", path.display())]
    File {
        /// What could not be done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Another process holds it.
    #[error(
        "{holder} is this node's agent already (it holds {}): one agent runs on a node; stop that one \
         first, or do not start this one",
        path.display()
    )]
    Held {
        /// `process 123`, or `another process`.
        holder: String,
        /// The file.
        path: PathBuf,
    },
    /// Another process is the agent of this network namespace, with another run directory.
    #[error(
        "another agent runs on this node, with another --run-dir than {}: one agent runs on a node; \
         stop that one first, or do not start this one",
        run_dir.display()
    )]
    OtherAgent {
        /// The run directory of this one.
        run_dir: PathBuf,
    },
    /// The socket that tells agents of one network namespace apart cannot be had.
    #[error("cannot take the abstract socket @{name}: {source}")]
    Socket {
        /// Its name.
        name: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// Held by the agent of a network namespace, whatever its run directory (unix(7), abstract sockets).
const AGENT_SOCKET: &str = "egret-agent";
/// While another process ends, the lock is tried again after so long.
const RETRY: Duration = Duration::from_millis(50);

/// Keeps every other agent out of this network namespace, until dropped or until the process ends,
/// however it ends.
#[derive(Debug)]
pub struct NamespaceLock {
    _socket: UnixListener,
}

impl NamespaceLock {
    /// Takes it. Nobody is waited for: an agent with the same run directory is, by [`NodeLock`].
    ///
    /// # Errors
    /// Where another process has it.
    pub fn acquire(run_dir: &Path) -> Result<Self, LockError> {
        let bound = SocketAddr::from_abstract_name(AGENT_SOCKET)
            .and_then(|address| UnixListener::bind_addr(&address));
        match bound {
            Ok(socket) => Ok(Self { _socket: socket }),
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                Err(LockError::OtherAgent { run_dir: run_dir.to_owned() })
            }
            Err(source) => Err(LockError::Socket { name: AGENT_SOCKET, source }),
        }
    }
}

impl NodeLock {
    /// Takes the lock. Where another process holds it `waiting` is told who does, and the lock is waited
    /// for, `patience` at most: that process may be ending. Makes file and directory where they are
    /// missing.
    ///
    /// # Errors
    /// Where the file cannot be made, written or locked, and where the other process goes on.
    pub fn acquire(
        path: &Path,
        patience: Duration,
        waiting: impl FnOnce(&str),
    ) -> Result<Self, LockError> {
        let failed = |action| move |source| LockError::File { action, path: path.into(), source };
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
                let holder = holder(&mut file)
                    .map_or_else(|| "another process".to_owned(), |pid| format!("process {pid}"));
                waiting(&holder);
                if !lock_within(&file, patience).map_err(failed("lock"))? {
                    return Err(LockError::Held { holder, path: path.to_owned() });
                }
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

/// Whether it was had in time.
fn lock_within(file: &File, patience: Duration) -> io::Result<bool> {
    let begun = Instant::now();
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) if begun.elapsed() < patience => {
                std::thread::sleep(RETRY);
            }
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) => return Err(error),
        }
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
        let long = Duration::from_secs(60);
        let first = NodeLock::acquire(&path, long, |_| panic!("nobody holds it")).unwrap();
        let (sender, waits) = mpsc::channel();
        let second = std::thread::spawn({
            let path = path.clone();
            move || {
                let tell = |holder: &str| sender.send(holder.to_owned()).unwrap();
                NodeLock::acquire(&path, long, tell).unwrap();
            }
        });
        assert_eq!(waits.recv().unwrap(), format!("process {}", std::process::id()));
        drop(first);
        second.join().unwrap();
    }

    #[test]
    fn the_second_is_refused_where_the_first_goes_on_and_the_first_keeps_the_lock() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("agent.lock");
        let _first = NodeLock::acquire(&path, Duration::ZERO, |_| ()).unwrap();
        let written = std::fs::read_to_string(&path).unwrap();
        for _ in 0..2 {
            let error = NodeLock::acquire(&path, Duration::ZERO, |_| ()).unwrap_err().to_string();
            let holder = format!("process {} is this node's agent already", std::process::id());
            assert!(error.contains(&holder) && error.contains("stop that one first"), "{error}");
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), written);
    }

    #[test]
    fn an_agent_with_another_run_directory_is_refused_too() {
        let first = NamespaceLock::acquire(Path::new("/run/egret")).unwrap();
        let error = NamespaceLock::acquire(Path::new("/run/other")).unwrap_err().to_string();
        assert!(error.contains("another --run-dir than /run/other"), "{error}");
        drop(first);
        NamespaceLock::acquire(Path::new("/run/other")).unwrap();
    }

    #[test]
    fn a_path_that_cannot_be_a_lock_is_named() {
        let directory = tempfile::tempdir().unwrap();
        let error =
            NodeLock::acquire(directory.path(), Duration::ZERO, |_| ()).unwrap_err().to_string();
        assert!(error.contains(&directory.path().display().to_string()), "{error}");
    }
}
