//! [`ClusterState`] over a directory of manifests.
//!
//! State: people write manifests anywhere below the directory; Egret writes only below
//! `egret.dev/` in it: an object per file (`egret.dev/egressaddresses/203.0.113.17.yaml`), for
//! each pool and claim a record with its status, the fence counter, the leader's Lease and events.
//! Several processes on one machine share it; the lock on the marker file `.egret-store` orders
//! them.
//! Always: every access begins at the path, and under the lock; a directory without its marker,
//! or whose lock is not had in a second (in ten by a command), is unreachable: the last snapshot stays. An object goes
//! when its document or its file goes, never because a file is broken, empty, being written or
//! unreadable. A pool or claim goes 5 s after its file: who replaces a file may remove it first.

mod cache;
mod clock;
mod events;
mod fences;
mod files;
mod leader;
mod lock_holder;
mod own_object;
mod pause;
mod records;
mod snapshot;
mod store;
mod vanished;
mod watcher;
mod write;

use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use egret_core::model::{ResourceVersion, Snapshot};
use egret_ports::cluster_state::{ClusterState, Event, Write};
use egret_ports::error::{ErrorClass, PortError};
use tokio::sync::watch;

pub use store::{LOCK_PATIENCE, MARKER};

use crate::election::ObservedLease;
use crate::error::StoreError;
use crate::manifest::OWN_FOLDER;
use crate::mutex::locked;
use crate::recorded_event::RecordedEvent;
use cache::DirectoryCache;
use clock::now;
use files::{FileIndex, RereadScope};
use store::{COMMAND_PATIENCE, DirectoryHandle, LockMode};
use watcher::DirectoryWatcher;

const MARKER_TEXT: &str = "Egret store. While this file is missing, the store counts as \
                           unreachable and nothing in it as deleted.\n";

/// The cluster's state in a directory. Dropping it ends its thread.
#[derive(Debug)]
pub struct DirectoryState {
    cache: Arc<DirectoryCache>,
    observed: Arc<Mutex<ObservedLease<Vec<u8>>>>,
    _watcher: Option<DirectoryWatcher>,
}

impl DirectoryState {
    /// Makes a directory a store: its folders, its counter and, last, its marker. Where it is
    /// one already, nothing changes.
    ///
    /// # Errors
    /// Where the directory cannot be made or written.
    pub fn create(dir: &Path) -> Result<(), StoreError> {
        use rustix::fs::{Mode, OFlags};
        let name = dir.display().to_string();
        std::fs::create_dir_all(dir).map_err(StoreError::io(&name))?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(dir, flags, Mode::empty())
            .map_err(|errno| StoreError::io(&name)(errno.into()))?;
        for folder in std::iter::once(OWN_FOLDER).chain(own_object::FOLDERS) {
            store::make_folder(root.as_fd(), folder).map_err(StoreError::io(folder))?;
        }
        // `create_new`: a counter that is there never begins anew.
        create_new(&dir.join(fences::FILE), "1\n").map_err(StoreError::io(fences::FILE))?;
        create_new(&dir.join(MARKER), MARKER_TEXT).map_err(StoreError::io(MARKER))
    }

    /// Opens a store and begins to watch it. It may be unreachable now, or not exist yet.
    ///
    /// # Errors
    /// Where the process can have no further thread or file descriptor.
    pub fn open(dir: impl Into<PathBuf>) -> Result<Self, StoreError> {
        let cache = Arc::new(DirectoryCache::new(DirectoryHandle::new(dir, LOCK_PATIENCE)));
        let watcher = DirectoryWatcher::start(Arc::clone(&cache))?;
        Ok(Self { cache, observed: Arc::default(), _watcher: Some(watcher) })
    }

    /// Opens a store for a command that makes a write and ends. Nothing is watched, and so nothing else has the
    /// lock in its name: a watcher writes records too, for seconds where the disk is busy.
    pub fn open_unwatched(dir: impl Into<PathBuf>) -> Self {
        let cache = Arc::new(DirectoryCache::new(DirectoryHandle::new(dir, COMMAND_PATIENCE)));
        Self { cache, observed: Arc::default(), _watcher: None }
    }

    async fn blocking<T: Send + 'static>(
        &self,
        operation: String,
        work: impl FnOnce(&DirectoryCache) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, PortError> {
        let cache = Arc::clone(&self.cache);
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&cache);
            cache.note_reachable(result.as_ref().err());
            result
        });
        match done.await {
            Ok(result) => result.map_err(|error| error.into_port(operation)),
            Err(error) => Err(PortError::new(ErrorClass::Transient, operation, error)),
        }
    }
}

impl ClusterState for DirectoryState {
    fn watch(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.cache.snapshot()
    }

    fn reachable(&self) -> watch::Receiver<bool> {
        self.cache.reachable()
    }

    async fn read_consistent(&self) -> Result<Arc<Snapshot>, PortError> {
        self.blocking("read the store".to_owned(), |cache| cache.refresh(&RereadScope::All)).await
    }

    async fn write(&self, write: Write) -> Result<ResourceVersion, PortError> {
        let operation = format!("write {}", write::subject(&write));
        self.blocking(operation, move |cache| {
            write::apply(&cache.store.open(LockMode::Write)?, write)
        })
        .await
    }

    async fn draw_fences(&self, count: u64) -> Result<u64, PortError> {
        self.blocking(format!("draw {count} fences"), move |cache| {
            if count == 0 {
                return Err(StoreError::Invalid("draw at least one fence".to_owned()));
            }
            let access = cache.store.open(LockMode::Write)?;
            fences::draw(&access, count)
        })
        .await
    }

    async fn lead(&self, holder: &str, for_seconds: u32) -> Result<bool, PortError> {
        let (observed, holder) = (Arc::clone(&self.observed), holder.to_owned());
        self.blocking(format!("lead as {holder}"), move |cache| {
            let access = cache.store.open(LockMode::Write)?;
            let mut observed = locked(&observed);
            leader::lead(&access, &mut observed, &holder, for_seconds, now())
        })
        .await
    }

    async fn event(&self, event: Event) -> Result<(), PortError> {
        self.blocking(format!("record {} of {}", event.reason, event.about), move |cache| {
            events::append(&cache.store.open(LockMode::Write)?, &event)
        })
        .await
    }
}

/// A snapshot of a store, for a command that only reads: nothing is written, and pools and claims
/// that no process has recorded yet are in it without uid.
///
/// # Errors
/// Where the store is unreachable or cannot be read.
pub fn read_once(dir: &Path) -> Result<Snapshot, StoreError> {
    let access = DirectoryHandle::new(dir, COMMAND_PATIENCE).open(LockMode::Read)?;
    let mut files = FileIndex::default();
    files.refresh(&access, &RereadScope::All)?;
    Ok(snapshot::with_unrecorded(snapshot::assemble(&files), &files))
}

/// The events of a store, oldest first.
///
/// # Errors
/// Where the store is unreachable or cannot be read.
pub fn events(dir: &Path) -> Result<Vec<RecordedEvent>, StoreError> {
    events::read(&DirectoryHandle::new(dir, COMMAND_PATIENCE).open(LockMode::Read)?)
}

fn create_new(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write as _;
    match std::fs::OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(mut file) => {
            file.write_all(text.as_bytes())?;
            file.sync_data()
        }
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}
