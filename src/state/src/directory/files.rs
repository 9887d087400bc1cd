//! The files of the directory, as they were last understood.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use egret_core::model::InvalidObject;

use super::own_object::{self, FOLDERS, OwnObject};
use super::store::{Access, FileStamp};
use super::vanished::VanishedManifests;
use crate::error::StoreError;
use crate::manifest::{self, ManifestFault, ManifestObject, OWN_FOLDER, ObjectKey, is_manifest};

/// Folders below folders are read so deep.
const MAX_DEPTH: usize = 16;
/// A file that somebody has begun to write is left as it was for so long after the last write.
const WRITER_PATIENCE: Duration = Duration::from_secs(5);

/// What is remembered of the directory. Only changed files are read again.
#[derive(Debug, Default)]
pub struct FileIndex {
    /// Manifests of people, by path.
    pub manifests: BTreeMap<String, ManifestFile>,
    /// Egret's own files, by path.
    pub own: BTreeMap<String, OwnFile>,
    /// Folders found at the last walk: these are watched.
    pub folders: BTreeSet<String>,
    /// Folders that could not be read at the last walk.
    pub unreadable: Vec<InvalidObject>,
    /// Files that somebody is writing right now, with the time of the last write that was noticed.
    pub busy: BTreeMap<PathBuf, Instant>,
    vanished: VanishedManifests,
    /// Grows with every change of what is above, except `busy` and `vanished`.
    pub revision: u64,
}

/// What may have changed since the last time.
#[derive(Clone, Debug)]
pub enum RereadScope {
    /// Anything.
    All,
    /// These files.
    Paths(BTreeSet<String>),
}

/// A person's file.
#[derive(Debug, Default)]
pub struct ManifestFile {
    stamp: Option<FileStamp>,
    /// See [`Access::stamp`].
    racy: bool,
    bytes: Vec<u8>,
    /// Its objects, each with its line: where a document became broken, as they were before.
    pub objects: Vec<(usize, ManifestObject)>,
    /// What is wrong with it.
    pub faults: Vec<ManifestFault>,
}

/// A file of Egret's own.
#[derive(Debug, Default)]
pub struct OwnFile {
    stamp: Option<FileStamp>,
    /// See [`Access::stamp`].
    racy: bool,
    /// The object, as it was last understood.
    pub object: Option<OwnObject>,
    /// What is wrong with the file.
    pub fault: Option<String>,
}

impl FileIndex {
    /// Brings what may have changed up to what the directory holds now.
    ///
    /// # Errors
    /// Where the directory itself cannot be listed: nothing has changed then.
    pub fn refresh(&mut self, access: &Access, scope: &RereadScope) -> Result<(), StoreError> {
        self.busy.retain(|_, last| last.elapsed() < WRITER_PATIENCE);
        match scope {
            RereadScope::All => self.walk(access)?,
            RereadScope::Paths(paths) => {
                for path in paths {
                    if FOLDERS.iter().any(|folder| path.starts_with(folder)) {
                        self.read_own(access, path);
                    } else {
                        self.read_manifest(access, path);
                    }
                }
            }
        }
        self.note_vanished();
        Ok(())
    }

    /// Whether the objects of a manifest that does not hold them now are to stay for a while.
    pub fn has_grace(&self, manifest: &str) -> bool {
        self.vanished.has_grace(manifest, Instant::now())
    }

    /// Whether time alone may change what is to be done.
    pub fn waits(&self) -> bool {
        self.vanished.is_waiting()
    }

    fn note_vanished(&mut self) {
        let records = self.own.values().filter_map(|file| match &file.object {
            Some(OwnObject::Record(record)) => Some(&record.manifest),
            _ => None,
        });
        let gone = records.filter(|manifest| !self.manifests.contains_key(*manifest));
        self.vanished.look(&gone.collect(), Instant::now());
    }

    fn walk(&mut self, access: &Access) -> Result<(), StoreError> {
        let FoundFiles { manifests, own, folders, unreadable } = find_all(access)?;
        let hidden = |path: &str, blocked: &[(String, InvalidObject)]| {
            blocked.iter().any(|(folder, _)| {
                path.strip_prefix(folder.as_str()).is_some_and(|rest| rest.starts_with('/'))
            })
        };
        let is_there = |path: &String| manifests.contains(path) || hidden(path, &unreadable);
        let left: Vec<String> =
            self.manifests.keys().filter(|path| !is_there(path)).cloned().collect();
        for path in &left {
            self.forget(path);
        }
        let before = self.own.len();
        self.own.retain(|path, _| own.contains(path));
        let gone = self.own.len() < before;
        for path in &manifests {
            self.read_manifest(access, path);
        }
        for path in &own {
            self.read_own(access, path);
        }
        let unreadable: Vec<InvalidObject> =
            unreadable.into_iter().map(|(_, broken)| broken).collect();
        self.revision += u64::from(gone || self.unreadable != unreadable);
        self.folders = folders;
        self.unreadable = unreadable;
        Ok(())
    }

    fn read_manifest(&mut self, access: &Access, path: &str) {
        if self.busy.contains_key(std::path::Path::new(path)) {
            return;
        }
        let known = self.manifests.get(path);
        let read = access.stamp(path).and_then(|(stamp, racy)| {
            let same = known.is_some_and(|known| known.stamp == Some(stamp) && !known.racy);
            if same { Ok(None) } else { access.read(path).map(|bytes| Some((stamp, racy, bytes))) }
        });
        match read {
            Ok(None) => {}
            Ok(Some((stamp, racy, bytes))) => self.take_manifest(path, stamp, racy, bytes),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.forget(path);
            }
            Err(error) => {
                let fault = ManifestFault { line: 1, message: format!("cannot be read: {error}") };
                let file = self.manifests.entry(path.to_owned()).or_default();
                let faults = vec![fault];
                self.revision += u64::from(file.faults != faults);
                (file.stamp, file.faults) = (None, faults);
            }
        }
    }

    fn forget(&mut self, path: &str) {
        if self.manifests.remove(path).is_some() {
            self.vanished.goes(path, Instant::now());
            self.revision += 1;
        }
    }

    fn take_manifest(&mut self, path: &str, stamp: FileStamp, racy: bool, bytes: Vec<u8>) {
        let file = self.manifests.entry(path.to_owned()).or_default();
        let same = file.stamp.is_some() && file.bytes == bytes;
        (file.stamp, file.racy) = (Some(stamp), racy);
        if same {
            return;
        }
        (file.objects, file.faults) = understand(&bytes, std::mem::take(&mut file.objects));
        file.bytes = bytes;
        self.revision += 1;
    }

    fn read_own(&mut self, access: &Access, path: &str) {
        let Ok((stamp, racy)) = access.stamp(path) else {
            self.revision += u64::from(self.own.remove(path).is_some());
            return;
        };
        let known = self.own.get(path);
        if known.is_some_and(|known| known.stamp == Some(stamp) && !known.racy) {
            return;
        }
        let read = access.read(path).map_err(|error| format!("cannot be read: {error}"));
        let file = self.own.entry(path.to_owned()).or_default();
        (file.stamp, file.racy) = (Some(stamp), racy);
        match read.and_then(|bytes| own_object::parse(path, &bytes)) {
            Ok(object) => {
                self.revision +=
                    u64::from(file.fault.is_some() || file.object.as_ref() != Some(&object));
                (file.object, file.fault) = (Some(object), None);
            }
            Err(message) => {
                self.revision += u64::from(file.fault.as_ref() != Some(&message));
                file.fault = Some(message);
            }
        }
    }
}

/// What a file holds, given what it held before: what a broken document held stays, and a file
/// that was just emptied is one that somebody is about to write.
fn understand(
    bytes: &[u8],
    before: Vec<(usize, ManifestObject)>,
) -> (Vec<(usize, ManifestObject)>, Vec<ManifestFault>) {
    let mut parsed = manifest::parse_bytes(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) && !before.is_empty() {
        let message = "the file is empty; what it held stays as it was: \
                       delete the file to delete its objects";
        parsed.faults.push(ManifestFault { line: 1, message: message.to_owned() });
    }
    if !parsed.faults.is_empty() {
        for (_, object) in &mut parsed.objects {
            let ManifestObject::Node(node) = object else { continue };
            let known = before.iter().find_map(|(_, known)| match known {
                ManifestObject::Node(known) if known.name == node.name => Some(known),
                _ => None,
            });
            known.into_iter().for_each(|known| node.keep_pod_cidrs(known));
        }
        let present: BTreeSet<ObjectKey> =
            parsed.objects.iter().map(|(_, object)| object.key()).collect();
        parsed
            .objects
            .extend(before.into_iter().filter(|(_, object)| !present.contains(&object.key())));
    }
    (parsed.objects, parsed.faults)
}

#[derive(Default)]
struct FoundFiles {
    manifests: BTreeSet<String>,
    own: BTreeSet<String>,
    folders: BTreeSet<String>,
    unreadable: Vec<(String, InvalidObject)>,
}

/// The folders that are there.
pub fn folders(access: &Access) -> Result<BTreeSet<String>, StoreError> {
    find_all(access).map(|found| found.folders)
}

/// The manifests of people that are there, in order of path.
pub fn manifests(access: &Access) -> Result<BTreeSet<String>, StoreError> {
    find_all(access).map(|found| found.manifests)
}

fn find_all(access: &Access) -> Result<FoundFiles, StoreError> {
    let mut found = FoundFiles::default();
    find(access, "", 0, &mut found).map_err(StoreError::io("."))?;
    for folder in FOLDERS {
        find_own(access, folder, &mut found).map_err(StoreError::io(folder))?;
    }
    Ok(found)
}

fn find(access: &Access, folder: &str, depth: usize, found: &mut FoundFiles) -> io::Result<()> {
    let entries = match access.list(folder) {
        Ok(entries) => entries,
        Err(error) if depth == 0 => return Err(error),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => {
            let message = format!("the folder cannot be read: {error}");
            let broken = InvalidObject { place: folder.to_owned(), message };
            found.unreadable.push((folder.to_owned(), broken));
            return Ok(());
        }
    };
    found.folders.insert(folder.to_owned());
    for entry in entries {
        let path =
            if folder.is_empty() { entry.name.clone() } else { format!("{folder}/{}", entry.name) };
        if entry.folder {
            if path == OWN_FOLDER {
                continue;
            }
            if depth == MAX_DEPTH {
                let message = format!("folders below {MAX_DEPTH} others are not read");
                found.unreadable.push((path.clone(), InvalidObject { place: path, message }));
                continue;
            }
            find(access, &path, depth + 1, found)?;
        } else if is_manifest(&entry.name) {
            found.manifests.insert(path);
        }
    }
    Ok(())
}

fn find_own(access: &Access, folder: &str, found: &mut FoundFiles) -> io::Result<()> {
    // A folder of kinds that is missing is a damaged store, not a store without objects.
    let entries = access.list(folder)?;
    found.folders.insert(folder.to_owned());
    for entry in entries {
        let path = format!("{folder}/{}", entry.name);
        if entry.folder {
            find_own(access, &path, found)?;
        } else if is_manifest(&entry.name) {
            found.own.insert(path);
        }
    }
    Ok(())
}
