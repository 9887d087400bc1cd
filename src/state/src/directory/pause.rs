//! Pausing a pool in a directory of manifests: the one thing that Egret changes in a person's file, since a
//! person asks for it by name (`egret pause`). One line changes; where that is not sure to be all, nothing does.

use egret_core::model::{PoolName, ResourceVersion};

use super::files;
use super::store::Access;
use crate::error::StoreError;
use crate::manifest::{ManifestObject, parse};

/// Writes `paused` into the manifest of a pool.
///
/// # Errors
/// `NotFound` where no manifest has the pool; `Invalid` where its file cannot be changed by one line.
pub fn set(access: &Access, pool: &PoolName, paused: bool) -> Result<ResourceVersion, StoreError> {
    for file in files::manifests(access)? {
        // What cannot be read has no pool that is known; `egret status` names it.
        let Ok(bytes) = access.read(&file) else { continue };
        let Ok(text) = String::from_utf8(bytes) else { continue };
        if pool_in(&text, pool).is_none() {
            continue;
        }
        let by_hand = || {
            StoreError::Invalid(format!(
                "{file} is a file of yours in which one line cannot say it: write `paused: {paused}` into \
                 the spec of pool {pool}"
            ))
        };
        let is_link = access.is_link(&file).map_err(StoreError::io(&file))?;
        let changed = with_paused(&text, pool, paused).filter(|_| !is_link).ok_or_else(by_hand)?;
        if changed != text {
            access.replace_kept(&file, changed.as_bytes()).map_err(StoreError::io(&file))?;
        }
        return Ok(ResourceVersion::default());
    }
    Err(StoreError::NotFound { what: format!("EgressPool {pool}") })
}

/// The line on which the document of the pool begins, from 1, and whether it is paused.
fn pool_in(text: &str, name: &PoolName) -> Option<(usize, bool)> {
    parse(text).objects.into_iter().find_map(|(line, object)| match object {
        ManifestObject::Pool(_, pool) if pool.name == *name => Some((line, pool.paused)),
        _ => None,
    })
}

/// The text with one line changed or added; `None` where that is not all that changes.
fn with_paused(text: &str, name: &PoolName, paused: bool) -> Option<String> {
    let (begin, is_paused) = pool_in(text, name)?;
    if is_paused == paused {
        return Some(text.to_owned());
    }
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let spec = begin - 1 + lines.get(begin - 1..)?.iter().position(|line| is_key(line, "spec"))?;
    let block = lines.get(spec + 1..)?;
    let block = block.iter().take_while(|line| is_blank(line) || line.starts_with(' '));
    let indent = block.clone().find(|line| !is_blank(line)).map(|line| indent(line))?;
    let is_paused = |line: &&&str| {
        self::indent(line) == indent && line.trim_start().starts_with("paused:") && !is_blank(line)
    };
    let mut changed: Vec<String> = lines.iter().map(|line| (*line).to_owned()).collect();
    let place = block.clone().position(|line| is_paused(&line)).map(|at| spec + 1 + at);
    match place {
        Some(at) => {
            let (old, new) = (format!("paused: {}", !paused), format!("paused: {paused}"));
            let line = changed.get_mut(at)?;
            *line = line.replacen(&old, &new, 1);
        }
        None => changed.insert(spec + 1, format!("{}paused: {paused}\n", " ".repeat(indent))),
    }
    let changed = changed.concat();
    is_all(text, &changed, name, paused).then_some(changed)
}

fn is_key(line: &str, key: &str) -> bool {
    let rest = line.strip_prefix(key).and_then(|rest| rest.strip_prefix(':'));
    rest.is_some_and(is_blank)
}

/// Nothing, or a comment.
fn is_blank(line: &str) -> bool {
    let content = line.trim();
    content.is_empty() || content.starts_with('#')
}

fn indent(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// Whether the pool is paused or not in `after`, and all else is as in `before`.
fn is_all(before: &str, after: &str, name: &PoolName, paused: bool) -> bool {
    let objects = |text: &str| {
        let parsed = parse(text);
        let objects = parsed.objects.into_iter().map(|(_, object)| match object {
            ManifestObject::Pool(mut spec, mut pool) if pool.name == *name => {
                (spec.paused, pool.paused) = (paused, paused);
                ManifestObject::Pool(spec, pool)
            }
            other => other,
        });
        (objects.collect::<Vec<_>>(), parsed.faults.len())
    };
    objects(before) == objects(after) && pool_in(after, name).map(|(_, is)| is) == Some(paused)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "# ours\napiVersion: egret.dev/v1alpha1\nkind: EgressPool\nmetadata: {name: p}\n";

    fn paused(text: &str, paused: bool) -> Option<String> {
        with_paused(text, &PoolName::new("p"), paused)
    }

    #[test]
    fn one_line_changes() {
        let rest = "  provider: L2 # as before\n  addresses: [192.0.2.0/24]\n  gateways: {nodeSelector: {}}\n";
        let other = "---\napiVersion: v1\nkind: Namespace\nmetadata: {name: n}\n";
        let without = format!("{other}---\n{HEAD}spec: # its own\n{rest}{other}");
        let with = format!("{other}---\n{HEAD}spec: # its own\n  paused: true\n{rest}{other}");
        assert_eq!(paused(&without, true).as_deref(), Some(&*with));
        let back = with.replace("paused: true", "paused: false");
        assert_eq!(paused(&with, false).as_deref(), Some(&*back));
        assert_eq!(paused(&back, true).as_deref(), Some(&*with));
        assert_eq!(paused(&without, false).as_deref(), Some(&*without), "it is so");
        let commented = with.replace("paused: true\n", "paused: true # for the audit\n");
        let back = commented.replace("paused: true", "paused: false");
        assert_eq!(paused(&commented, false).as_deref(), Some(&*back));
    }

    #[test]
    fn what_one_line_cannot_say_is_left_to_a_person() {
        let spec = "{provider: L2, addresses: [192.0.2.0/24], gateways: {nodeSelector: {}}}";
        assert_eq!(paused(&format!("{HEAD}spec: {spec}\n"), true), None);
        let quoted = format!(
            "{HEAD}spec:\n  \"paused\": true\n  provider: L2\n  addresses: [192.0.2.0/24]\n  gateways: {{nodeSelector: {{}}}}\n"
        );
        assert_eq!(paused(&quoted, false), None);
        assert_eq!(with_paused(HEAD, &PoolName::new("other"), true), None);
    }
}
