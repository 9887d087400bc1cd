//! Keeps a [`SpecRecord`] beside every pool and claim of a person: its uid, its generation, its status
//! and the spec as it was last understood, so that a process that starts while the file is broken
//! knows it too.

use std::collections::BTreeMap;

use egret_core::model::{ClaimStatus, InvalidObject, PoolStatus, ResourceVersion, Timestamp, Uid};
use rand::RngExt as _;

use super::files::FileIndex;
use super::own_object::{self, CLAIMS, OwnObject, SpecRecord, SpecRecordStatus};
use super::store::Access;
use crate::convert::{StoredMetadata, nirmata};
use crate::error::StoreError;
use crate::manifest::{ManifestObject, ObjectKey};

/// What people's manifests hold: each object once, with the place of its document.
#[derive(Debug, Default)]
pub struct PresentObjects<'a> {
    /// The objects; of two of one name the first in order of path and line.
    pub objects: BTreeMap<ObjectKey, (&'a str, usize, &'a ManifestObject)>,
    /// The others: their place, their name and the place of the first.
    pub duplicates: Vec<(String, ObjectKey, String)>,
}

/// The objects of all manifests.
pub fn present(files: &FileIndex) -> PresentObjects<'_> {
    let mut present = PresentObjects::default();
    for (path, file) in &files.manifests {
        for (line, object) in &file.objects {
            let key = object.key();
            if let Some((first, first_line, _)) = present.objects.get(&key) {
                let place = format!("{path}:{line}");
                present.duplicates.push((place, key, format!("{first}:{first_line}")));
            } else {
                present.objects.insert(key, (path, *line, object));
            }
        }
    }
    present
}

/// A record that does not fit the manifests.
#[derive(Debug)]
pub enum RecordChange {
    /// A new object, or another spec or place of a known one.
    Write(String, Box<SpecRecord>),
    /// The object is gone.
    Remove(String),
}

impl RecordChange {
    /// The record's file, and whether it stays.
    pub fn outcome(&self) -> (String, bool) {
        match self {
            Self::Write(file, _) => (file.clone(), true),
            Self::Remove(file) => (file.clone(), false),
        }
    }
}

/// The records, by key, with their files.
pub fn records(files: &FileIndex) -> BTreeMap<ObjectKey, (&str, &SpecRecord)> {
    files
        .own
        .iter()
        .filter_map(|(path, file)| match &file.object {
            Some(OwnObject::Record(record)) => {
                Some((record.object.key(), (path.as_str(), &**record)))
            }
            _ => None,
        })
        .collect()
}

/// What must be written so that the records fit the manifests. An object whose name cannot be a file's
/// gets no record: see [`unrecordable`].
pub fn changes(files: &FileIndex, now: Timestamp) -> Vec<RecordChange> {
    let present = present(files);
    let records = records(files);
    let mut changes = Vec::new();
    for (key, (path, _, object)) in &present.objects {
        let Ok(Some(file)) = own_object::record_file(key) else { continue };
        // A record that cannot be read is not written over: the uid in it would be lost.
        let damaged = files.own.get(&file).is_some_and(|own| own.fault.is_some());
        match records.get(key) {
            _ if damaged => {}
            None => {
                let first = match former(&records, object) {
                    Some(former) => again(former, object, path),
                    None => first(object, path, now),
                };
                changes.push(RecordChange::Write(file, Box::new(first)));
            }
            Some((_, record)) => {
                let same = same_spec(&record.object, object);
                if !same || record.manifest != *path {
                    let record = again(record, object, path);
                    changes.push(RecordChange::Write(file, Box::new(record)));
                }
            }
        }
    }
    for (key, (file, record)) in records {
        if !present.objects.contains_key(&key) && !in_doubt(files, &record.manifest) {
            changes.push(RecordChange::Remove(file.to_owned()));
        }
    }
    changes
}

/// The objects whose names cannot be a file's, and why.
pub fn unrecordable(present: &PresentObjects<'_>) -> Vec<InvalidObject> {
    let fault = |(key, (path, line, _)): (&ObjectKey, &(&str, usize, _))| {
        let error = own_object::record_file(key).err()?;
        Some(InvalidObject { place: format!("{path}:{line}"), message: format!("{key}: {error}") })
    };
    present.objects.iter().filter_map(fault).collect()
}

/// True where the file may still hold the object: it is broken, being written or being replaced.
fn in_doubt(files: &FileIndex, manifest: &str) -> bool {
    files.busy.contains_key(std::path::Path::new(manifest))
        || files.has_grace(manifest)
        || files.manifests.get(manifest).is_some_and(|file| !file.faults.is_empty())
}

/// The record of a known object, of which the manifest says something else now.
fn again(record: &SpecRecord, object: &ManifestObject, manifest: &str) -> SpecRecord {
    let mut next = record.clone();
    next.object = object.clone();
    next.manifest = manifest.to_owned();
    next.metadata.generation += i64::from(!same_spec(&record.object, object));
    next
}

/// The record of a claim of the original project's kind under its former name.
fn former<'a>(
    records: &BTreeMap<ObjectKey, (&str, &'a SpecRecord)>,
    object: &ManifestObject,
) -> Option<&'a SpecRecord> {
    let ManifestObject::Claim(_, claim) = object else { return None };
    let former = records.iter().find(|(key, (_, record))| match (key, &record.object) {
        (ObjectKey::Claim(name), ManifestObject::Claim(_, other)) => {
            other.addresses == claim.addresses && nirmata::is_former_name(name, &claim.reference)
        }
        _ => false,
    });
    former.map(|(_, (_, record))| *record)
}

fn same_spec(one: &ManifestObject, other: &ManifestObject) -> bool {
    match (one, other) {
        (ManifestObject::Pool(one, _), ManifestObject::Pool(other, _)) => one == other,
        (ManifestObject::Claim(one, first), ManifestObject::Claim(other, second)) => {
            one == other && first.further == second.further
        }
        (ManifestObject::ClusterClaim(one, _), ManifestObject::ClusterClaim(other, _)) => {
            one == other
        }
        _ => false,
    }
}

fn first(object: &ManifestObject, manifest: &str, now: Timestamp) -> SpecRecord {
    let status = match object {
        ManifestObject::Pool(..) => SpecRecordStatus::Pool(PoolStatus::default()),
        _ => SpecRecordStatus::Claim(ClaimStatus::default()),
    };
    SpecRecord {
        metadata: StoredMetadata {
            version: ResourceVersion::default(),
            uid: random_uid(),
            generation: 1,
            created: now,
        },
        manifest: manifest.to_owned(),
        object: object.clone(),
        status,
    }
}

/// A random UUID (RFC 9562 version 4), as the API server would draw it.
fn random_uid() -> Uid {
    let mut bytes: [u8; 16] = rand::rng().random();
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = u128::from_be_bytes(bytes);
    let text = format!("{text:032x}");
    let parts = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]];
    Uid::new(parts.join("-"))
}

/// Makes the changes. Needs the lock for writing, and `changes` made under it.
pub fn apply(access: &Access, changes: Vec<RecordChange>) -> Result<(), StoreError> {
    for change in changes {
        match change {
            RecordChange::Write(file, mut record) => {
                if let Some((folder, _)) = file.rsplit_once('/')
                    && folder.starts_with(CLAIMS)
                {
                    access.make_folder(folder).map_err(StoreError::io(folder))?;
                }
                record.metadata.version = own_object::new_version();
                own_object::save(access, &file, &OwnObject::Record(record))?;
            }
            RecordChange::Remove(file) => access.remove(&file).map_err(StoreError::io(&file))?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::files::ManifestFile;
    use crate::manifest;

    /// Whatever name a reader lets pass, the others are kept.
    #[test]
    fn a_name_that_no_file_can_have_is_told_and_keeps_no_other_from_its_record() {
        const POOL: &str = "apiVersion: egret.dev/v1alpha1\nkind: EgressPool\n\
            metadata: {name: NAME}\nspec: {provider: L2, addresses: [192.0.2.1], \
            gateways: {nodeSelector: {matchLabels: {a: b}}}}\n";
        let mut objects = Vec::new();
        for name in ["first", "second"] {
            let parsed = manifest::parse(&POOL.replace("NAME", name));
            assert_eq!(parsed.faults, []);
            objects.extend(parsed.objects);
        }
        let ManifestObject::Pool(_, pool) = &mut objects[0].1 else { panic!("a pool") };
        pool.name = "a".repeat(254).as_str().into();
        let mut files = FileIndex::default();
        files.manifests.insert("all.yaml".to_owned(), ManifestFile::default());
        files.manifests.get_mut("all.yaml").unwrap().objects = objects;
        let changes = changes(&files, Timestamp(0));
        let written: Vec<_> = changes.iter().map(RecordChange::outcome).collect();
        assert_eq!(written, [(own_object::pool_file(&"second".into()).unwrap(), true)]);
        let told = unrecordable(&present(&files));
        assert!(told.len() == 1 && told[0].place == "all.yaml:1", "{told:?}");
        assert!(told[0].message.contains("not a name"), "{told:?}");
    }
}
