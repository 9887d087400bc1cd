//! What was read of the directory, and the snapshot of it that is published.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use egret_core::model::{InvalidObject, Snapshot};
use tokio::sync::watch;

use super::clock::now;
use super::files::{self, FileIndex, RereadScope};
use super::records::{self, RecordChange};
use super::snapshot;
use super::store::{Access, DirectoryHandle, LockMode};
use crate::error::StoreError;
use crate::manifest::OWN_FOLDER;
use crate::mutex::locked;
use crate::reachability::Reachability;

/// Reads the directory again, whole or in part, and tells who watches what has changed.
#[derive(Debug)]
pub struct DirectoryCache {
    /// Where it is read from.
    pub store: DirectoryHandle,
    contents: Mutex<DirectoryContents>,
    snapshot: watch::Sender<Option<Arc<Snapshot>>>,
    reachable: Reachability,
}

/// What was read, and the snapshot that a revision of it made.
#[derive(Debug, Default)]
struct DirectoryContents {
    files: FileIndex,
    assembled: Option<(u64, Arc<Snapshot>)>,
}

impl DirectoryCache {
    /// Nothing has been read yet.
    pub fn new(store: DirectoryHandle) -> Self {
        Self {
            store,
            contents: Mutex::default(),
            snapshot: watch::Sender::new(None),
            reachable: Reachability::default(),
        }
    }

    /// The snapshot that was published last, and those that follow.
    pub fn snapshot(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.snapshot.subscribe()
    }

    /// Whether the last access succeeded.
    pub fn reachable(&self) -> watch::Receiver<bool> {
        self.reachable.subscribe()
    }

    /// Reads the directory, brings the records up to the manifests and publishes the snapshot.
    pub fn refresh(&self, scope: &RereadScope) -> Result<Arc<Snapshot>, StoreError> {
        // Held to the end: of two refreshes the one that read later publishes later.
        let mut contents = locked(&self.contents);
        let result = self.read(&mut contents, scope);
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

    fn read(
        &self,
        contents: &mut DirectoryContents,
        scope: &RereadScope,
    ) -> Result<Arc<Snapshot>, StoreError> {
        let files = &mut contents.files;
        let mut access = self.store.open(LockMode::Read)?;
        self.refresh_files(files, &access, scope)?;
        if let Some((revision, snapshot)) = &contents.assembled
            && *revision == files.revision
        {
            return Ok(Arc::clone(snapshot));
        }
        let (mut failed, mut complete) = (None, true);
        if !records::changes(files, now()).is_empty() {
            drop(access);
            access = self.store.open(LockMode::Write)?;
            // Another process may have done it between the two locks.
            self.refresh_files(files, &access, &RereadScope::All)?;
            let changes = records::changes(files, now());
            let outcomes: BTreeSet<_> = changes.iter().map(RecordChange::outcome).collect();
            failed = records::apply(&access, changes).err();
            self.refresh_files(files, &access, &RereadScope::All)?;
            // People take no lock: they may have changed a manifest while the records were written.
            // What is still to be done although it was done, such as beside a stray copy of a record,
            // would be done for ever.
            let left = records::changes(files, now());
            let done = |change: &RecordChange| outcomes.contains(&change.outcome());
            complete = failed.is_none() && left.iter().all(done);
        }
        drop(access);
        let mut snapshot = snapshot::assemble(files);
        if let Some(error) = failed {
            let place = OWN_FOLDER.to_owned();
            snapshot.invalid_objects.push(InvalidObject { place, message: error.to_string() });
        }
        let snapshot = Arc::new(snapshot);
        // What is not recorded yet is tried again the next time, and so is what time alone ends.
        complete &= !files.waits();
        contents.assembled = complete.then(|| (files.revision, Arc::clone(&snapshot)));
        Ok(snapshot)
    }

    /// A directory that cannot be listed is unreachable too: nothing in it counts as deleted.
    fn refresh_files(
        &self,
        files: &mut FileIndex,
        access: &Access,
        scope: &RereadScope,
    ) -> Result<(), StoreError> {
        files.refresh(access, scope).map_err(|error| self.store.unreachable(error.to_string()))
    }

    /// Takes the outcome of an access into account.
    pub fn note_reachable(&self, error: Option<&StoreError>) {
        self.reachable.set(error.filter(|error| error.is_outage()));
    }

    /// As [`Self::reachable`] says now.
    pub fn is_reachable(&self) -> bool {
        *self.reachable().borrow()
    }

    /// The folders seen at the last walk.
    pub fn folders(&self) -> Vec<String> {
        locked(&self.contents).files.folders.iter().cloned().collect()
    }

    /// The folders that are there now; none where the store is unreachable.
    pub fn find_folders(&self) -> Vec<String> {
        let found = self.store.open(LockMode::Read).and_then(|access| files::folders(&access));
        found.map(|folders| folders.into_iter().collect()).unwrap_or_default()
    }

    /// Takes into account which files somebody is writing, and which were written to their end.
    pub fn note_writers(&self, writing: &[PathBuf], written: &[PathBuf]) {
        if writing.is_empty() && written.is_empty() {
            return;
        }
        let files = &mut locked(&self.contents).files;
        for path in written {
            files.busy.remove(path);
        }
        for path in writing {
            files.busy.insert(path.clone(), Instant::now());
        }
    }
}
