//! [`ClusterState`] over a directory of manifests.
//!
//! State: people write manifests anywhere below the directory; Egret writes only below
//! `egret.dev/` in it: an object per file (`egret.dev/egressaddresses/203.0.113.17.yaml`), for
//! each pool and claim a record with its status, the fence counter, the leader's Lease and events.
//! Several processes on one machine share it; the lock on the marker file `.egret-store` orders
//! them.
//! Always: every access begins at the path, and under the lock; a directory without its marker,
//! or whose lock is not had in a second, is unreachable: the last snapshot stays. An object goes
//! when its document or its file goes, never because a file is broken, empty, being written or
//! unreadable.

mod error;
mod events;
mod fences;
mod files;
mod leader;
mod own;
mod records;
mod snapshot;
mod store;
mod watcher;
mod write;

use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use egret_core::model::{Broken, Snapshot, Timestamp, Version};
use egret_ports::cluster_state::{ClusterState, Event, Write};
use egret_ports::error::{ErrorClass, PortError};
use rustix::event::{EventfdFlags, eventfd};
use tokio::sync::watch;

pub use error::StoreError;
pub use events::RecordedEvent;
pub use own::OWN_FOLDER;
pub use store::{LOCK_PATIENCE, MARKER};

use files::{Files, Scope};
use store::{Intent, Store};

const MARKER_TEXT: &str = "Egret store. While this file is missing, the store counts as \
                           unreachable and nothing in it as deleted.\n";

/// The cluster's state in a directory.
#[derive(Debug)]
pub struct DirectoryState {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    store: Store,
    index: Mutex<Index>,
    observed: Mutex<Option<leader::Observed>>,
    snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    reachable: watch::Sender<bool>,
    wake: OwnedFd,
    stop: AtomicBool,
}

/// What was read, and the snapshot that a revision of it made.
#[derive(Debug, Default)]
struct Index {
    files: Files,
    assembled: Option<(u64, Arc<Snapshot>)>,
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
        for folder in std::iter::once(OWN_FOLDER).chain(own::FOLDERS) {
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
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| StoreError::io("eventfd")(errno.into()))?;
        let shared = Arc::new(Shared {
            store: Store::new(dir),
            index: Mutex::default(),
            observed: Mutex::default(),
            snapshot: watch::Sender::new(None),
            reachable: watch::Sender::new(true),
            wake,
            stop: AtomicBool::new(false),
        });
        let watching = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("store-watcher".to_owned())
            .spawn(move || watcher::run(&watching))
            .map_err(StoreError::io("store-watcher"))?;
        Ok(Self { shared })
    }

    async fn blocking<T: Send + 'static>(
        &self,
        operation: String,
        work: impl FnOnce(&Shared) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, PortError> {
        let shared = Arc::clone(&self.shared);
        let done = tokio::task::spawn_blocking(move || {
            let result = work(&shared);
            shared.note_reachable(result.as_ref().err());
            result
        });
        match done.await {
            Ok(result) => result.map_err(|error| error.into_port(operation)),
            Err(error) => Err(PortError::new(ErrorClass::Transient, operation, error)),
        }
    }
}

impl Drop for DirectoryState {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.shared.wake();
    }
}

impl ClusterState for DirectoryState {
    fn watch(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.shared.snapshot.subscribe()
    }

    fn reachable(&self) -> watch::Receiver<bool> {
        self.shared.reachable.subscribe()
    }

    async fn read_consistent(&self) -> Result<Arc<Snapshot>, PortError> {
        self.blocking("read the store".to_owned(), |shared| shared.refresh(&Scope::All)).await
    }

    async fn write(&self, write: Write) -> Result<Version, PortError> {
        let operation = format!("write {}", write::subject(&write));
        self.blocking(operation, move |shared| {
            write::apply(&shared.store.open(Intent::Write)?, write)
        })
        .await
    }

    async fn draw_fences(&self, count: u64) -> Result<u64, PortError> {
        self.blocking(format!("draw {count} fences"), move |shared| {
            if count == 0 {
                return Err(StoreError::Invalid("draw at least one fence".to_owned()));
            }
            let access = shared.store.open(Intent::Write)?;
            fences::draw(&access, count)
        })
        .await
    }

    async fn lead(&self, holder: &str, for_seconds: u32) -> Result<bool, PortError> {
        let holder = holder.to_owned();
        self.blocking(format!("lead as {holder}"), move |shared| {
            let access = shared.store.open(Intent::Write)?;
            let mut observed = locked(&shared.observed);
            leader::lead(&access, &mut observed, &holder, for_seconds, now())
        })
        .await
    }

    async fn event(&self, event: Event) -> Result<(), PortError> {
        self.blocking(format!("record {} of {}", event.reason, event.about), move |shared| {
            events::append(&shared.store.open(Intent::Write)?, &event)
        })
        .await
    }
}

impl Shared {
    /// Reads the directory, brings the records up to the manifests and publishes the snapshot.
    fn refresh(&self, scope: &Scope) -> Result<Arc<Snapshot>, StoreError> {
        // Held to the end: of two refreshes the one that read later publishes later.
        let mut index = locked(&self.index);
        let result = self.read(&mut index, scope);
        self.note_reachable(result.as_ref().err());
        let snapshot = result?;
        self.snapshot.send_if_modified(|published| {
            let changed = published.as_ref() != Some(&snapshot);
            if changed {
                *published = Some(Arc::clone(&snapshot));
            }
            changed
        });
        Ok(snapshot)
    }

    fn read(&self, index: &mut Index, scope: &Scope) -> Result<Arc<Snapshot>, StoreError> {
        let files = &mut index.files;
        let mut access = self.store.open(Intent::Read)?;
        self.look(files, &access, scope)?;
        if let Some((revision, snapshot)) = &index.assembled
            && *revision == files.revision
        {
            return Ok(Arc::clone(snapshot));
        }
        let mut failed = None;
        if !records::changes(files, now())?.is_empty() {
            drop(access);
            access = self.store.open(Intent::Write)?;
            // Another process may have done it between the two locks.
            self.look(files, &access, &Scope::All)?;
            let changes = records::changes(files, now())?;
            failed = records::apply(&access, changes).err();
            self.look(files, &access, &Scope::All)?;
        }
        drop(access);
        let mut snapshot = snapshot::assemble(files);
        let complete = failed.is_none();
        if let Some(error) = failed {
            let place = OWN_FOLDER.to_owned();
            snapshot.broken.push(Broken { place, message: error.to_string() });
        }
        let snapshot = Arc::new(snapshot);
        // What could not be recorded is tried again the next time.
        index.assembled = complete.then(|| (files.revision, Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// A directory that cannot be listed is unreachable too: nothing in it counts as deleted.
    fn look(
        &self,
        files: &mut Files,
        access: &store::Access,
        scope: &Scope,
    ) -> Result<(), StoreError> {
        files.look(access, scope).map_err(|error| self.store.unreachable(error.to_string()))
    }

    fn note_reachable(&self, error: Option<&StoreError>) {
        let reachable = !matches!(error, Some(StoreError::Unreachable { .. }));
        self.reachable.send_if_modified(|before| {
            if *before != reachable {
                match error {
                    Some(error) => tracing::warn!(%error, "the store is unreachable"),
                    None => tracing::info!("the store is reachable again"),
                }
            }
            std::mem::replace(before, reachable) != reachable
        });
    }

    fn is_reachable(&self) -> bool {
        *self.reachable.borrow()
    }

    fn folders(&self) -> Vec<String> {
        locked(&self.index).files.folders.iter().cloned().collect()
    }

    /// The folders that are there now; none where the store is unreachable.
    fn find_folders(&self) -> Vec<String> {
        let found = self.store.open(Intent::Read).and_then(|access| files::folders(&access));
        found.map(|folders| folders.into_iter().collect()).unwrap_or_default()
    }

    fn note_writers(&self, writing: &[PathBuf], written: &[PathBuf]) {
        if writing.is_empty() && written.is_empty() {
            return;
        }
        let files = &mut locked(&self.index).files;
        for path in written {
            files.busy.remove(path);
        }
        for path in writing {
            files.busy.insert(path.clone(), Instant::now());
        }
    }

    fn wake(&self) {
        // A full counter is awake already.
        let _ = rustix::io::write(&self.wake, &1_u64.to_ne_bytes());
    }
}

/// A snapshot of a store, for a command that only reads: nothing is written, and pools and claims
/// that no process has recorded yet are in it without uid.
///
/// # Errors
/// Where the store is unreachable or cannot be read.
pub fn read_once(dir: &Path) -> Result<Snapshot, StoreError> {
    let access = Store::new(dir).open(Intent::Read)?;
    let mut files = Files::default();
    files.look(&access, &Scope::All)?;
    Ok(snapshot::with_unrecorded(snapshot::assemble(&files), &files))
}

/// The events of a store, oldest first.
///
/// # Errors
/// Where the store is unreachable or cannot be read.
pub fn events(dir: &Path) -> Result<Vec<RecordedEvent>, StoreError> {
    events::read(&Store::new(dir).open(Intent::Read)?)
}

fn now() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every value behind these locks is whole between two statements; a panic elsewhere must not
    // take the store away for good.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
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
