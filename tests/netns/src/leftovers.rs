//! What a killed process left behind: found by the process id in the name.

use std::path::Path;

use crate::remove;

/// Removes the namespaces of processes that are gone, with what runs in them; returns their names.
pub fn remove_dead() -> Vec<String> {
    remove_where(|pid| !Path::new(&format!("/proc/{pid}")).exists())
}

/// Removes every namespace of this process, for its way out on a signal, where nothing is dropped.
pub fn remove_own() -> Vec<String> {
    let own = std::process::id();
    remove_where(|pid| pid == own)
}

fn remove_where(doomed: impl Fn(u32) -> bool) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir("/var/run/netns")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| owner(name).is_some_and(&doomed))
        .collect();
    names.sort();
    for name in &names {
        remove(name);
    }
    names
}

/// The process that made a namespace of ours: `eg-PID-NUMBER-LABEL`.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix("eg-")?.split('-').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_names_have_an_owner() {
        assert_eq!(owner("eg-4711-0-router"), Some(4711));
        assert_eq!(owner("cni-4711"), None);
        assert_eq!(owner("eg-router"), None);
    }
}
