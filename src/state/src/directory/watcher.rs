//! The thread that keeps the snapshot up to what the directory holds.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};

use super::cache::DirectoryCache;
use super::files::RereadScope;
use super::store::{LockMode, MARKER};
use crate::error::StoreError;
use crate::manifest::is_manifest;

/// A mount over the directory raises no event, so the marker is looked at this often.
const MARKER_INTERVAL: Duration = Duration::from_millis(200);
/// Everything is compared this often, whatever events came.
const REREAD_INTERVAL: Duration = Duration::from_secs(1);

/// The thread, until this is dropped.
#[derive(Debug)]
pub struct DirectoryWatcher {
    stop_signal: Arc<StopSignal>,
}

/// How the thread is told to end.
#[derive(Debug)]
struct StopSignal {
    requested: AtomicBool,
    wake: OwnedFd,
}

impl DirectoryWatcher {
    /// Begins to watch.
    ///
    /// # Errors
    /// Where the process can have no further thread or file descriptor.
    pub fn start(cache: Arc<DirectoryCache>) -> Result<Self, StoreError> {
        let wake = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)
            .map_err(|errno| StoreError::io("eventfd")(errno.into()))?;
        let stop_signal = Arc::new(StopSignal { requested: AtomicBool::new(false), wake });
        let watched = Arc::clone(&stop_signal);
        std::thread::Builder::new()
            .name("store-watcher".to_owned())
            .spawn(move || run(&cache, &watched))
            .map_err(StoreError::io("store-watcher"))?;
        Ok(Self { stop_signal })
    }
}

impl Drop for DirectoryWatcher {
    fn drop(&mut self) {
        self.stop_signal.requested.store(true, Ordering::Release);
        // A full counter is awake already.
        let _ = rustix::io::write(&self.stop_signal.wake, &1_u64.to_ne_bytes());
    }
}

/// The watches on the folders of one directory, by what is behind its path now.
#[derive(Debug)]
struct Watches {
    inotify: Inotify,
    root: Option<(u64, u64)>,
    folders: BTreeMap<i32, PathBuf>,
}

/// What a batch of events asks for.
#[derive(Debug, Default)]
struct EventBatch {
    /// Anything may have changed.
    anything: bool,
    changed: BTreeSet<String>,
    watch_anew: bool,
    writing: Vec<PathBuf>,
    written: Vec<PathBuf>,
}

fn run(cache: &DirectoryCache, stop_signal: &StopSignal) {
    let mut watches: Option<Watches> = None;
    let mut reread_at = Instant::now();
    let mut scope = Some(RereadScope::All);
    while !stop_signal.requested.load(Ordering::Acquire) {
        if watches.as_ref().is_none_or(|watches| watches.root != cache.store.identity()) {
            watches = begin(cache);
            // Watched before it is read: who sees the first snapshot may begin to write a file.
            if let Some(watches) = &mut watches {
                watches.add(cache, cache.find_folders());
            }
            scope = Some(RereadScope::All);
        }
        if reread_at.elapsed() >= REREAD_INTERVAL {
            scope = Some(RereadScope::All);
        }
        if let Some(scope) = scope.take() {
            // A folder that is new was not watched while it was filled, so look again.
            while cache.refresh(&scope).is_ok()
                && matches!(scope, RereadScope::All)
                && watches.as_mut().is_some_and(|watches| watches.add(cache, cache.folders()))
            {
            }
            if matches!(scope, RereadScope::All) {
                reread_at = Instant::now();
            }
        } else if cache.store.open(LockMode::Read).is_err() == cache.is_reachable() {
            scope = Some(RereadScope::All);
            continue;
        }
        let batch = wait(stop_signal, watches.as_mut());
        cache.note_writers(&batch.writing, &batch.written);
        if batch.watch_anew {
            watches = None;
        }
        if batch.anything {
            scope = Some(RereadScope::All);
        } else if !batch.changed.is_empty() {
            scope = Some(RereadScope::Paths(batch.changed));
        }
    }
}

fn begin(cache: &DirectoryCache) -> Option<Watches> {
    let root = cache.store.identity()?;
    match Inotify::init() {
        Ok(inotify) => Some(Watches { inotify, root: Some(root), folders: BTreeMap::new() }),
        Err(error) => {
            tracing::warn!(%error, "no inotify: changes are seen once a second");
            None
        }
    }
}

impl Watches {
    /// Watches folders; true where there was a new one.
    fn add(&mut self, cache: &DirectoryCache, folders: impl IntoIterator<Item = String>) -> bool {
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::MODIFY
            | WatchMask::CREATE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::ATTRIB
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let mut added = false;
        for folder in folders {
            let folder = PathBuf::from(folder);
            let path = cache.store.path().join(&folder);
            match self.inotify.watches().add(&path, mask) {
                // The same folder has the same descriptor, so that only new ones are news.
                Ok(descriptor) => added |= self.remember(&descriptor, folder),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => {
                    let path = path.display();
                    tracing::warn!(%error, %path, "not watched: changes are seen once a second");
                }
            }
        }
        added
    }

    fn remember(&mut self, descriptor: &WatchDescriptor, folder: PathBuf) -> bool {
        self.folders.insert(descriptor.get_watch_descriptor_id(), folder.clone()) != Some(folder)
    }

    fn read(&mut self, batch: &mut EventBatch) {
        let mut buffer = [0; 16 * 1024];
        // Interrupted or empty: what is left is read the next time.
        while let Ok(events) = self.inotify.read_events(&mut buffer) {
            for event in events {
                let id = event.wd.get_watch_descriptor_id();
                if event.mask.contains(EventMask::IGNORED) {
                    self.folders.remove(&id);
                    continue;
                }
                let folder = self.folders.get(&id);
                batch.take(event.mask, folder.map(PathBuf::as_path), event.name);
            }
        }
    }
}

impl EventBatch {
    fn take(&mut self, mask: EventMask, folder: Option<&Path>, name: Option<&std::ffi::OsStr>) {
        let ends = EventMask::Q_OVERFLOW
            | EventMask::UNMOUNT
            | EventMask::DELETE_SELF
            | EventMask::MOVE_SELF;
        if mask.intersects(ends) {
            self.anything = true;
            self.watch_anew = true;
            return;
        }
        let Some((folder, name)) = folder.zip(name.and_then(|name| name.to_str())) else { return };
        if mask.contains(EventMask::ISDIR) {
            self.anything |= !name.starts_with('.');
            return;
        }
        if name == MARKER {
            self.anything = true;
            return;
        }
        if !is_manifest(name) {
            return;
        }
        let path = folder.join(name);
        if mask.contains(EventMask::MODIFY) {
            self.written.retain(|written| *written != path);
            self.writing.push(path);
        } else {
            self.changed.extend(path.to_str().map(str::to_owned));
            self.writing.retain(|writing| *writing != path);
            self.written.push(path);
        }
    }
}

fn wait(stop_signal: &StopSignal, watches: Option<&mut Watches>) -> EventBatch {
    let mut batch = EventBatch::default();
    let timeout = Timespec {
        tv_sec: 0,
        tv_nsec: i64::try_from(MARKER_INTERVAL.as_nanos()).unwrap_or(i64::MAX),
    };
    {
        let mut waiting = vec![PollFd::new(&stop_signal.wake, PollFlags::IN)];
        if let Some(watches) = &watches {
            waiting.push(PollFd::from_borrowed_fd(watches.inotify.as_fd(), PollFlags::IN));
        }
        // Interrupted by a signal is as good as a time-out: everything is looked at anyway.
        if poll(&mut waiting, Some(&timeout)).is_err() {
            return batch;
        }
    }
    let mut drained = [0; 8];
    batch.anything |= rustix::io::read(&stop_signal.wake, &mut drained).is_ok();
    if let Some(watches) = watches {
        watches.read(&mut batch);
    }
    batch
}
