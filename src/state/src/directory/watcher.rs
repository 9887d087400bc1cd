//! The thread that keeps the snapshot up to what the directory holds.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use inotify::{EventMask, Inotify, WatchDescriptor, WatchMask};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::Shared;
use super::files::Scope;
use super::store::{Intent, MARKER};
use crate::manifest::is_manifest;

/// A mount over the directory raises no event, so the marker is looked at this often.
const LOOK: Duration = Duration::from_millis(200);
/// Everything is compared this often, whatever events came.
const COMPARE: Duration = Duration::from_secs(1);

/// The watches on the folders of one directory, by what is behind its path now.
#[derive(Debug)]
struct Watches {
    inotify: Inotify,
    root: Option<(u64, u64)>,
    folders: BTreeMap<i32, PathBuf>,
}

/// What a batch of events asks for.
#[derive(Debug, Default)]
struct News {
    /// Anything may have changed.
    anything: bool,
    changed: BTreeSet<String>,
    begin_anew: bool,
    writing: Vec<PathBuf>,
    written: Vec<PathBuf>,
}

/// Runs until the store's owner is dropped.
pub fn run(shared: &Arc<Shared>) {
    let mut watches: Option<Watches> = None;
    let mut compared = Instant::now();
    let mut scope = Some(Scope::All);
    while !shared.stop.load(Ordering::Acquire) {
        if watches.as_ref().is_none_or(|watches| watches.root != shared.store.identity()) {
            watches = begin(shared);
            // Watched before it is read: who sees the first snapshot may begin to write a file.
            if let Some(watches) = &mut watches {
                watches.add(shared, shared.find_folders());
            }
            scope = Some(Scope::All);
        }
        if compared.elapsed() >= COMPARE {
            scope = Some(Scope::All);
        }
        if let Some(scope) = scope.take() {
            // A folder that is new was not watched while it was filled, so look again.
            while shared.refresh(&scope).is_ok()
                && matches!(scope, Scope::All)
                && watches.as_mut().is_some_and(|watches| watches.add(shared, shared.folders()))
            {
            }
            if matches!(scope, Scope::All) {
                compared = Instant::now();
            }
        } else if shared.store.open(Intent::Read).is_err() == shared.is_reachable() {
            scope = Some(Scope::All);
            continue;
        }
        let news = wait(shared, watches.as_mut());
        shared.note_writers(&news.writing, &news.written);
        if news.begin_anew {
            watches = None;
        }
        if news.anything {
            scope = Some(Scope::All);
        } else if !news.changed.is_empty() {
            scope = Some(Scope::Paths(news.changed));
        }
    }
}

fn begin(shared: &Shared) -> Option<Watches> {
    let root = shared.store.identity()?;
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
    fn add(&mut self, shared: &Shared, folders: impl IntoIterator<Item = String>) -> bool {
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
            let path = shared.store.path().join(&folder);
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

    fn read(&mut self, news: &mut News) {
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
                news.take(event.mask, folder.map(PathBuf::as_path), event.name);
            }
        }
    }
}

impl News {
    fn take(&mut self, mask: EventMask, folder: Option<&Path>, name: Option<&std::ffi::OsStr>) {
        let ends = EventMask::Q_OVERFLOW
            | EventMask::UNMOUNT
            | EventMask::DELETE_SELF
            | EventMask::MOVE_SELF;
        if mask.intersects(ends) {
            self.anything = true;
            self.begin_anew = true;
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

fn wait(shared: &Shared, watches: Option<&mut Watches>) -> News {
    let mut news = News::default();
    let timeout =
        Timespec { tv_sec: 0, tv_nsec: i64::try_from(LOOK.as_nanos()).unwrap_or(i64::MAX) };
    {
        let mut waiting = vec![PollFd::new(&shared.wake, PollFlags::IN)];
        if let Some(watches) = &watches {
            waiting.push(PollFd::from_borrowed_fd(watches.inotify.as_fd(), PollFlags::IN));
        }
        // Interrupted by a signal is as good as a time-out: everything is looked at anyway.
        if poll(&mut waiting, Some(&timeout)).is_err() {
            return news;
        }
    }
    let mut drained = [0; 8];
    news.anything |= rustix::io::read(&shared.wake, &mut drained).is_ok();
    if let Some(watches) = watches {
        watches.read(&mut news);
    }
    news
}
