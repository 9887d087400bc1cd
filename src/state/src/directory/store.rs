use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rustix::fs::{self, AtFlags, Dir, FileType, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::lock_holder;
use crate::error::{Outage, StoreError};
use crate::manifest::{MAX_FILE_BYTES, too_large};

/// The file whose presence says that the directory is a store, and whose lock orders accesses.
pub const MARKER: &str = ".egret-store";
/// How long an access waits for the lock before the store counts as unreachable.
pub const LOCK_PATIENCE: Duration = Duration::from_secs(1);
/// As [`LOCK_PATIENCE`], for who makes one access and has nothing else to do. Whoever has the lock lives: it
/// ends with its process.
pub const COMMAND_PATIENCE: Duration = Duration::from_secs(10);
/// Between two tries for the lock: an access holds it for less than this at rest.
const LOCK_RETRY: Duration = Duration::from_micros(500);

/// Readers share the lock, a writer has it alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockMode {
    /// Others may read at the same time.
    Read,
    /// Nobody else reads or writes.
    Write,
}

/// The directory by its path: what stands behind the path is looked up at every access, since a
/// mount may have covered it, or uncovered it, since the last one.
#[derive(Clone, Debug)]
pub struct DirectoryHandle {
    path: PathBuf,
    patience: Duration,
}

/// One access: the directory as it was when the access began, under the lock. Everything goes
/// relative to that directory, so what happens to the path meanwhile cannot mix two directories.
#[derive(Debug)]
pub struct Access {
    root: OwnedFd,
    /// Closing it lets the lock go.
    _marker: OwnedFd,
}

/// What tells whether a file is the one that was read before, unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStamp {
    device: u64,
    inode: u64,
    size: i64,
    modified: (i64, u64),
    changed: (i64, u64),
}

/// One entry of a folder.
#[derive(Clone, Debug)]
pub struct FolderEntry {
    /// Its name.
    pub name: String,
    /// True for a folder itself, not for a link to one: links to folders could lead in circles.
    pub folder: bool,
}

impl DirectoryHandle {
    /// `patience`: how long its lock is waited for.
    pub fn new(path: impl Into<PathBuf>, patience: Duration) -> Self {
        Self { path: path.into(), patience }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Device and inode behind the path now; `None` where there is nothing.
    pub fn identity(&self) -> Option<(u64, u64)> {
        fs::stat(&self.path).ok().map(|stat| (stat.st_dev, stat.st_ino))
    }

    /// Begins an access.
    ///
    /// # Errors
    /// [`Outage::Directory`] where the path or its marker cannot be had,
    /// [`Outage::Locked`] where its lock cannot, for as long as its patience lasts.
    pub fn open(&self, intent: LockMode) -> Result<Access, StoreError> {
        let operation = match intent {
            LockMode::Read => FlockOperation::NonBlockingLockShared,
            LockMode::Write => FlockOperation::NonBlockingLockExclusive,
        };
        let deadline = Instant::now() + self.patience;
        loop {
            match self.attempt(operation) {
                Ok(Some(access)) => return Ok(access),
                Ok(None) if Instant::now() < deadline => thread::sleep(LOCK_RETRY),
                Ok(None) => {
                    let (path, waited) = (self.path.clone(), self.patience);
                    let marker = fs::stat(path.join(MARKER)).ok();
                    let holder = marker.and_then(|marker| lock_holder::of(&marker));
                    return Err(Outage::Locked { path, waited, holder }.into());
                }
                Err(errno) => {
                    return Err(self.unreachable(format!(
                        "its file {MARKER} cannot be opened ({errno}): is this the right directory?"
                    )));
                }
            }
        }
    }

    /// The error that says that nothing is known of the store now.
    pub fn unreachable(&self, why: String) -> StoreError {
        Outage::Directory { path: self.path.clone(), why }.into()
    }

    /// One try; `None` where somebody else has the lock.
    fn attempt(&self, operation: FlockOperation) -> Result<Option<Access>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = fs::open(&self.path, flags, Mode::empty())?;
        let marker = fs::openat(&root, MARKER, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        match fs::flock(&marker, operation) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK | Errno::INTR) => return Ok(None),
            Err(errno) => return Err(errno),
        }
        // A marker that was replaced while we opened it is a lock that nobody else takes.
        let (ours, named) =
            (fs::fstat(&marker)?, fs::statat(&root, MARKER, AtFlags::SYMLINK_NOFOLLOW)?);
        if (ours.st_dev, ours.st_ino) != (named.st_dev, named.st_ino) {
            return Ok(None);
        }
        Ok(Some(Access { root, _marker: marker }))
    }
}

impl Access {
    /// The entries of a folder, in order of name; hidden ones and names that are not UTF-8 are
    /// passed over.
    pub fn list(&self, folder: &str) -> io::Result<Vec<FolderEntry>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let path = if folder.is_empty() { "." } else { folder };
        let opened = fs::openat(&self.root, path, flags, Mode::empty())?;
        let mut entries = Vec::new();
        for entry in Dir::read_from(&opened)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().to_str() else { continue };
            if name.starts_with('.') {
                continue;
            }
            let folder = match entry.file_type() {
                FileType::Unknown => {
                    let stat = fs::statat(&opened, name, AtFlags::SYMLINK_NOFOLLOW)?;
                    FileType::from_raw_mode(stat.st_mode).is_dir()
                }
                known => known.is_dir(),
            };
            entries.push(FolderEntry { name: name.to_owned(), folder });
        }
        entries.sort_by(|one, other| one.name.cmp(&other.name));
        Ok(entries)
    }

    /// The stamp of a file, and whether it was changed so lately that a further change could
    /// leave the stamp the same (kernel timestamps advance by ticks).
    pub fn stamp(&self, file: &str) -> io::Result<(FileStamp, bool)> {
        const TICKS: i64 = 50_000_000;
        let stat = fs::statat(&self.root, file, AtFlags::empty())?;
        let stamp = FileStamp {
            device: stat.st_dev,
            inode: stat.st_ino,
            size: stat.st_size,
            modified: (stat.st_mtime, stat.st_mtime_nsec),
            changed: (stat.st_ctime, stat.st_ctime_nsec),
        };
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let age = (now.tv_sec - stat.st_ctime)
            .saturating_mul(1_000_000_000)
            .saturating_add(now.tv_nsec - i64::try_from(stat.st_ctime_nsec).unwrap_or(0));
        Ok((stamp, age < TICKS))
    }

    /// The bytes of a file; `InvalidData` where it is larger than [`MAX_FILE_BYTES`] or no plain
    /// file (a pipe would block for ever).
    pub fn read(&self, file: &str) -> io::Result<Vec<u8>> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let opened = fs::openat(&self.root, file, flags, Mode::empty())?;
        let stat = fs::fstat(&opened)?;
        if !FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it is no plain file"));
        }
        let mut bytes = Vec::new();
        File::from(opened).take(MAX_FILE_BYTES + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(io::Error::new(io::ErrorKind::InvalidData, too_large()));
        }
        Ok(bytes)
    }

    /// Like [`Self::read`]; `None` where the file is not there.
    pub fn read_if_there(&self, file: &str) -> io::Result<Option<Vec<u8>>> {
        match self.read(file) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces a file, or makes it: readers see the old content or the new one, and so does the
    /// next boot. Needs [`LockMode::Write`].
    pub fn replace(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(file, bytes, true)
    }

    /// Like [`Self::replace`], for what means nothing after a power loss: it may be empty then.
    pub fn replace_for_now(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        self.put(file, bytes, false)
    }

    /// Like [`Self::replace`], of a file that is there and keeps its mode.
    pub fn replace_kept(&self, file: &str, bytes: &[u8]) -> io::Result<()> {
        let stat = fs::statat(&self.root, file, AtFlags::SYMLINK_NOFOLLOW)?;
        self.replace(file, bytes)?;
        let mode = Mode::from_raw_mode(stat.st_mode);
        Ok(fs::chmodat(&self.root, file, mode, AtFlags::empty())?)
    }

    /// Whether a file is a link to another.
    pub fn is_link(&self, file: &str) -> io::Result<bool> {
        let stat = fs::statat(&self.root, file, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(stat.st_mode) == FileType::Symlink)
    }

    fn put(&self, file: &str, bytes: &[u8], lasting: bool) -> io::Result<()> {
        let (folder, name) = file.rsplit_once('/').unwrap_or((".", file));
        let temporary = format!("{folder}/.{name}.new");
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let mut opened = File::from(fs::openat(&self.root, temporary.as_str(), flags, mode)?);
        opened.write_all(bytes)?;
        if lasting {
            // Without it a power loss can leave an empty file behind the new name.
            fs::fdatasync(&opened)?;
        }
        fs::renameat(&self.root, temporary.as_str(), &self.root, file)?;
        Ok(())
    }

    /// Makes the names in a folder outlast a power loss.
    pub fn sync_folder(&self, folder: &str) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::fsync(fs::openat(&self.root, folder, flags, Mode::empty())?)?;
        Ok(())
    }

    /// Removes a file; absent is success.
    pub fn remove(&self, file: &str) -> io::Result<()> {
        match fs::unlinkat(&self.root, file, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Makes a folder below an existing one; there is success.
    pub fn make_folder(&self, folder: &str) -> io::Result<()> {
        make_folder(self.root.as_fd(), folder)
    }

    /// Appends to a file.
    pub fn append(&self, file: &str, bytes: &[u8]) -> io::Result<u64> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::APPEND | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let mut opened = File::from(fs::openat(&self.root, file, flags, mode)?);
        opened.write_all(bytes)?;
        Ok(opened.metadata()?.len())
    }
}

pub fn make_folder(root: std::os::fd::BorrowedFd<'_>, folder: &str) -> io::Result<()> {
    let mode = Mode::RWXU | Mode::RGRP | Mode::XGRP | Mode::ROTH | Mode::XOTH;
    match fs::mkdirat(root, folder, mode) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
