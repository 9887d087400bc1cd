//! The plugin's file and its entry in the host's CNI configuration.
//!
//! State: both are the host's. Written by this module alone, one change at a time. Always: the file
//! is there before an entry names it and goes after the last one has gone: a runtime that does not
//! find a plugin starts no pod.

use std::collections::VecDeque;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use std::{fs, io};

use egret_cni::TYPE;
use inotify::{Inotify, WatchMask};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc::Sender;
use tracing::{info, warn};

use super::conflist::{self, PluginEntry, UnusableConflist};

/// Both folders are looked at this often, whatever events came.
const LOOK: Duration = Duration::from_secs(30);
/// Who rewrites the configuration this often within [`WINDOW`] does it against us.
const MOST_WRITES: usize = 5;
const WINDOW: Duration = Duration::from_secs(300);
/// A runtime reads its configuration again when a file changes; calls that it has begun end.
const SETTLE: Duration = Duration::from_secs(5);

/// Why pods start without the plugin, or why it is left on the host.
#[derive(Debug, thiserror::Error)]
pub enum PluginInstallError {
    /// A file of the host.
    #[error("{}: {source}", path.display())]
    File {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The folder has no configuration.
    #[error("no CNI configuration in {}: is the CNI plugin of the cluster installed?", .0.display())]
    None(PathBuf),
    /// The first configuration cannot be chained to.
    #[error("{} {why}", path.display())]
    Unfit {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// Somebody else undoes what is written.
    #[error(
        "somebody takes `egret-cni` out of {} again and again: configure that program to leave it \
         there, or set agent.cni.chained.enabled=false", .0.display()
    )]
    Contended(PathBuf),
    /// The file cannot go.
    #[error("{} still names `egret-cni`: take it out there, then delete the plugin's file", .0.display())]
    Named(PathBuf),
}

/// Where everything is, as this process sees it.
#[derive(Clone, Debug)]
pub(crate) struct HostPaths {
    pub(crate) bin_dir: PathBuf,
    pub(crate) conf_dir: PathBuf,
    pub(crate) entry: PluginEntry,
    /// The program that is copied.
    pub(crate) plugin: PathBuf,
}

impl HostPaths {
    /// The program beside this one that is made for hosts, where there is one, else this one.
    pub(crate) fn own_plugin() -> io::Result<PathBuf> {
        let own = std::env::current_exe()?;
        let for_hosts = own.with_file_name(TYPE);
        Ok(if for_hosts.is_file() { for_hosts } else { own })
    }
}

#[derive(Debug)]
struct Files {
    paths: HostPaths,
    writes: VecDeque<Instant>,
    removed: bool,
}

/// Keeps the plugin installed. A clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Installation(Arc<Mutex<Files>>);

impl Installation {
    pub(crate) fn new(paths: HostPaths) -> Self {
        let files = Files { paths, writes: VecDeque::new(), removed: false };
        Self(Arc::new(Mutex::new(files)))
    }

    /// Installs the plugin and goes on doing so, since the CNI of the cluster may rewrite its file;
    /// tells `news` what has come of it. Ends with [`Self::remove`].
    pub(crate) async fn keep(self, news: Sender<Result<(), PluginInstallError>>) {
        let paths = self.locked(|files| files.paths.clone());
        let mut events = Events::watch(&paths);
        loop {
            let this = self.clone();
            let ensured = tokio::task::spawn_blocking(move || this.ensure(Instant::now())).await;
            match ensured {
                Ok(Some(result)) => {
                    if news.send(result).await.is_err() {
                        return;
                    }
                }
                // Removed, or a panic in there.
                Ok(None) | Err(_) => return,
            }
            tokio::time::timeout(LOOK, events.any()).await.ok();
            // A folder that was made anew is another one.
            if !events.holds() {
                events = Events::watch(&paths);
            }
        }
    }

    /// Makes it so; `None` after [`Self::remove`].
    fn ensure(&self, now: Instant) -> Option<Result<(), PluginInstallError>> {
        self.locked(|files| (!files.removed).then(|| files.ensure(now)))
    }

    /// Takes it away for good; blocks for [`SETTLE`].
    pub(crate) fn remove(&self, keep_file: bool) -> Result<(), PluginInstallError> {
        self.locked(|files| {
            files.removed = true;
            let HostPaths { bin_dir, conf_dir, .. } = &files.paths;
            remove(bin_dir, conf_dir, keep_file)
        })
    }

    fn locked<T>(&self, work: impl FnOnce(&mut Files) -> T) -> T {
        work(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Files {
    fn ensure(&mut self, now: Instant) -> Result<(), PluginInstallError> {
        let HostPaths { bin_dir, conf_dir, entry, plugin } = &self.paths;
        copy(plugin, &bin_dir.join(TYPE))?;
        let path = first(conf_dir)?;
        let text = read(&path)?;
        let wanted = conflist::with(&text, entry).map_err(|why| unfit(&path, &why))?;
        if wanted == text {
            return Ok(());
        }
        self.writes.retain(|write| now.duration_since(*write) < WINDOW);
        if self.writes.len() >= MOST_WRITES {
            return Err(PluginInstallError::Contended(path));
        }
        self.writes.push_back(now);
        replace(&path, &text, &wanted)?;
        info!(event = "cni_chained", path = %path.display(), "the CNI configuration names the plugin");
        Ok(())
    }
}

/// Takes the entry out of every configuration in `conf_dir`, waits until runtimes have read that,
/// and then deletes the plugin from `bin_dir`, unless `keep_file`. Idempotent; blocks for 5 s where
/// there was an entry.
///
/// # Errors
/// Where a file cannot be changed, or another file still names the plugin, which then stays.
pub fn remove(bin_dir: &Path, conf_dir: &Path, keep_file: bool) -> Result<(), PluginInstallError> {
    let mut changed = false;
    for path in configurations(conf_dir)? {
        let text = read(&path)?;
        // Runtimes skip what is not JSON.
        let Ok(wanted) = conflist::without(&text) else { continue };
        if wanted != text {
            replace(&path, &text, &wanted)?;
            changed = true;
        }
    }
    if keep_file {
        return Ok(());
    }
    if changed {
        std::thread::sleep(SETTLE);
    }
    // Also what was renamed to be used again later.
    for path in entries(conf_dir)? {
        let text = fs::read(&path).unwrap_or_default();
        if String::from_utf8_lossy(&text).contains(&format!("\"{TYPE}\"")) {
            return Err(PluginInstallError::Named(path));
        }
    }
    let file = bin_dir.join(TYPE);
    match fs::remove_file(&file) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(failed(&file)(source)),
        _ => Ok(()),
    }
}

/// The configuration that runtimes use: the first by name that is one.
fn first(conf_dir: &Path) -> Result<PathBuf, PluginInstallError> {
    let mut all = configurations(conf_dir)?.into_iter();
    let usable = |path: &PathBuf| {
        let text = fs::read(path).unwrap_or_default();
        serde_json::from_slice::<serde_json::Map<_, serde_json::Value>>(&text).is_ok()
    };
    all.find(usable).ok_or_else(|| PluginInstallError::None(conf_dir.to_owned()))
}

/// Whether the configuration that runtimes use names the plugin; false where there is none.
pub(crate) fn is_named(conf_dir: &Path) -> bool {
    let text = first(conf_dir).and_then(|path| read(&path)).unwrap_or_default();
    conflist::without(&text).is_ok_and(|without| without != text)
}

/// Every file that runtimes take for a configuration, in their order.
fn configurations(conf_dir: &Path) -> Result<Vec<PathBuf>, PluginInstallError> {
    let known = |path: &PathBuf| {
        let ending = path.extension().and_then(|ending| ending.to_str());
        matches!(ending, Some("conf" | "conflist" | "json"))
    };
    Ok(entries(conf_dir)?.into_iter().filter(known).collect())
}

fn entries(dir: &Path) -> Result<Vec<PathBuf>, PluginInstallError> {
    let listed = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut paths: Vec<_> = listed.map_err(failed(dir))?.iter().map(fs::DirEntry::path).collect();
    paths.retain(|path| path.is_file());
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<String, PluginInstallError> {
    fs::read_to_string(path).map_err(failed(path))
}

/// Replaces a configuration as a whole, unless somebody has changed it since it was read: who did
/// is heard of, and it is looked at again.
fn replace(path: &Path, read_before: &str, wanted: &str) -> Result<(), PluginInstallError> {
    // Runtimes do not know the ending.
    let next = path.with_extension(format!("{TYPE}-next"));
    let mode = fs::metadata(path).map_err(failed(path))?.permissions();
    fs::write(&next, wanted)
        .and_then(|()| fs::set_permissions(&next, mode))
        .and_then(|()| fs::File::open(&next)?.sync_all())
        .map_err(failed(&next))?;
    if read(path)? != read_before {
        fs::remove_file(&next).map_err(failed(&next))?;
        return Err(PluginInstallError::Unfit {
            path: path.to_owned(),
            why: "was changed at the same moment; trying again".to_owned(),
        });
    }
    fs::rename(&next, path).map_err(failed(path))
}

/// Copies the program, where it is another one: a runtime always finds a whole one.
fn copy(from: &Path, to: &Path) -> Result<(), PluginInstallError> {
    let wanted = fs::read(from).map_err(failed(from))?;
    let there = fs::metadata(to).is_ok_and(|there| {
        there.len() == wanted.len() as u64 && there.permissions().mode() & 0o777 == 0o755
    });
    if there && fs::read(to).is_ok_and(|there| there == wanted) {
        return Ok(());
    }
    let next = to.with_extension("next");
    fs::write(&next, &wanted)
        .and_then(|()| fs::set_permissions(&next, fs::Permissions::from_mode(0o755)))
        .and_then(|()| fs::File::open(&next)?.sync_all())
        .map_err(failed(&next))?;
    fs::rename(&next, to).map_err(failed(to))
}

fn failed(path: &Path) -> impl FnOnce(io::Error) -> PluginInstallError {
    let path = path.to_owned();
    move |source| PluginInstallError::File { path, source }
}

fn unfit(path: &Path, why: &UnusableConflist) -> PluginInstallError {
    PluginInstallError::Unfit { path: path.to_owned(), why: why.to_string() }
}

/// Changes in both folders; none where the kernel has no watch to give, and then they are looked at
/// from time to time only.
struct Events(Option<AsyncFd<Inotify>>);

impl Events {
    #[expect(unsafe_code, reason = "tokio cannot know that a foreign type keeps its descriptor")]
    fn watch(paths: &HostPaths) -> Self {
        let mask = WatchMask::CLOSE_WRITE
            | WatchMask::DELETE
            | WatchMask::MOVE
            | WatchMask::DELETE_SELF
            | WatchMask::MOVE_SELF
            | WatchMask::ONLYDIR;
        let begin = || -> io::Result<_> {
            let inotify = Inotify::init()?;
            for dir in [&paths.conf_dir, &paths.bin_dir] {
                inotify.watches().add(dir, mask)?;
            }
            // SAFETY: an Inotify owns its one descriptor until it is dropped, and the AsyncFd owns it.
            Ok(unsafe { AsyncFd::register(inotify) }?)
        };
        Self(begin().inspect_err(|error| warn!(%error, "no watch on the CNI's folders")).ok())
    }

    /// Returns after the next change; never where there is no watch. Cancel-safe.
    async fn any(&mut self) {
        let Some(watch) = &mut self.0 else { return std::future::pending().await };
        let Ok(mut ready) = watch.readable_mut().await else { return };
        let mut buffer = [0; 4096];
        loop {
            match ready.get_inner_mut().read_events(&mut buffer) {
                Ok(events) => {
                    let ends = inotify::EventMask::IGNORED | inotify::EventMask::UNMOUNT;
                    if events.into_iter().any(|event| event.mask.intersects(ends)) {
                        self.0 = None;
                        return;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return ready.clear_ready();
                }
                Err(_) => {
                    self.0 = None;
                    return;
                }
            }
        }
    }

    fn holds(&self) -> bool {
        self.0.is_some()
    }
}

#[cfg(test)]
mod tests;
